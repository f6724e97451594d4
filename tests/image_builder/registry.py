"""A real image registry on this machine, for as long as a test: Debian's `docker-registry`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tether_image_builder.locks import cache_folder

PACKAGE = "docker-registry"
USER, PASSWORD = "agent", "correct horse"
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """A registry that runs; the names of its images begin with `address`."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.address = address
        self._process = process
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()

    def _drain(self) -> None:
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            continue

    def stop(self) -> None:
        """Ends it at once; twice is fine."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def digest(self, repository: str, tag: str) -> str:
        """The digest that it has for a tag."""
        url = f"http://{self.address}/v2/{repository}/manifests/{tag}"
        request = urllib.request.Request(url, headers={"Accept": MANIFEST})
        with urllib.request.urlopen(request) as answer:
            return f"sha256:{hashlib.sha256(answer.read()).hexdigest()}"


@contextmanager
def running_registry(
    folder: Path, *, read_only: bool = False, with_password: bool = False
) -> Iterator[Registry]:
    """A registry with a store of its own in a folder, on a free port."""
    settings: dict[str, Any] = {
        "version": "0.1",
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "store")},
            "maintenance": {"readonly": {"enabled": read_only}},
        },
        "http": {"addr": "127.0.0.1:0"},
    }
    if with_password:
        (folder / "htpasswd").write_text(HTPASSWD)
        realm = {"realm": "test", "path": str(folder / "htpasswd")}
        settings["auth"] = {"htpasswd": realm}
    path = folder / "registry.json"
    path.write_text(json.dumps(settings))  # YAML too
    process = subprocess.Popen(
        [_program(), "serve", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    registry = Registry(process, _address(process))
    try:
        yield registry
    finally:
        registry.stop()
        process.stdout.close()  # type: ignore[union-attr]


def _address(process: subprocess.Popen[str]) -> str:
    """It says where it listens once it does."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
            return found[1]
    raise RuntimeError(f"the registry ended: {''.join(said)}")


def _program() -> Path:
    """The registry's program: installed, else out of its package, which starts nothing so."""
    if installed := shutil.which(PACKAGE):
        return Path(installed)
    folder = cache_folder() / PACKAGE
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / "package" / "usr" / "bin" / PACKAGE
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.is_file():
            _unpack(folder)
    return found


def _unpack(folder: Path) -> None:
    command = ["apt-get", "-q", "download", PACKAGE]
    if subprocess.run(command, cwd=folder, capture_output=True).returncode:
        subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=True)
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    [package] = folder.glob(f"{PACKAGE}_*.deb")
    new = folder / "new"
    shutil.rmtree(new, ignore_errors=True)
    subprocess.run(["dpkg-deb", "--extract", package, new], check=True)
    package.unlink()
    new.rename(folder / "package")
