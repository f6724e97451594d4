"""What both stages of a plugin do to its folder."""

import compileall
import py_compile
import shutil
import subprocess
from pathlib import Path

from words import invalid

PLUGINS = Path("/opt/tether/plugins")


def copy_files(package: Path, files: dict[str, str], prefix: Path) -> None:
    """What a declaration has under `files`."""
    for source, target in files.items():
        place = prefix / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (package / source).is_dir():
            shutil.copytree(package / source, place, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copy(package / source, place)


def finish(prefix: Path) -> None:
    """Nothing leads out, modules are compiled, and everybody may read all of it."""
    refuse_links(prefix)
    compile_all(prefix / "site")
    subprocess.run(["chmod", "-R", "a+rX,go-w,u-s,g-s", prefix], check=True)


def refuse_links(prefix: Path) -> None:
    """Links that lead out of the plugin's folder: in a sandbox there would be something else."""
    for path in prefix.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(prefix):
            invalid(f"the link {path} leads to {path.readlink()}, outside of {prefix}")


def compile_all(site: Path) -> None:
    """Some packages have modules that are no Python of today's: they stay as they are."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(site, quiet=2, force=True, workers=0, invalidation_mode=mode)


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
