"""Stands for `conda` in tests: `create`, by a real solver on a real index, into a real prefix."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from rattler import VirtualPackage, VirtualPackageOverrides, install, solve


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conda", allow_abbrev=False)
    create = parser.add_subparsers(dest="command", required=True).add_parser("create")
    create.add_argument("--yes", action="store_true", required=True)
    create.add_argument("--quiet", action="store_true")
    create.add_argument("--override-channels", action="store_true", required=True)
    create.add_argument("--prefix", type=Path, required=True)
    create.add_argument("--channel", action="append", required=True)
    create.add_argument("specs", nargs="+")
    return parser.parse_args()


async def create(prefix: Path, channels: list[str], specs: list[str]) -> None:
    virtual = VirtualPackage.detect(VirtualPackageOverrides.from_env())
    records = await solve(channels, specs, virtual_packages=virtual)
    await install(
        records, target_prefix=prefix, cache_dir=Path(sys.prefix) / "pkgs", show_progress=False
    )
    (prefix / "CACHEDIR.TAG").unlink()  # conda writes none


if __name__ == "__main__":
    given = options()
    asyncio.run(create(given.prefix, given.channel, given.specs))
    sys.stdout.flush()
    os._exit(0)  # rattler's threads have crashed in an interpreter that was ending
