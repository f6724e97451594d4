"""Which bash to run: the image's own where it passes a self-test, else the bundled one.

The self-test brings up a real shell and has it do what sessions rely on; a shell that merely
calls itself bash (busybox has one) fails it. Where the sandbox has no means for one, that is no
bash's fault: the first is taken untried, and each start of a session says what is missing.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .bring_up import Plan, bring_up, end_shell, starves
from .command import CommandEnd, EndReason, RunningCommand
from .errors import NoMeans, NoRoom, NoShell, ShellStartError
from .family import Family
from .run import Request, Run
from .shell import Shell
from .shell_end import ShellEnd
from .status import StatusRecord

OLDEST = (4, 4)
_PLACES = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/run/current-system/sw/bin/bash")
_OPTIONS = ("SHELLOPTS", "BASHOPTS")  # an image's wish (to trace, say), and not its bash's fault
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+")


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a candidate's self-test found. `problem` is empty when it passed.

    `untried` says that the sandbox has no means for any shell just now, which `problem` names.
    """

    path: str
    version: str
    problem: str
    untried: bool = False


@dataclass(frozen=True, slots=True)
class BashChoice:
    """The bash to run, its version, why this one, and what is wrong with those before it."""

    path: str
    version: str
    reason: str
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def explanation(self) -> str:
        """The reason, and what was wrong with those that came first."""
        return "; ".join([self.reason, *(f"{path}: {problem}" for path, problem in self.refused)])


async def choose_bash(
    *,
    asked: str | None = None,
    bundled: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
) -> BashChoice:
    """Try the bash asked for, or else the image's ones, then the bundled one; take the first.

    `bundled` is by default the one beside this Python. `env` is the sessions' environment: its
    PATH is searched. Each candidate gets `timeout_s` seconds. Raises NoShell.
    """
    env = dict(os.environ) if env is None else env
    refused: list[tuple[str, str]] = []
    for path, reason in _candidates(asked, bundled, env):
        tested = await bash_selftest(path, env=env, timeout_s=timeout_s)
        if tested.untried:
            reason = f"{reason}, untried: {tested.problem}"
        if tested.untried or not tested.problem:
            return BashChoice(path, tested.version, reason, tuple(refused))
        refused.append((path, tested.problem))
    raise NoShell(refused)


def _candidates(
    asked: str | None, bundled: str | None, env: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    ours = bundled or bundled_bash()
    found = [asked] if asked else [shutil.which("bash", path=env.get("PATH")), *_PLACES]
    seen: set[str] = set()
    for path in [*found, ours]:
        if path and os.path.exists(path) and os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            first = "asked for" if asked else "the image's own"
            yield path, "the bundled one" if path == ours else first


def bundled_bash() -> str:
    """Where the one beside this Python is, if there is one."""
    return os.path.join(sys.prefix, "bin", "bash")


async def bash_selftest(
    path: str, *, env: Mapping[str, str] | None = None, timeout_s: float = 5.0
) -> SelfTest:
    """Bring up this bash and try what sessions need of it. Never raises for a bad candidate."""
    tried_in = {name: value for name, value in (env or {}).items() if name not in _OPTIONS}
    family = Family()
    plan = Plan(path, "/", tried_in, (24, 80), family, "none", timeout_s, restore=False)
    try:
        async with asyncio.timeout(timeout_s):
            shell = await bring_up(plan, _Owner(), _ignore)
            try:
                return await _try_out_fed(path, shell)
            finally:
                await end_shell(shell, family)
    except NoMeans as error:
        return SelfTest(path, "", str(error), untried=True)
    except ShellStartError as error:
        return SelfTest(path, "", str(error))
    except TimeoutError:
        return SelfTest(path, "", f"the self-test took longer than {timeout_s:g} s")


async def _try_out_fed(path: str, shell: Shell) -> SelfTest:
    """Try it out. Raises NoRoom where it finds no room for a process again and again."""
    trying = asyncio.create_task(_try_out(path, shell))
    starving = asyncio.create_task(starves(shell.pid))
    try:
        await asyncio.wait([trying, starving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        starving.cancel()
        if not trying.done():
            trying.cancel()
    if trying.cancelled() or not trying.done():
        raise NoRoom(f"a program from {path}")
    return trying.result()


async def _try_out(path: str, shell: Shell) -> SelfTest:
    said, _ = await _run(shell, "printf %s $BASH_VERSION; exec 2>/dev/null")
    version = said.decode("ascii", "replace")
    found = _VERSION.match(version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return SelfTest(
            path, version, f"version {version or 'unknown'}; at least {oldest} is needed"
        )
    said, end = await _run(shell, "printf lost >&2; printf 'a\\0b'; (exit 77)")
    if said != b"a\0b" or end.exit_code != 77:
        return SelfTest(path, version, "output and exit status do not come back as they are")
    _, end = await _run(shell, "printf busy; while :; do :; done", interrupt=True)
    if (end.reason, end.exit_code) != ("interrupted", 130):
        return SelfTest(path, version, "an interrupt does not end a loop; has it job control?")
    return SelfTest(path, version, "")


async def _run(shell: Shell, text: str, *, interrupt: bool = False) -> tuple[bytes, CommandEnd]:
    output = _Collected()
    command = RunningCommand(text, output)
    shell.begin(Request(command))
    if interrupt:
        await asyncio.wait([command.done, output.begun], return_when=asyncio.FIRST_COMPLETED)
        if shell.run is not None:
            shell.interrupt(shell.run, signal.SIGINT)
    end = await command.done
    return output.data, end


class _Collected:
    def __init__(self) -> None:
        self.data = b""
        self.begun = asyncio.get_running_loop().create_future()

    def write(self, data: memoryview | bytes, /) -> None:
        self.data += data
        if not self.begun.done():
            self.begun.set_result(None)


class _Owner:
    """Hears of ends; nothing else matters to a shell that is only tried out."""

    def finished(self, shell: Shell, run: Run, record: StatusRecord) -> None:
        reason: EndReason = "interrupted" if record.torn else "completed"
        run.command.finish(CommandEnd(record.exit_code, reason, shell.cwd))

    def over(self, shell: Shell, end: ShellEnd) -> None:
        if shell.run is not None:
            run, shell.run = shell.run, None
            ended = CommandEnd(end.exit_code, "session_ended", shell.cwd, detail=end.reason)
            run.command.finish(ended)

    def background(self, shell: Shell, data: memoryview | bytes) -> None: ...

    def warning(self, shell: Shell, message: str) -> None: ...

    def gone(self, shell: Shell) -> None: ...


def _ignore(_: str) -> None: ...
