"""Loaded by the Python of a chaos run's runtime client: its wall clock can be made to jump.

The clock is that of this one process. What it is off by, in seconds, is in a file that the run
writes. `TETHER_CHAOS_CLOCK` names it; without that nothing happens.
"""

import mmap
import os
import struct
import time


def _skew(path: str) -> None:
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    real, real_ns = time.time, time.time_ns

    def off_by() -> float:
        return float(struct.unpack_from("d", shared)[0])

    time.time = lambda: real() + off_by()
    time.time_ns = lambda: real_ns() + int(off_by() * 1e9)


if os.environ.get("TETHER_CHAOS_CLOCK"):
    _skew(os.environ["TETHER_CHAOS_CLOCK"])
