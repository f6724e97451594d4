"""Wheels that are made here: of a package as it is installed, and one that stands for Tether."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import PurePosixPath

from tether_runtime_client.protocol.errors import PluginInvalid

WHEEL = "Wheel-Version: 1.0\nGenerator: tether\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# What an installation adds, and what is written anew.
_NOT_PACKED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "WHEEL")
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def wheel_name(distribution: str, version: str) -> str:
    """The file name of a wheel for any Python 3."""
    return f"{_normal(distribution)}-{version}-py3-none-any.whl"


def stand_in(
    distribution: str, version: str, requires: Iterable[str] = (), provides: Iterable[str] = ()
) -> bytes:
    """A wheel that has nothing in it, and needs what `requires` says, by extras in `provides`."""
    lines = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in provides]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    metadata = "\n".join([*lines, ""])
    return packed_wheel(distribution, version, {}, {"METADATA": metadata.encode()})


def rebuilt(distribution: Distribution) -> bytes:
    """A wheel of the files that a distribution has installed.

    Raises:
        PluginInvalid: it has files that are made for this machine's Python.
    """
    files, info = {}, {}
    if (compiled := _compiled(distribution)) is not None:
        raise _not_portable(distribution, compiled)
    for path in distribution.files or ():
        if "__pycache__" in path.parts or ".." in path.parts or path.suffix == ".pyc":
            continue
        content = path.locate()
        if path.parts[0].endswith(".dist-info"):
            if path.name not in _NOT_PACKED:
                info[str(PurePosixPath(*path.parts[1:]))] = _bytes(content)
        else:
            files[str(path)] = _bytes(content)
    return packed_wheel(distribution.name, distribution.version, files, info)


def is_portable(distribution: Distribution) -> bool:
    """Whether what is installed here is of use to another Python."""
    return _compiled(distribution) is None


def _compiled(distribution: Distribution) -> str | None:
    """A file that was made for this machine's Python, if there is one."""
    files = distribution.files or ()
    return next((str(path) for path in files if path.suffix in (".so", ".pyd")), None)


def _bytes(path: object) -> bytes:
    with open(str(path), "rb") as file:
        return file.read()


def _not_portable(distribution: Distribution, file: str) -> PluginInvalid:
    return PluginInvalid(
        f"{distribution.name} {distribution.version} cannot be brought as it is installed here:"
        f" {file} was made for this machine's Python",
        hint="Name its source folder, a wheel or a requirement with --plugin-package",
    )


def packed_wheel(
    distribution: str, version: str, files: Mapping[str, bytes], info: Mapping[str, bytes]
) -> bytes:
    """A wheel for any Python 3.

    Args:
        distribution: as pip knows it.
        version: of it.
        files: by their paths in the folder of Python's packages.
        info: what stands in its record, by name: METADATA at the least.
    """
    folder = f"{_normal(distribution)}-{version}.dist-info"
    inner = {f"{folder}/{name}": content for name, content in info.items()}
    contents = {**files, **inner, f"{folder}/WHEEL": WHEEL.encode()}
    record = [f"{name},{_digest(contents[name])},{len(contents[name])}" for name in contents]
    contents[f"{folder}/RECORD"] = "\n".join([*record, f"{folder}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # what compresses differs between machines
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), contents[name])
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "_", distribution).lower()
