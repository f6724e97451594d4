"""Whom the kernel takes when memory runs out: what actions started, before the client."""

from __future__ import annotations

import os

CHILD_OOM_SCORE = 500
"""0 is what the client has, 1000 is taken first."""


def raise_oom_score(pid: int | str = "self", score: int = CHILD_OOM_SCORE) -> None:
    """Raise a process's score, for what it starts from now on too; never lower it.

    That needs no privilege, but the file may be absent or hidden: then all are equal.
    """
    path = f"/proc/{pid}/oom_score_adj"
    try:
        with open(path, "rb", buffering=0) as file:
            if int(file.read(16)) >= score:
                return
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % score)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return
