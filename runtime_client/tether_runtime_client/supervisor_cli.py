"""`tether-runtime-client supervise`: options in, `supervise` called, exit code out."""

from __future__ import annotations

import os
import signal

from tether_runtime_client import prctl, stop
from tether_runtime_client.beside import Beside
from tether_runtime_client.secret import (
    DEFAULT_SECRET_TIMEOUT_S,
    SecretError,
    SecretTimeout,
    read_secret,
    read_secret_file,
)
from tether_runtime_client.supervisor import (
    CONFIG_ERROR,
    DEFAULT_GRACE_S,
    LEASE_EXPIRED,
    Handover,
    supervise,
)
from tether_runtime_client.supervisor_io import STOP_SIGNALS, log, where_possible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

USAGE = """\
usage: tether-runtime-client supervise [OPTIONS] [-- CLIENT ARGS]

  --secret-fd N        read the secret, one line, from this descriptor (default 0)
  --secret-file PATH   read it from a file, which is then unlinked, or from a named pipe
  --secret-timeout S   wait this many seconds for it (default 30; `inf`: for ever)
  --registry DIR       where the client registers the sessions it starts
  --grace S            seconds between asking to stop and killing (default 8)
  --self-registry DIR  where this process registers itself, for `stop`
  --streams-of PID     use that process's standard streams where ours lead elsewhere
  --beside WORD        one word of the image's own command line; repeat for each word
  --beside-signal SIG  what stops it, a name or number (default: the signal that came)
  --beside-log PATH    where its output goes, bounded (default: the supervisor's own streams)
"""

#: Logged when the secret may be written; whoever starts us through an entrypoint waits for it.
WAITING = "waiting for the secret"


class UsageError(Exception):
    """The command line cannot be understood."""


class Options:
    """The command line of `supervise`; `client_args` is what follows `--`."""

    def __init__(self) -> None:
        self.secret_fd = 0
        self.secret_file: str | None = None
        self.secret_timeout_s = DEFAULT_SECRET_TIMEOUT_S
        self.registry: str | None = None
        self.grace_s = DEFAULT_GRACE_S
        self.self_registry: str | None = None
        self.streams_of: int | None = None
        self.beside: list[str] = []
        self.beside_signal: int | None = None
        self.beside_log: str | None = None
        self.client_args: list[str] = []

    def set(self, name: str, value: str) -> None:
        """Set one option from its text. Raises UsageError."""
        setters: dict[str, Callable[[], None]] = {
            "--secret-fd": lambda: setattr(self, "secret_fd", int(value)),
            "--secret-file": lambda: setattr(self, "secret_file", value),
            "--secret-timeout": lambda: setattr(self, "secret_timeout_s", float(value)),
            "--registry": lambda: setattr(self, "registry", value),
            "--grace": lambda: setattr(self, "grace_s", float(value)),
            "--self-registry": lambda: setattr(self, "self_registry", value),
            "--streams-of": lambda: setattr(self, "streams_of", int(value)),
            "--beside": lambda: self.beside.append(value),
            "--beside-signal": lambda: setattr(self, "beside_signal", signal_number(value)),
            "--beside-log": lambda: setattr(self, "beside_log", value),
        }
        try:
            setters[name]()
        except KeyError:
            raise UsageError(f"unknown option {name!r}") from None
        except ValueError:
            needed = "a signal" if name == "--beside-signal" else "a number"
            raise UsageError(f"{name} needs {needed}, not {value!r}") from None

    def to_run_beside(self) -> Beside | None:
        """The image's own command, if there is one."""
        if not self.beside:
            return None
        return Beside(self.beside, self.beside_signal, self.beside_log)


def signal_number(text: str) -> int:
    """A signal as images name theirs: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`. Raises ValueError."""
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    number = int(name) if name.isdecimal() else int(getattr(signal, f"SIG{base}", 0))
    if sign:
        is_offset = base in ("RTMIN", "RTMAX") and offset.isdecimal()
        number = number + int(sign + offset) if is_offset else 0
    if not 0 < number < signal.NSIG:
        raise ValueError(f"{text!r} is no signal")
    return number


def parse(args: Sequence[str]) -> Options:
    """Read `args` (what follows `supervise`). Raises UsageError.

    By hand: argparse costs 10 ms and 2 MB that this process would keep for its whole life.
    """
    options = Options()
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            options.client_args = rest
            break
        name, separator, value = word.partition("=")
        if not separator:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        options.set(name, value)
    return options


def main(args: Sequence[str], start_client: Callable[[Handover, list[str]], int]) -> int:
    """Run `supervise` with the command line `args`; return the exit code.

    `start_client` is called in the forked child with what follows `--`.
    """
    try:
        options = parse(args)
        if options.streams_of is not None:
            _take_streams_of(options.streams_of)
        _register_self(options.self_registry)
        secret = _secret_before_anything(options)
    except UsageError as error:
        log(f"{error}\n{USAGE}")
        return CONFIG_ERROR
    except SecretTimeout as error:
        log(str(error))
        return LEASE_EXPIRED
    except SecretError as error:
        log(str(error))
        return CONFIG_ERROR
    return supervise(
        lambda handover: start_client(handover, options.client_args),
        secret,
        beside=options.to_run_beside(),
        registry=options.registry,
        grace_s=options.grace_s,
    )


def _take_streams_of(pid: int) -> None:
    """A shell gives what it starts in the background no standard input; a script may redirect."""
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        path = f"/proc/{pid}/fd/{descriptor}"
        try:
            if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
                theirs = os.open(path, flags)
                os.dup2(theirs, descriptor)
                os.close(theirs)
        except OSError as error:  # another user's, or closed: what we have may do
            log(f"{path} cannot be used: {error.strerror}")


def _register_self(folder: str | None) -> None:
    """Without it everything works but `stop`."""
    if folder is None:
        return
    try:
        stop.register_self(folder)
    except OSError as error:
        log(f"`stop` will not find this process: {error}")


def _secret_before_anything(options: Options) -> bytes:
    """Wait for the secret; a stop signal ends the wait, also in PID 1, which has no defaults."""
    for number in STOP_SIGNALS:
        signal.signal(number, _end_at_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # the launcher keeps them until now
    # Behind an entrypoint of the image's own others may run already.
    where_possible(prctl.set_not_dumpable)
    log(WAITING)
    if options.secret_file is not None:
        secret = read_secret_file(options.secret_file, options.secret_timeout_s)
    else:
        secret = read_secret(options.secret_fd, options.secret_timeout_s)
        os.close(options.secret_fd)
    _close_standard_input()
    return secret


def _close_standard_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)


def _end_at_once(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)
