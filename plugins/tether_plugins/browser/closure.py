"""Run by `setup.sh` in the build stage: Chromium and what drives it, with all that they load.

Everything goes into `PREFIX/chromium`, which has a loader and libraries of its own: what libc the
image has, and which runtime environment, makes no difference. What only screens, printers, other
languages and debuggers need stays behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHROMIUM = Path("/usr/lib/chromium")
PROGRAM = "chromium-headless-shell"
DATA = (
    "icudtl.dat",
    "v8_context_snapshot.bin",
    "headless_lib_data.pak",
    "headless_lib_strings.pak",
    "headless_command_resources.pak",
    "libvk_swiftshader.so",  # WebGL without a graphics card
    "vk_swiftshader_icd.json",
    "libvulkan.so.1",
)
LOADED_BY_NAME = re.compile(r"lib(softokn3|freebl3|freeblpriv3|nssckbi)\.so")
"""NSS's modules: no ELF file names them."""
FONTS = (
    "truetype/liberation/*.ttf",
    "truetype/dejavu/DejaVuSans*.ttf",
    "truetype/droid/DroidSansFallbackFull.ttf",
    "truetype/noto/NotoColorEmoji.ttf",
)
UNUSED = (
    "playwright/driver/package/lib/vite",
    "playwright/driver/package/types",
    "playwright/driver/package/lib/webp_codec.wasm",
    "playwright/sync_api",
    "greenlet/platform",
    "greenlet/tests",
    "greenlet/*.cpp",
    "greenlet/*.h",
    "greenlet/*.hpp",
    "include",
)
"""Viewers for people, declarations, sources in C, and what this plugin does not call."""


def main() -> None:
    prefix, site = Path(sys.argv[1]), Path(sys.argv[2])
    folder = prefix / "chromium"
    (folder / "lib").mkdir(parents=True)
    for name in (PROGRAM, *DATA):
        shutil.copy(CHROMIUM / name, folder / name)
    take_node(site / "playwright", folder / "node")
    trim(site)
    copy_fonts(folder / "fonts")
    shutil.copy("fonts.conf", folder / "fonts.conf")
    close(folder)


def take_node(playwright: Path, target: Path) -> None:
    """Playwright's own node, without the symbols that only debuggers read."""
    shutil.move(playwright / "driver" / "node", target)
    subprocess.run(["strip", "--strip-all", target], check=True)


def trim(site: Path) -> None:
    """Leaves out what is not used, and of modules in C the symbols that only debuggers read."""
    for path in [path for pattern in UNUSED for path in site.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in site.rglob("*.so"):
        subprocess.run(["strip", "--strip-unneeded", path], check=True)


def copy_fonts(folder: Path) -> None:
    folder.mkdir()
    for pattern in FONTS:
        found = sorted(Path("/usr/share/fonts").glob(pattern))
        if not found:
            raise SystemExit(f"no font is at {pattern}")
        for path in found:
            shutil.copy(path.resolve(), folder / path.name)


def close(folder: Path) -> None:
    """Copies the libraries that are needed, and leads everything to them and to their loader."""
    known = dict(libraries())
    loader = patchelf("--print-interpreter", folder / PROGRAM)
    known[Path(loader).name] = Path(loader)
    waiting = [path for path in folder.iterdir() if is_elf(path)]
    waiting += [copied(known[name], folder) for name in known if LOADED_BY_NAME.fullmatch(name)]
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        for name in needed(path):
            if name not in known:
                raise SystemExit(f"{path.name} needs {name}, which none of the packages has")
            waiting.append(copied(known[name], folder))
    target = folder / "lib" / Path(loader).name
    for path in sorted(done - {target}):
        lead(path, folder, target)


def copied(source: Path, folder: Path) -> Path:
    target = folder / "lib" / source.name
    if not target.exists():
        shutil.copy(source.resolve(), target)
    return target


def lead(path: Path, folder: Path, loader: Path) -> None:
    """RPATH goes before the LD_LIBRARY_PATH that an image may have.

    Chromium has none: its names take 16 MB, which would be copied to make room for one more. It
    is started with a LD_LIBRARY_PATH instead.
    """
    if path.parent == folder and ".so" not in path.name:
        patchelf("--set-interpreter", loader, path)
    if path.name != PROGRAM:
        patchelf("--force-rpath", "--set-rpath", str(folder / "lib"), path)


def libraries() -> Iterator[tuple[str, Path]]:
    """What the stage has, by name. NSS's modules are in a folder that the cache leaves out."""
    listing = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True)
    for entry in re.finditer(r"^\t(\S+) \(.*\) => (/\S+)$", listing.stdout, re.MULTILINE):
        yield entry[1], Path(entry[2])
    for folder in Path("/usr/lib").glob(f"{os.uname().machine}-*"):
        for path in (*folder.glob("nss/*.so"), *folder.glob("pulseaudio/*.so")):
            yield path.name, path


def needed(path: Path) -> list[str]:
    return patchelf("--print-needed", path).split()


def is_elf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def patchelf(*arguments: str | Path) -> str:
    command = ["patchelf", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
