"""What is to be started, checked; and the start itself, whatever becomes its three descriptors."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from .errors import ProcessStartError, SpawnFailed
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

Descriptors = tuple[int, int, int]


class LaunchOptions(TypedDict):
    """How a process is to run; `start_process` says what each means."""

    env: Mapping[str, str] | None
    cwd: str | None
    user: str | int | None
    umask: int | None
    nice: int | None
    shell: Sequence[str]


@dataclass(frozen=True, slots=True)
class Launch:
    """A program that was found, and how it is to run. Made by `prepare`."""

    program: str
    argv: list[str]
    environment: dict[str, str]
    cwd: str | None
    account: Account | None
    umask: int | None
    nice: int | None

    def spawn(self, ends: Descriptors, in_child: Callable[[], None] | None = None) -> int:
        """Start it with these as descriptors 0, 1 and 2, in a session of its own; returns the pid.

        `in_child` runs in the child before its exec. Raises a ProcessStartError.
        """
        try:
            if self.nice is None:
                return self._spawn(ends, in_child)
            return _with_niceness(self.nice, lambda: self._spawn(ends, in_child))
        except OSError as error:
            raise explain(error, self.program, self.argv, self.environment, self.cwd) from error

    def _spawn(self, ends: Descriptors, in_child: Callable[[], None] | None) -> int:
        """With vfork unless the user changes: as fast as posix_spawn, and it knows `cwd`.

        subprocess is used for its C code only: its object never waits, `exits` does.
        """
        account = self.account
        switch = account is not None and not account.is_current
        first, second, third = ends
        child = subprocess.Popen(
            self.argv,
            executable=self.program,
            stdin=first,
            stdout=second,
            stderr=third,
            env=self.environment,
            cwd=self.cwd,
            umask=-1 if self.umask is None else self.umask,
            start_new_session=True,
            user=account.uid if account and switch else None,
            group=account.gid if account and switch else None,
            extra_groups=account.groups if account and switch else None,
            preexec_fn=in_child,
        )
        child.returncode = 0  # what it never learns: keeps its destructor from waiting or warning
        return child.pid


def prepare(command: Sequence[str] | str, **how: Unpack[LaunchOptions]) -> Launch:
    """Look at everything that can be wrong before anything is made. Raises a ProcessStartError."""
    env, cwd, user = how["env"], how["cwd"], how["user"]
    argv = argument_list(command, how["shell"])
    account = find_account(user) if user is not None else None
    environment = dict(os.environ if env is None else env)
    if account is not None:
        environment |= account.environment
    check_strings(argv, environment)
    if cwd is not None:
        check_folder(cwd)
    program = find_program(argv[0], environment.get("PATH", DEFAULT_PATH), cwd)
    return Launch(program, argv, environment, cwd, account, how["umask"], how["nice"])


def _with_niceness(nice: int, spawn: Callable[[], int]) -> int:
    """Start it from a thread of that niceness, which the child inherits: on Linux each has its own.

    So it has it from its first instruction, and no code of ours runs between fork and exec.
    """
    outcome: list[int | Exception] = []

    def work() -> None:
        try:
            try:
                os.setpriority(os.PRIO_PROCESS, 0, nice)
            except PermissionError as error:
                raise _niceness_refused(nice, error) from error
            outcome.append(spawn())
        except Exception as problem:
            outcome.append(problem)

    thread = threading.Thread(target=work, name=f"start at niceness {nice}")
    try:
        thread.start()
    except RuntimeError as problem:  # no thread can be had: a limit of the sandbox
        raise spawn_failed(BlockingIOError(11, str(problem))) from problem
    thread.join()
    (found,) = outcome
    if isinstance(found, Exception):
        raise found
    return found


def _niceness_refused(nice: int, error: OSError) -> ProcessStartError:
    return SpawnFailed(
        f"this sandbox does not let its client run a process at niceness {nice}",
        "Ask for a higher number than the client's own, or give the sandbox CAP_SYS_NICE",
        errno=error.errno,
    )
