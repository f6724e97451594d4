"""Lets what a plugin brings run beside the environment's Python, whatever image it is put into.

Wheels and Debian's programs look for shared libraries in the system that they were made for. In
a plugin's `site`, `bin` and `lib` all of them find libraries under the plugin's prefix and under
the environment's, and programs name the environment's loader where it has one of its own. What else
there is under the prefix may be meant for another Python and stays as it is.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ENVIRONMENT = Path("/opt/tether")
PLACES = ("site", "bin", "lib")
ELF_MAGIC = b"\x7fELF"
GLIBC = re.compile(
    r"(ld-linux.*|lib(c|m|dl|rt|util|pthread|resolv|nsl|anl|BrokenLocale|nss_\w+|thread_db|mvec))"
    r"\.so\.\d+"
)
SYMBOL_VERSION = re.compile(rb"\0GLIBC_(\d+)\.(\d+)")


def relocate(prefix: Path) -> list[str]:
    """Changes the files of a plugin; gives what may not work, a sentence each."""
    return list(dict.fromkeys(_Relocation(prefix).carry_out()))


def patchelf(*arguments: str | Path) -> str | None:
    """What it prints; None for a file that is not linked dynamically."""
    done = subprocess.run(["patchelf", *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def machine_of(path: Path) -> bytes | None:
    """The processor that an ELF file is for; None for any other file."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(20)
    return head[18:20] if head.startswith(ELF_MAGIC) else None


@dataclass
class _Relocation:
    prefix: Path
    _known: dict[Path, list[str]] = field(default_factory=dict)

    def carry_out(self) -> Iterator[str]:
        files = list(self._files())
        self._known = {path: needed for path in files if (needed := self._needed(path)) is not None}
        yield from self._gather()
        for path, needed in self._known.items():
            self._lead(path, needed)
            yield from self._too_new(path)

    def _files(self) -> Iterator[Path]:
        own = machine_of((ENVIRONMENT / "bin/python3").resolve())
        for place in PLACES:
            for path in sorted((self.prefix / place).rglob("*")):
                if machine_of(path) == own:
                    yield path

    def _needed(self, path: Path) -> list[str] | None:
        """The libraries that a file names; None for one of another libc, or of none."""
        said = patchelf("--print-needed", path)
        names = None if said is None else said.split()
        return None if names is None or any(map(is_foreign, names)) else names

    def _gather(self) -> Iterator[str]:
        """Copies what is needed and neither the plugin nor the environment has."""
        waiting = list(self._known)
        while waiting:
            path = waiting.pop()
            for name in self._known[path]:
                if self._has(name, path):
                    continue
                if (source := self._of_stage.get(name)) is None:
                    yield f"{path} needs {name}, which is not there; `apt` may name its package"
                    continue
                target = self.prefix / "lib" / name
                target.parent.mkdir(exist_ok=True)
                shutil.copy(source, target)
                self._known[target] = self._needed(target) or []
                self._names.add(name)
                waiting.append(target)

    def _has(self, name: str, user: Path) -> bool:
        if self._loader is None and GLIBC.fullmatch(name):
            return True  # the image's own
        return name in self._names or (ENVIRONMENT / "lib" / name).exists()

    @cached_property
    def _names(self) -> set[str]:
        """What the plugin has, wherever: packages load their own libraries in ways of their own."""
        return {path.name for place in PLACES for path in (self.prefix / place).rglob("*.so*")}

    @cached_property
    def _of_stage(self) -> dict[str, str]:
        """Where the stage has its libraries, by name."""
        listing = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True)
        found: dict[str, str] = {}
        for entry in re.finditer(r"^\t(\S+) \(.*\) => (/\S+)$", listing.stdout, re.MULTILINE):
            found.setdefault(entry[1], entry[2])
        return found

    @cached_property
    def _loader(self) -> str | None:
        """The environment's own; None where it uses the image's, or is linked statically."""
        loader = patchelf("--print-interpreter", ENVIRONMENT / "bin/python3")
        return loader if loader and loader.startswith(f"{ENVIRONMENT}/") else None

    def _lead(self, path: Path, needed: list[str]) -> None:
        """RPATH, which counts before LD_LIBRARY_PATH and for what is loaded further on."""
        own = patchelf("--print-rpath", path) or ""
        program = patchelf("--print-interpreter", path)
        if program and self._loader and program != self._loader:
            patchelf("--set-interpreter", self._loader, path)
        if own or program or not all(map(GLIBC.fullmatch, needed)):
            kept = [part for part in own.split(":") if part.startswith("$ORIGIN")]
            places = [*kept, f"{self.prefix}/lib", f"{ENVIRONMENT}/lib"]
            patchelf("--force-rpath", "--set-rpath", ":".join(places), path)

    def _too_new(self, path: Path) -> Iterator[str]:
        oldest = os.environ.get("GLIBC")
        if self._loader is not None or not oldest:
            return
        found = SYMBOL_VERSION.finditer(path.read_bytes())
        newest = max(((int(one[1]), int(one[2])) for one in found), default=(0, 0))
        if newest > tuple(map(int, oldest.split("."))):
            wanted = ".".join(map(str, newest))
            yield f"{path} needs glibc {wanted}, and images may have {oldest}"


def is_foreign(name: str) -> bool:
    """Whether a library is musl, for which nothing here is meant."""
    return name.startswith("libc.musl-") or name == "libc.so"
