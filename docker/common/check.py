"""Looks at a finished environment from inside its image: is it what docs/recipes.md asks for?

Runs with the environment's own Python. Writes one line of JSON: `problems`, each a sentence, and
`parts`, the bytes of each part.
"""

import importlib.metadata
import json
import os
import ssl
import subprocess
import sys
import sysconfig
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PREFIX = Path("/opt/tether")
PROGRAMS = ("python3", "bash", "tether-runtime-client")
FILES = ("etc/ssl/cert.pem", "share/terminfo/x/xterm-256color", "share/zoneinfo/Europe/Berlin")
FOLDERS = {"code": 0o755, "run": 0o1777, "socket": 0o755}
OLDEST_PYTHON = (3, 11)


def problems(requirements: list[str]) -> Iterator[str]:
    yield from _missing()
    yield from _strangers()
    yield from _of_python(requirements)
    yield from _of_bash()


def _missing() -> Iterator[str]:
    for name in PROGRAMS:
        if not os.access(PREFIX / "bin" / name, os.X_OK):
            yield f"there is no program {PREFIX}/bin/{name}"
    for name in FILES:
        if not (PREFIX / name).is_file():
            yield f"there is no file {PREFIX}/{name}"
    for name, mode in FOLDERS.items():
        path = PREFIX / name
        if not path.is_dir():
            yield f"there is no folder {path}"
        elif path.stat().st_mode & 0o7777 != mode:
            yield f"{path} does not have the mode {mode:o}"


def _strangers() -> Iterator[str]:
    """Links that lead out of the prefix."""
    for path in PREFIX.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(PREFIX):
            yield f"the link {path} leads to {path.readlink()}, outside of {PREFIX}"


def _of_python(requirements: list[str]) -> Iterator[str]:
    if sys.version_info < OLDEST_PYTHON:
        yield f"its Python is {sys.version.split()[0]}; the client needs 3.11 or newer"
    if str(PREFIX / "code") not in sys.path:
        yield f"{PREFIX}/code is not in its Python's path"
    for path in (path for path in sys.path if not path.startswith(str(PREFIX))):
        yield f"its Python looks for modules in {path}"
    for requirement in requirements:
        name, _, wanted = requirement.partition("==")
        if (found := _version(name)) != wanted:
            yield f"it has {name} {found or '(none)'}, and {wanted} is pinned"
    if not ssl.create_default_context().get_ca_certs():
        yield "its Python knows no certificate roots"
    if not any(path.startswith(str(PREFIX)) for path in zoneinfo.TZPATH):
        yield "its Python does not look for time zones under the prefix"


def _of_bash() -> Iterator[str]:
    command = [PREFIX / "bin/bash", "-c", "echo $((6 * 7))"]
    if not command[0].exists():  # said already
        return
    if subprocess.run(command, capture_output=True).stdout != b"42\n":
        yield f"{command[0]} does not run"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def parts() -> dict[str, int]:
    """Bytes of regular files; those with several names count once."""
    sizes: Counter[str] = Counter()
    seen = set()
    for path in PREFIX.rglob("*"):
        status = path.lstat()
        if path.is_file() and not path.is_symlink() and status.st_ino not in seen:
            seen.add(status.st_ino)
            sizes[_part(path)] += status.st_size
    return dict(sorted(sizes.items()))


def _part(path: Path) -> str:
    libraries = Path(sysconfig.get_path("stdlib"))
    if {"dist-packages", "site-packages"} & set(path.parts):
        return "packages"
    if path.is_relative_to(libraries):
        return "standard library"
    if ".so" in path.name:
        return "shared libraries"
    names = {"bin": "programs", "etc": "certificates", "ssl": "certificates", "loc": "locale"}
    shares = {"terminfo": "terminals", "zoneinfo": "time zones"}
    first, second, *_ = (*path.relative_to(PREFIX).parts, "")
    return shares.get(second, "other") if first == "share" else names.get(first, "other")


if __name__ == "__main__":
    found = {"problems": list(problems(sys.argv[1:])), "parts": parts()}
    sys.stdout.write(json.dumps(found) + "\n")
