"""Starts kernels: in the first of several Pythons in which one comes up."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.plugin.processes import (
    HIDDEN,
    OomKills,
    hidden_environment,
    raise_oom_score,
)
from tether_runtime_client.plugin.skills import skill_folders
from tether_runtime_client.protocol.errors import KernelStartFailed
from tether_runtime_client.protocol.jupyter import PythonInfo

from .config import JupyterConfig
from .process import KernelProcess
from .pythons import Candidate
from .text import cut

_PROGRAM = str(Path(__file__).with_name("kernel_start.py"))
_LONGEST_PATH = 90
_TOLD = 64 * 1024


class Unfit(Exception):
    """No kernel comes up in a Python; the text says why. A `lasting` reason needs no second try."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


def _pipe(here: ExitStack, there: ExitStack) -> tuple[int, int]:
    """The end to read from, which stays here, and the one that a kernel gets."""
    ends = os.pipe2(os.O_CLOEXEC)
    here.callback(os.close, ends[0])
    there.callback(os.close, ends[1])
    return ends


@dataclass(frozen=True, slots=True)
class Started:
    """A kernel's process that has its sockets, and what they are known by."""

    process: KernelProcess
    manager: AsyncKernelManager
    python: PythonInfo
    folder: Path

    def remove(self) -> None:
        """Its files and what is open of it, after its end. Twice is safe."""
        self.process.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Launcher:
    """Starts kernels for one plugin. `state` is the plugin's own folder."""

    def __init__(self, config: JupyterConfig, places: PluginPlaces, oom_kills: OomKills) -> None:
        self._config = config
        self._places = places
        self._oom_kills = oom_kills
        self._unfit: dict[tuple[str, int, bool], str] = {}
        self._context: zmq.asyncio.Context | None = None
        self._kernels = places.state / "kernels"
        shutil.rmtree(self._kernels, ignore_errors=True)
        self._folder_fd = -1

    def close(self) -> None:
        """After the end of all kernels."""
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
        if self._context is not None:
            self._context.destroy(linger=0)

    async def start(
        self, found: list[Candidate], environment: Mapping[str, str], cwd: str
    ) -> Started:
        """A kernel in the first of them in which one comes up.

        Raises `KernelStartFailed`, which says of each why none did.
        """
        reasons: list[str] = []
        for candidate in found:
            for ignore_own in (False, True) if candidate.source != "environment" else (False,):
                try:
                    return await self._start(candidate, environment, cwd, ignore_own, reasons)
                except Unfit as problem:
                    reasons.append(f"{candidate.executable}: {problem}")
                    if "ipykernel cannot be imported" not in str(problem):
                        break  # without its own one it would be no other
        raise KernelStartFailed("; ".join(dict.fromkeys(reasons)))

    async def _start(
        self,
        candidate: Candidate,
        environment: Mapping[str, str],
        cwd: str,
        ignore_own: bool,
        reasons: list[str],
    ) -> Started:
        key = (candidate.executable, _changed(candidate.executable), ignore_own)
        if key in self._unfit:
            raise Unfit(self._unfit[key])
        folder = self._new_folder()
        try:
            return await self._start_in(folder, candidate, environment, cwd, ignore_own, reasons)
        except Unfit as problem:
            if problem.lasting and candidate.source == "image":
                self._unfit[key] = str(problem)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _new_folder(self) -> Path:
        """For one kernel. A cell may have removed the one that all are in."""
        try:
            if self._folder_fd < 0 or not self._kernels.is_dir():
                self._kernels.mkdir(mode=0o700, parents=True, exist_ok=True)
                place = os.open(self._kernels, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                self._folder_fd, former = place, self._folder_fd
                if former >= 0:
                    os.close(former)
            return Path(tempfile.mkdtemp(prefix="", dir=self._kernels))
        except OSError as problem:
            raise KernelStartFailed(
                f"there is no place for a kernel's files: {problem}",
                hint="Free space in the sandbox, or give its run directory back",
            ) from None

    async def _start_in(
        self,
        folder: Path,
        candidate: Candidate,
        environment: Mapping[str, str],
        cwd: str,
        ignore_own: bool,
        reasons: list[str],
    ) -> Started:
        ours = candidate.source == "environment"
        with ExitStack() as here:
            with ExitStack() as there:
                told, status = _pipe(here, there)
                errors, stderr = _pipe(here, there)
                settings = self._settings(folder, status, ours, ignore_own, environment)
                flags = ("-I", "-X", "utf8") if ours else ()
                argv = [candidate.executable, *flags, _PROGRAM, settings]
                env = hidden_environment(environment) if ours else dict(environment)
                manager, popen = await self._spawn(folder, argv, env, cwd, status, stderr)
            process = KernelProcess(popen, os.dup(errors), self._oom_kills)
            try:
                answer = await self._answer(told, process)
            except BaseException:
                process.kill("killed", "it did not come up")
                await asyncio.shield(process.ended.wait())
                process.close()
                raise
        return Started(process, manager, _python(candidate, answer, reasons), folder)

    async def _spawn(
        self, folder: Path, argv: list[str], env: dict[str, str], cwd: str, status: int, stderr: int
    ) -> tuple[AsyncKernelManager, subprocess.Popen[bytes]]:
        manager = self._manager(folder, argv)
        try:
            await manager.start_kernel(
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(status, self._folder_fd),
            )
        except OSError as problem:
            raise Unfit(f"it cannot be run: {problem}") from None
        manager._close_control_socket()  # `Channels` has one
        popen: subprocess.Popen[bytes] = manager.provisioner.process  # type: ignore[union-attr]
        raise_oom_score(popen.pid)
        return manager, popen

    def _manager(self, folder: Path, argv: list[str]) -> AsyncKernelManager:
        """jupyter_client's, told what to run instead of looking for a kernel's specification."""
        if self._context is None:
            from .channels import new_context

            self._context = new_context()
        base = folder / "s"
        if len(os.fsencode(base)) > _LONGEST_PATH:  # a socket's path may not be longer
            base = Path(f"/proc/self/fd/{self._folder_fd}") / folder.name / "s"
        manager = AsyncKernelManager(
            context=self._context,
            transport="ipc",
            ip=str(base),
            connection_file=str(folder / "connection.json"),
        )
        spec = KernelSpec(argv=argv, language="python", display_name="Python")
        manager._kernel_spec = spec
        manager.provisioner = LocalProvisioner(
            kernel_id=folder.name, kernel_spec=spec, parent=manager
        )
        return manager

    def _settings(
        self,
        folder: Path,
        status: int,
        ours: bool,
        ignore_own: bool,
        environment: Mapping[str, str],
    ) -> str:
        """What `kernel_start` is given."""
        places = self._places
        packages = places.prefix / "kernels" if places.prefix is not None else None
        settings: dict[str, Any] = {
            "connection": str(folder / "connection.json"),
            "status": status,
            "handed": [status, self._folder_fd],
            "parent": os.getpid(),
            "state": str(places.state),
            "packages": str(packages) if packages is not None and packages.is_dir() else None,
            "ours": ours,
            "site": [path for path in sys.path if _is_below(path, places.prefix)] if ours else [],
            "ignore_own": ignore_own,
            "hidden": HIDDEN,
            "variables": sorted(environment.keys() - hidden_environment(environment).keys()),
            "skills": skill_folders(places.plugins, places.skills),
        }
        return json.dumps(settings)

    async def _answer(self, told: int, process: KernelProcess) -> dict[str, Any]:
        """What it says of itself. Raises `Unfit`."""
        try:
            async with asyncio.timeout(self._config.start_timeout_s):
                data = await _read_all(told)
        except TimeoutError:
            raise Unfit(f"it took more than {self._config.start_timeout_s:g} s") from None
        try:
            answer = json.loads(data)
        except ValueError:
            async with asyncio.timeout(self._config.start_timeout_s):
                await process.ended.wait()
            last = process.output.strip().rpartition("\n")[2] or "it said nothing"
            if last.startswith("SyntaxError"):
                raise Unfit("it is older than Python 3.9", lasting=True) from None
            ended = process.end.reason if process.end is not None else "it did not answer"
            raise Unfit(f"{ended}: {cut(last, 500)}") from None
        if not isinstance(answer, dict) or "problem" in answer:
            said = answer["problem"] if isinstance(answer, dict) else answer
            raise Unfit(cut(str(said), 1000), lasting=True)
        return answer


def _is_below(path: str, prefix: Path | None) -> bool:
    return prefix is not None and Path(path).is_relative_to(prefix)


async def _read_all(descriptor: int) -> bytes:
    """To the end, or to more than it may be."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, readable.set)
    found = b""
    try:
        while len(found) < _TOLD:
            await readable.wait()
            readable.clear()
            try:
                data = os.read(descriptor, _TOLD)
            except BlockingIOError:  # it was told twice
                continue
            if not data:
                return found
            found += data
    finally:
        loop.remove_reader(descriptor)
    return found


def _python(candidate: Candidate, answer: dict[str, Any], reasons: list[str]) -> PythonInfo:
    brought = answer.get("brought")
    return PythonInfo(
        executable=cut(str(answer.get("executable") or candidate.executable), 4096),
        version=cut(str(answer.get("version")), 64),
        source=candidate.source,
        ipykernel=cut(str(answer.get("ipykernel")), 64),
        brought=brought if brought in ("after", "before") else "none",
        reason="; ".join([*([candidate.reason] if candidate.reason else []), *reasons]),
    )


def _changed(executable: str) -> int:
    try:
        return os.stat(executable).st_mtime_ns
    except OSError:
        return 0
