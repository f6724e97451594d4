"""Makes an environment of conda's into a runtime environment, in the build stage.

conda has put Python and its libraries where they stay. Here goes what nothing in a sandbox uses,
and in comes what conda does not have.
"""

import subprocess
import sys
from pathlib import Path

from prefix import (
    UNUSED,
    UNUSED_IN_PACKAGES,
    add_code_folder,
    add_tools,
    compile_all,
    make_mount_points,
    remove,
    set_time_zones,
)

# What packages bring for people and for compilers, and what conda knows of them.
UNUSED_IN_PREFIX = [
    *("conda-meta", "compiler_compat", "etc/conda", "include", "man", "sbin", "var", ".condarc"),
    *("*-conda*-linux-gnu", "share/doc", "share/gtk-doc", "share/info", "share/man"),
    *("share/terminfo", "share/zoneinfo", "lib/*.a", "lib/cmake", "lib/pkgconfig"),
    *("lib/terminfo", "lib/itcl*", "lib/libtcl*", "lib/libtk*", "lib/tcl*", "lib/tdbc*"),
    *("lib/thread*", "lib/tk*", "lib/python3.1", "lib/libpython3*.a"),
]


def main(prefix: Path) -> None:
    stdlib, packages = python_folders(prefix)
    remove(prefix, UNUSED_IN_PREFIX)
    remove(stdlib, UNUSED)
    remove(packages, UNUSED_IN_PACKAGES)
    remove(prefix, ["lib/**/__pycache__"])
    for program in (prefix / "bin").iterdir():
        if not program.name.startswith("python3") or program.name.endswith("config"):
            program.unlink()
    add_tools(prefix)
    trust_roots(prefix)
    set_time_zones(stdlib, prefix)
    add_code_folder(prefix, packages)
    compile_all(prefix)
    make_mount_points(prefix)


def python_folders(prefix: Path) -> list[Path]:
    """The standard library and the packages of the environment's Python."""
    program = "import sysconfig as s; print(s.get_path('stdlib'), s.get_path('purelib'), sep='\\n')"
    command = [prefix / "bin/python3", "-I", "-c", program]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in answer.splitlines()]


def trust_roots(prefix: Path) -> None:
    """Gives conda's OpenSSL the roots that every recipe has."""
    own = prefix / "ssl/cert.pem"
    own.parent.mkdir(exist_ok=True)
    own.unlink(missing_ok=True)
    own.symlink_to("../etc/ssl/cert.pem")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
