"""Run by `setup.sh` in the build stage: unpacks what kernels need, once for all Pythons that can
share it.

`FOLDER/packages` has each wheel in a folder of its own, and `FOLDER/cp312-manylinux`, which goes
into that Python's path, links to what belongs there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

OLDER = ("3.9", "3.10")
NEWER = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "manylinux": ("manylinux_2_28", "manylinux_2_26", "manylinux_2_17", "manylinux2014"),
    "musllinux": ("musllinux_1_2", "musllinux_1_1"),
}
UNUSED = ("**/tests", "**/test", "**/*.pyi", "pip/_vendor/distlib/*.exe", "**/*.c", "**/*.pxd")
NOT_LOADED = ("pip",)
RARELY_LOADED = r"/pygments/(lexers|styles|formatters)/|/(sphinxext|resources|contrib)/"


def main() -> None:
    folder, pip = Path(sys.argv[1]), sys.argv[2]
    lists = tomllib.loads(Path(__file__).with_name("brought.toml").read_text())
    jobs = [
        (kind, version, {**lists["all"], **lists["binary"], **lists[group]})
        for group, versions in (("older", OLDER), ("newer", NEWER))
        for version in versions
        for kind in PLATFORMS
    ]
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(4) as pool:
        wheels = pool.map(lambda job: download(pip, Path(place), *job), jobs)
        for (kind, version, _), found in zip(jobs, wheels, strict=True):
            tag = f"cp{version.replace('.', '')}-{kind}"
            for wheel in found:
                link(unpacked(wheel, folder / "packages"), folder / tag)
    own = "cp{}{}-manylinux".format(*sys.version_info)
    precompile(folder / own)


def download(
    pip: str, place: Path, kind: str, version: str, wanted: Mapping[str, str]
) -> list[Path]:
    """The wheels for one Python: those that others have too are the same ones."""
    target = place / f"{version}-{kind}"
    platforms = [f"{name}_{os.uname().machine}" for name in PLATFORMS[kind]]
    command = [pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", target]
    command += ["--disable-pip-version-check", "--implementation", "cp"]
    command += ["--python-version", version]
    for platform in platforms:
        command += ["--platform", platform]
    requirements = [f"{name}=={number}" for name, number in wanted.items()]
    subprocess.run([*map(str, command), *requirements], check=True, stdin=subprocess.DEVNULL)
    return sorted(target.glob("*.whl"))


def unpacked(wheel: Path, packages: Path) -> Path:
    """The folder of a wheel's packages, without its scripts and data and what nobody runs."""
    folder = packages / wheel.stem
    if not folder.exists():
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if ".data/" not in name]
            archive.extractall(folder, names)
        for path in [path for pattern in UNUSED for path in folder.glob(pattern)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return folder


def link(package: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in package.iterdir():
        (folder / entry.name).symlink_to(os.path.relpath(entry, folder))


def precompile(folder: Path) -> None:
    """What the environment's Python, and images' of that version, load with each kernel."""
    parts = {str(entry.resolve()) for entry in folder.iterdir() if entry.name not in NOT_LOADED}
    command = [sys.executable, "-I", "-m", "compileall", "-q", "-j", "0", "-x", RARELY_LOADED]
    subprocess.run([*command, "--invalidation-mode", "unchecked-hash", *parts], check=True)


if __name__ == "__main__":
    main()
