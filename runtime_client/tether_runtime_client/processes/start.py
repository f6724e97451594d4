"""Starting a process, and telling apart the reasons why that fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from ..oom_score import CHILD_OOM_SCORE
from .pipes import InputPipe, OutputPipe, widen
from .process import Process
from .program import (
    DEFAULT_PATH,
    argument_list,
    check_folder,
    check_strings,
    explain,
    find_program,
    spawn_failed,
)
from .users import Account, find_account

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, memoryview], None]

#: Standard input that is written later, with `Process.write_stdin`.
PIPE: Final = "pipe"


def start_process(
    command: Sequence[str] | str,
    on_output: OnOutput,
    *,
    stdin: bytes | Literal["pipe"] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: str | int | None = None,
    umask: int | None = None,
    shell: Sequence[str] = ("/bin/sh", "-c"),
    on_late_output: OnOutput | None = None,
    oom_score: int | None = CHILD_OOM_SCORE,
) -> Process:
    """Start a process in a session of its own, on the running loop, and return it at once.

    `command` is an argument list, or text for `shell`. `on_output` gets every piece of output in
    the order it was written within a stream; the view is good only during the call, so copy what
    is to be kept. `on_late_output` gets what processes left behind write after the end (None:
    read and dropped). `stdin` is the whole input, PIPE to write it later, or None for an empty
    one. `env` is the whole environment, not an addition; None stands for this process's. `user`
    is `name`, `uid`, `uid:gid` or `name:group`, and sets HOME, USER and LOGNAME.

    Raises a ProcessStartError; nothing is left behind then. Blocks the loop until the program is
    loaded: 0.7 ms, 3 ms with another `user`.
    """
    argv = argument_list(command, shell)
    account = find_account(user) if user is not None else None
    environment = dict(os.environ if env is None else env)
    if account is not None:
        environment |= account.environment
    check_strings(argv, environment)
    if cwd is not None:
        check_folder(cwd)
    program = find_program(argv[0], environment.get("PATH", DEFAULT_PATH), cwd)
    ends = _Pipes(stdin is not None)
    try:
        pid = _spawn(program, argv, environment, cwd, account, umask, ends)
    except OSError as error:
        ends.close_all()
        raise explain(error, program, argv, environment, cwd) from error
    except BaseException:
        ends.close_all()
        raise
    return ends.attach(pid, stdin, on_output, on_late_output, oom_score)


class _Pipes:
    """Both ends of the pipes of a process that is being started."""

    def __init__(self, with_stdin: bool) -> None:
        self._open: list[int] = []
        try:
            self.stdout = self._make()
            self.stderr = self._make()
            self.stdin = self._make() if with_stdin else None
        except OSError as error:
            self.close_all()
            raise spawn_failed(error) from error

    @property
    def child_ends(self) -> tuple[int, int, int]:
        """What becomes descriptors 0, 1 and 2."""
        first = subprocess.DEVNULL if self.stdin is None else self.stdin[0]
        return first, self.stdout[1], self.stderr[1]

    def close_all(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()

    def attach(
        self,
        pid: int,
        stdin: bytes | Literal["pipe"] | None,
        on_output: OnOutput,
        on_late: OnOutput | None,
        oom_score: int | None,
    ) -> Process:
        """Close the child's ends and put ours on the loop."""
        for descriptor in self.child_ends:
            if descriptor != subprocess.DEVNULL:
                os.close(descriptor)
        outputs = [
            OutputPipe(self.stdout[0], *_sinks("stdout", on_output, on_late)),
            OutputPipe(self.stderr[0], *_sinks("stderr", on_output, on_late)),
        ]
        feed = InputPipe(self.stdin[1]) if self.stdin is not None else None
        process = Process(pid, outputs, feed, oom_score)
        if feed is not None and isinstance(stdin, bytes):
            feed.feed(stdin)
        return process

    def _make(self) -> tuple[int, int]:
        pair = os.pipe()
        self._open += pair
        widen(pair[0])
        return pair


def _sinks(
    stream: Stream, on_output: OnOutput, on_late: OnOutput | None
) -> tuple[Callable[[memoryview], None], Callable[[memoryview], None] | None]:
    late = None if on_late is None else lambda data: on_late(stream, data)
    return (lambda data: on_output(stream, data)), late


def _spawn(
    program: str,
    argv: list[str],
    env: dict[str, str],
    cwd: str | None,
    account: Account | None,
    umask: int | None,
    ends: _Pipes,
) -> int:
    """Start it, with vfork unless the user changes: as fast as posix_spawn, and it knows `cwd`.

    subprocess is used for its C code only: its object never waits, `exits` does.
    """
    switch = account is not None and not account.is_current
    first, second, third = ends.child_ends
    child = subprocess.Popen(
        argv,
        executable=program,
        stdin=first,
        stdout=second,
        stderr=third,
        env=env,
        cwd=cwd,
        umask=-1 if umask is None else umask,
        start_new_session=True,
        user=account.uid if account and switch else None,
        group=account.gid if account and switch else None,
        extra_groups=account.groups if account and switch else None,
    )
    child.returncode = 0  # what it never learns: keeps its destructor from waiting or warning
    return child.pid
