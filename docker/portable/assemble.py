"""Gathers the portable runtime environment under one prefix, in the build stage.

Everything under the prefix finds its loader and libraries there, whatever image it is copied into:
programs name the prefix's own loader, and every library search path is a DT_RPATH, which comes
before LD_LIBRARY_PATH.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from prefix import (
    UNUSED,
    UNUSED_IN_PACKAGES,
    add_code_folder,
    add_tools,
    compile_all,
    make_mount_points,
    remove,
    replace_strings,
    set_time_zones,
)

PYTHON = Path("/usr/bin/python3.11")
STDLIB = Path("/usr/lib/python3.11")
PACKAGES = Path("/recipe/packages")
ELF_MAGIC = b"\x7fELF"

# What the libraries read of the image's own file system; nothing there is meant for them. The
# names under the prefix may be no longer than those that they take the place of.
OWN_FILES = {
    "ld-linux": {"/etc/ld.so.preload": "{prefix}/-pre", "/etc/ld.so.cache": "{prefix}/-cac"},
    "libc.so": {
        "/etc/nsswitch.conf": "{prefix}/nss",
        "/usr/lib/locale": "{prefix}/-lo",
        "/usr/lib/locale/locale-archive": "{prefix}/-lo/archive",
        "/usr/lib/{machine}-linux-gnu/gconv": "{prefix}/-gconv",
        "/usr/lib/{machine}-linux-gnu/gconv/gconv-modules.cache": "{prefix}/-gconv/cache",
        "/usr/share/zoneinfo": "{prefix}/zones",
    },
    "libcrypto": {
        "/usr/lib/ssl": "{prefix}",  # the folder of openssl.cnf
        "/usr/lib/ssl/cert.pem": "{prefix}/cert.pem",
        "/usr/lib/ssl/certs": "{prefix}/certs",
        "/usr/lib/{machine}-linux-gnu/engines-3": "{prefix}/lib/engines",
        "/usr/lib/{machine}-linux-gnu/ossl-modules": "{prefix}/lib/ossl-modules",
    },
}
# The short names, and where the files are.
LINKS = {"cert.pem": "etc/ssl/cert.pem", "nss": "etc/nsswitch.conf", "zones": "share/zoneinfo"}
# The image's own may name modules, which are made for another libc.
NAME_SERVICES = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n"


def main(prefix: Path) -> None:
    copy_python(prefix)
    add_tools(prefix)
    (prefix / "etc/nsswitch.conf").write_text(NAME_SERVICES)
    for name, target in LINKS.items():
        (prefix / name).symlink_to(target)
    libraries = copy_libraries(prefix)
    set_search_paths(prefix, libraries)
    keep_to_prefix(prefix, libraries)
    compile_all(prefix)
    make_mount_points(prefix)


def copy_python(prefix: Path) -> None:
    """Copies the interpreter, the standard library and the client's dependencies."""
    stdlib = prefix / "lib" / STDLIB.name
    # Debian's sitecustomize.py is a link into /etc.
    left_out = shutil.ignore_patterns("__pycache__", "sitecustomize.py")
    shutil.copytree(STDLIB, stdlib, ignore=left_out)
    remove(stdlib, UNUSED)
    set_time_zones(stdlib, prefix)
    packages = stdlib / "dist-packages"  # where Debian's interpreter looks
    shutil.copytree(PACKAGES, packages, dirs_exist_ok=True)
    remove(packages, UNUSED_IN_PACKAGES)
    add_code_folder(prefix, packages)
    (prefix / "bin").mkdir()
    shutil.copy(PYTHON, prefix / "bin/python3")


def elf_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == ELF_MAGIC:
                    yield path


def copy_libraries(prefix: Path) -> list[Path]:
    """Copies every shared library that anything under the prefix loads, and the loader."""
    needed: dict[str, Path] = {}
    for path in elf_files(prefix):
        for name, source in linked_libraries(path):
            needed.setdefault(name, source)
    # glibc loads this one by itself when a thread is cancelled.
    needed["libgcc_s.so.1"] = Path(needed["libc.so.6"]).with_name("libgcc_s.so.1")
    return [
        Path(shutil.copy(source, prefix / "lib" / name)) for name, source in sorted(needed.items())
    ]


def linked_libraries(path: Path) -> Iterator[tuple[str, Path]]:
    result = subprocess.run(["ldd", path], capture_output=True, text=True)
    for line in result.stdout.splitlines():
        if "not found" in line:
            raise SystemExit(f"{path} needs a library that is not installed: {line.strip()}")
        if found := re.search(r"(?:\S+ => )?(/\S+) \(0x", line):
            library = Path(found[1])
            if not library.is_relative_to(PACKAGES):
                yield library.name, library


def is_loader(path: Path) -> bool:
    return path.name.startswith("ld-linux")


def set_search_paths(prefix: Path, libraries: list[Path]) -> None:
    loader = next(path for path in libraries if is_loader(path))
    interpreter = prefix / "bin/python3"
    patchelf("--set-interpreter", loader, interpreter)
    for path in [interpreter, *elf_files(prefix / "lib")]:
        if is_loader(path) or path.name == "libc.so.6":  # neither searches for anything
            continue
        own = rpath_of(path)
        kept = [own] if "$ORIGIN" in own else []  # a wheel's own libraries, beside the module
        patchelf("--force-rpath", "--set-rpath", ":".join([*kept, f"{prefix}/lib"]), path)


def rpath_of(path: Path) -> str:
    command = ["patchelf", "--print-rpath", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def patchelf(*arguments: str | Path) -> None:
    subprocess.run(["patchelf", *arguments], check=True)


def keep_to_prefix(prefix: Path, libraries: list[Path]) -> None:
    """Lets our libraries look for their own files under the prefix, or where there are none."""
    names = {"prefix": str(prefix), "machine": os.uname().machine}
    for library in libraries:
        for start, strings in OWN_FILES.items():
            if library.name.startswith(start):
                filled = {old.format(**names): new.format(**names) for old, new in strings.items()}
                replace_strings(library, filled)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
