"""Gathers the portable runtime environment under one prefix, in the build stage.

Everything under the prefix finds its loader and libraries there, whatever image it is copied into:
programs name the prefix's own loader, and every library search path is a DT_RPATH, which comes
before LD_LIBRARY_PATH.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PYTHON = Path("/usr/bin/python3.11")
STDLIB = Path("/usr/lib/python3.11")
PACKAGES = Path("/recipe/packages")
ELF_MAGIC = b"\x7fELF"

# The parts of the standard library that nothing in a sandbox uses.
UNUSED = [
    *("EXTERNALLY-MANAGED", "LICENSE.txt", "__phello__", "antigravity.py", "config-3.11-*"),
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

# What the loader reads of the image's own /etc; nothing there is meant for these libraries.
LOADER_FILES = {b"/etc/ld.so.preload": b"preload", b"/etc/ld.so.cache": b"cache"}


def main(prefix: Path) -> None:
    copy_python(prefix)
    copy_tools(prefix)
    libraries = copy_libraries(prefix)
    set_search_paths(prefix, libraries)
    compile_all(prefix)
    make_mount_points(prefix)
    report(prefix)


def copy_python(prefix: Path) -> None:
    """Copies the interpreter, the standard library and the client's dependencies."""
    stdlib = prefix / "lib" / STDLIB.name
    # Debian's sitecustomize.py is a link into /etc.
    left_out = shutil.ignore_patterns("__pycache__", "sitecustomize.py")
    shutil.copytree(STDLIB, stdlib, ignore=left_out)
    remove(stdlib, UNUSED)
    packages = stdlib / "dist-packages"  # where Debian's interpreter looks
    shutil.copytree(PACKAGES, packages, dirs_exist_ok=True)
    remove(packages, UNUSED_IN_PACKAGES)
    # The client's code is copied in later; its folder joins the path when Python starts.
    (packages / "tether.pth").write_text(f"{prefix}/code\n")
    (prefix / "code").mkdir()
    (prefix / "bin").mkdir()
    shutil.copy(PYTHON, prefix / "bin/python3")


def remove(folder: Path, patterns: Iterable[str]) -> None:
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def copy_tools(prefix: Path) -> None:
    """Copies bash, the launcher, descriptions of terminals and the certificate roots."""
    shutil.copy("/bin/bash-static", prefix / "bin/bash")
    shutil.copy("/recipe/launcher", prefix / "bin/tether-runtime-client")
    for name in TERMINALS:
        target = prefix / "share/terminfo" / name[0] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path("/lib/terminfo") / name[0] / name, target)
    roots = prefix / "etc/ssl/cert.pem"
    roots.parent.mkdir(parents=True)
    shutil.copy("/recipe/roots.pem", roots)


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
    blind_loader(loader, prefix)
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


def blind_loader(loader: Path, prefix: Path) -> None:
    """Lets our loader look for the image's preload list and library cache where there is none."""
    content = loader.read_bytes()
    for name, own in LOADER_FILES.items():
        replacement = os.fsencode(prefix) + b"/-" + own[:3]
        if content.count(name + b"\0") != 1 or len(replacement) > len(name):
            raise SystemExit(f"cannot replace {name!r} in {loader}")
        content = content.replace(name + b"\0", replacement.ljust(len(name) + 1, b"\0"))
    loader.write_bytes(content)


def compile_all(prefix: Path) -> None:
    """Compiles every module; the results do not depend on time stamps, which copies change."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(
        prefix / "lib", quiet=1, invalidation_mode=mode, workers=0, stripdir="", maxlevels=20
    ):
        raise SystemExit("some modules could not be compiled")


def make_mount_points(prefix: Path) -> None:
    run = prefix / "run"
    run.mkdir()
    run.chmod(0o1777)
    (prefix / "socket").mkdir(mode=0o755)


def report(prefix: Path) -> None:
    """Prints the size of each part."""
    lib = prefix / "lib"
    stdlib = lib / STDLIB.name
    packages = stdlib / "dist-packages"
    parts = {
        "programs": size(prefix / "bin"),
        "shared libraries": sum(path.stat().st_size for path in lib.glob("*.so*")),
        "standard library": size(stdlib) - size(packages),
        "packages": size(packages),
        "terminals, certificates": size(prefix / "share") + size(prefix / "etc"),
    }
    for name, part in {**parts, "all": size(prefix)}.items():
        sys.stdout.write(f"size of {name}: {part / 1e6:.1f} MB\n")


def size(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
