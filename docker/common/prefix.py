"""What the recipes have in common when they gather an environment under one prefix."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

# The parts of the standard library that nothing in a sandbox uses.
UNUSED = [
    *("EXTERNALLY-MANAGED", "LICENSE.txt", "__phello__", "antigravity.py", "config-3.*"),
    *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter"),
    *("turtle.py", "turtledemo", "venv", "lib-dynload/_ctypes_test.*", "lib-dynload/_dbm.*"),
    *("lib-dynload/_gdbm.*", "lib-dynload/_test*", "lib-dynload/_tkinter.*"),
    *("lib-dynload/_xxtestfuzz.*", "lib-dynload/nis.*", "lib-dynload/ossaudiodev.*"),
    "lib-dynload/xxlimited*",
]

# A test suite or type stubs inside a package that was installed from an index.
UNUSED_IN_PACKAGES = ["bin", "**/tests", "**/*.pyi", "**/*.c", "**/*.h"]

TERMINALS = [
    *("dumb", "linux", "screen", "screen-256color", "tmux", "tmux-256color", "vt100", "xterm"),
    *("xterm-256color", "xterm-color"),
]

# Beside the zones themselves: variants that count leap seconds, and what names the machine's own.
NO_ZONES = shutil.ignore_patterns("posix", "right", "localtime", "posixrules", "leap*", "tzdata.zi")


def remove(folder: Path, patterns: Iterable[str]) -> None:
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def add_tools(prefix: Path) -> None:
    """Adds bash, the launcher, descriptions of terminals, time zones and the certificate roots."""
    (prefix / "bin").mkdir(exist_ok=True)
    add_bash(prefix)
    shutil.copy("/recipe/launcher", prefix / "bin/tether-runtime-client")
    terminals, zones = prefix / "share/terminfo", prefix / "share/zoneinfo"
    for folder in (terminals, zones):
        shutil.rmtree(folder, ignore_errors=True)
    for name in TERMINALS:
        target = terminals / name[0] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path("/lib/terminfo") / name[0] / name, target)
    shutil.copytree("/usr/share/zoneinfo", zones, symlinks=True, ignore=NO_ZONES)
    roots = prefix / "etc/ssl/cert.pem"
    roots.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/recipe/roots.pem", roots)


def add_bash(prefix: Path) -> None:
    """Adds a bash that needs no library, and knows UTF-8: images without a libc have no locale,
    and a locale that is made for another libc is none of its.
    """
    bash, locales = prefix / "bin/bash", prefix / "loc"  # as short as what it takes the place of
    shutil.copy("/bin/bash-static", bash)
    shutil.copytree("/usr/lib/locale/C.utf8", locales / "C.utf8")
    places = {"/usr/lib/locale": locales, "/usr/lib/locale/locale-archive": locales / "archive"}
    replace_strings(bash, {old: str(new) for old, new in places.items()})


def add_code_folder(prefix: Path, packages: Path) -> None:
    """Makes the folder of the client's code, which is copied in later, a part of Python's path."""
    (packages / "tether.pth").write_text(f"{prefix}/code\n")
    (prefix / "code").mkdir()


def make_mount_points(prefix: Path) -> None:
    run = prefix / "run"
    run.mkdir()
    run.chmod(0o1777)
    (prefix / "socket").mkdir(mode=0o755)


def set_time_zones(stdlib: Path, prefix: Path) -> None:
    """Tells Python's `zoneinfo` where the time zones are."""
    for settings in stdlib.glob("_sysconfigdata_*.py"):
        text = settings.read_text()
        settings.write_text(re.sub(r"('TZPATH': )'.*?'", rf"\1'{prefix}/share/zoneinfo'", text))


def compile_all(prefix: Path) -> None:
    """Compiles every module; the results do not depend on time stamps, which copies change."""
    python = [prefix / "bin/python3", "-I", "-B", "-m", "compileall", "-q", "-f", "-j", "0"]
    mode = ["--invalidation-mode", "unchecked-hash"]
    if subprocess.run([*python, *mode, prefix]).returncode:
        raise SystemExit("recipe: some modules could not be compiled")


def replace_strings(path: Path, strings: Mapping[str, str]) -> None:
    """Replaces whole strings of a compiled library by others that are no longer.

    The library was made for another place and looks there for files of its own.
    """
    content = path.read_bytes()
    for old, new in strings.items():
        found = b"\0" + os.fsencode(old) + b"\0"
        replacement = b"\0" + os.fsencode(new).ljust(len(old) + 1, b"\0")
        if content.count(found) != 1 or len(new) > len(old):
            raise SystemExit(f"recipe: cannot replace {old!r} by {new!r} in {path}")
        content = content.replace(found, replacement)
    path.write_bytes(content)
