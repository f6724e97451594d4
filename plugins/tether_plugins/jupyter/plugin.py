"""The plugin's class: an action each, passed to the kernel that it names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tether_runtime_client.plugin import ActionContext, Plugin, handles
from tether_runtime_client.protocol.errors import KernelLimit, NoSuchKernel
from tether_runtime_client.protocol.jupyter import (
    IPythonCompleteAction,
    IPythonCompleteObservation,
    IPythonInputAction,
    IPythonInspectAction,
    IPythonInspectObservation,
    IPythonInterruptAction,
    IPythonInterruptObservation,
    IPythonKernelObservation,
    IPythonListKernelsAction,
    IPythonListKernelsObservation,
    IPythonRestartAction,
    IPythonRunCellAction,
    IPythonRunCellObservation,
    IPythonShutdownAction,
)

from . import limits
from .bundles import Bundler
from .config import JupyterConfig
from .files import OutputFiles
from .kernel import Kernel
from .remembered import Remembered
from .text import plain, sane

if TYPE_CHECKING:
    from .launch import Started


class Jupyter(Plugin[JupyterConfig]):
    """Kernels by name. They are started by their first cell, and end with the plugin."""

    def __init__(self) -> None:
        from tether_runtime_client.plugin.processes import OomKills, find_counter

        self._kernels: dict[str, Kernel] = {}
        self._files = OutputFiles(
            self.places.state / "outputs", self.config.cell_files_bytes, self.config.files_bytes
        )
        self._oom_kills = OomKills(find_counter())
        self._remembered = Remembered(self.places.state / "names")

    async def start(self) -> None:
        """Only what is needed for the first kernel."""
        from .launch import Launcher

        self._launcher = Launcher(self.config, self.places, self._oom_kills)

    async def stop(self) -> None:
        """End all kernels, side by side."""
        await asyncio.gather(
            *(kernel.shut_down() for kernel in self._kernels.values()), return_exceptions=True
        )
        self._launcher.close()
        self._oom_kills.close()

    @handles(IPythonRunCellAction)
    async def run_cell(
        self, action: IPythonRunCellAction, context: ActionContext
    ) -> IPythonRunCellObservation:
        return await self._kernel(action.kernel).run(action, context)

    @handles(IPythonInputAction)
    async def answer(
        self, action: IPythonInputAction, context: ActionContext
    ) -> IPythonRunCellObservation:
        return await self._known(action.kernel).answer(action, context)

    @handles(IPythonInterruptAction)
    async def interrupt(
        self, action: IPythonInterruptAction, context: ActionContext
    ) -> IPythonInterruptObservation:
        return await self._known(action.kernel).interrupt(action, context)

    @handles(IPythonRestartAction)
    async def restart(
        self, action: IPythonRestartAction, context: ActionContext
    ) -> IPythonKernelObservation:
        kernel = self._kernel(action.kernel)
        return IPythonKernelObservation(kernel=await kernel.restart(action.python, context))

    @handles(IPythonShutdownAction)
    async def shut_down(
        self, action: IPythonShutdownAction, context: ActionContext
    ) -> IPythonKernelObservation:
        kernel = self._known(action.kernel)
        del self._kernels[action.kernel]
        self._remembered.forget(action.kernel)
        return IPythonKernelObservation(kernel=await kernel.shut_down())

    @handles(IPythonListKernelsAction)
    async def list_kernels(
        self, action: IPythonListKernelsAction, context: ActionContext
    ) -> IPythonListKernelsObservation:
        found = sorted(self._kernels.items())
        return IPythonListKernelsObservation(kernels=tuple(kernel.info() for _, kernel in found))

    @handles(IPythonCompleteAction)
    async def complete(
        self, action: IPythonCompleteAction, context: ActionContext
    ) -> IPythonCompleteObservation:
        cursor = _cursor(action)
        content = {"code": action.code, "cursor_pos": cursor}
        kernel = self._kernel(action.kernel)
        answer = await kernel.ask("complete_request", content, action.timeout_s, context)
        found = answer.get("matches")
        found = found if isinstance(found, list) else []
        matches = [sane(one) for one in found if isinstance(one, str)]
        short = [one for one in matches[: limits.MATCHES] if len(one) <= limits.NAME]
        return IPythonCompleteObservation(
            matches=tuple(short),
            start=_position(answer.get("cursor_start"), cursor, len(action.code)),
            end=_position(answer.get("cursor_end"), cursor, len(action.code)),
            truncated=len(short) < len(matches),
        )

    @handles(IPythonInspectAction)
    async def inspect(
        self, action: IPythonInspectAction, context: ActionContext
    ) -> IPythonInspectObservation:
        content = {
            "code": action.code,
            "cursor_pos": _cursor(action),
            "detail_level": action.detail,
        }
        kernel = self._kernel(action.kernel)
        answer = await kernel.ask("inspect_request", content, action.timeout_s, context)
        files = self._files.of(context.action_id)
        data, _ = Bundler(files).bundle(answer.get("data"), answer.get("metadata"))
        return IPythonInspectObservation(
            found=answer.get("found") is True, content=plain(data.text or ""), data=data
        )

    def _kernel(self, name: str) -> Kernel:
        """A kernel that may have to be started."""
        if name not in self._kernels:
            if len(self._kernels) >= self.config.max_kernels:
                raise KernelLimit(f"there are {len(self._kernels)} kernels already", kernel=name)
            self._kernels[name] = Kernel(
                name, self.config, self._start, self._files, self._oom_kills
            )
            self._kernels[name].lost = self._remembered.take(name)
            self._remembered.add(name)
        return self._kernels[name]

    def _known(self, name: str) -> Kernel:
        if name not in self._kernels:
            raise NoSuchKernel(f"there is no kernel {name!r}", kernel=name)
        return self._kernels[name]

    async def _start(
        self, python: str | None, session: str | None, context: ActionContext
    ) -> Started:
        from .pythons import candidates

        environment = await context.session_environment(session or "default")
        folder = self.places.workdir
        if session is not None:
            folder = await context.session_folder(session)
        found = candidates(python or self.config.python, self.config.pythons, environment)
        return await self._launcher.start(found, environment, str(folder))


def _cursor(action: IPythonCompleteAction | IPythonInspectAction) -> int:
    end = len(action.code)
    return end if action.cursor is None else min(action.cursor, end)


def _position(value: Any, otherwise: int, most: int) -> int:
    return value if type(value) is int and 0 <= value <= most else otherwise
