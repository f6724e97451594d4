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
from dataclasses import dataclass
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
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(6) as pool:
        get = Getter(pip, Path(place))
        plain = {
            versions: pool.submit(get, "manylinux", versions[0], {**lists["all"], **lists[group]})
            for group, versions in (("older", OLDER), ("newer", NEWER))
        }
        binary = {
            (version, kind): pool.submit(get, kind, version, lists["binary"])
            for version in (*OLDER, *NEWER)
            for kind in PLATFORMS
        }
        for (version, kind), wheels in binary.items():
            target = folder / f"cp{version.replace('.', '')}-{kind}"
            shared = plain[OLDER if version in OLDER else NEWER]
            for wheel in (*shared.result(), *wheels.result()):
                link(unpacked(wheel, folder / "packages"), target)
    precompile(folder / "cp{}{}-manylinux".format(*sys.version_info))


@dataclass(frozen=True)
class Getter:
    """Gets wheels by pip, each call into a folder of its own."""

    pip: str
    place: Path

    def __call__(self, kind: str, version: str, wanted: Mapping[str, str]) -> list[Path]:
        """The wheels for a Python of a platform."""
        target = Path(tempfile.mkdtemp(dir=self.place))
        command = [self.pip, "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", str(target), "--disable-pip-version-check"]
        command += ["--implementation", "cp", "--python-version", version]
        for platform in PLATFORMS[kind]:
            command += ["--platform", f"{platform}_{os.uname().machine}"]
        command += [f"{name}=={number}" for name, number in wanted.items()]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
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
