"""The names of the kernels that there are, for a later life of the plugin: it has lost them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tether_runtime_client.protocol.jupyter import KernelEnd

_END = KernelEnd(cause="killed", reason="the plugin's process has ended, and its kernels with it")


class Remembered:
    """A file for each name. What cannot be written is not remembered, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._earlier = {file.name for file in folder.glob("*")}

    def add(self, name: str) -> None:
        """A kernel of that name has state from now on."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / name).touch()

    def forget(self, name: str) -> None:
        """It was ended on purpose."""
        with suppress(OSError):
            (self._folder / name).unlink()

    def take(self, name: str) -> KernelEnd | None:
        """How a kernel of an earlier life ended; told once."""
        if name not in self._earlier:
            return None
        self._earlier.discard(name)
        return _END
