"""How the secret comes in: one line on a descriptor, or from a file or named pipe."""

from __future__ import annotations

import os
import select
import time

MAX_SECRET_BYTES = 4096
DEFAULT_SECRET_TIMEOUT_S = 30.0
_LONGEST_POLL_S = 24 * 3600.0  # the kernel takes no more than 25 days


class SecretError(Exception):
    """The secret did not come, or is not one line of 1 to 4,096 bytes. Says what to do."""


class SecretTimeout(SecretError):
    """Nobody came with it in time."""


def read_secret(descriptor: int, timeout_s: float = DEFAULT_SECRET_TIMEOUT_S) -> bytes:
    """Read one line from `descriptor` and return it without its line end.

    End of file also ends the line. Waits `timeout_s` seconds at most, or for ever with `inf`.
    Raises SecretError.
    """
    deadline = time.monotonic() + timeout_s
    received = b""
    while b"\n" not in received and len(received) <= MAX_SECRET_BYTES:
        chunk = _read_before(descriptor, deadline, timeout_s)
        if not chunk:
            break
        received += chunk
    return _checked(received.partition(b"\n")[0])


def read_secret_file(path: str, timeout_s: float = DEFAULT_SECRET_TIMEOUT_S) -> bytes:
    """Read the secret from a file, which is unlinked, or a named pipe, which is kept.

    A named pipe may be there before its writer: the wait is the same. Raises SecretError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise SecretError(f"cannot open the secret's file {path}: {error.strerror}") from error
    try:
        secret = read_secret(descriptor, timeout_s)
        if not _is_fifo(descriptor):
            os.unlink(path)
        return secret
    except OSError as error:
        raise SecretError(f"cannot use the secret's file {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _is_fifo(descriptor: int) -> bool:
    return (os.fstat(descriptor).st_mode & 0o170000) == 0o010000


def _read_before(descriptor: int, deadline: float, timeout_s: float) -> bytes:
    while True:
        remaining = deadline - time.monotonic()
        try:
            if not _is_ready(descriptor, min(max(0.0, remaining), _LONGEST_POLL_S)):
                if remaining > _LONGEST_POLL_S:
                    continue
                raise SecretTimeout(
                    f"no secret came on descriptor {descriptor} within {timeout_s:g} s: "
                    "write it there as one line when starting the client"
                )
            return os.read(descriptor, MAX_SECRET_BYTES + 2)
        except BlockingIOError:  # another reader of the same pipe was faster
            continue
        except OSError as error:
            raise SecretError(
                f"cannot read the secret from descriptor {descriptor}: {error.strerror}"
            ) from error


def _is_ready(descriptor: int, timeout_s: float) -> bool:
    poll = select.poll()  # select() refuses descriptors from 1,024 on
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _checked(line: bytes) -> bytes:
    secret = line.removesuffix(b"\r")
    if not secret:
        raise SecretError("the secret is empty: write it as one line before closing the descriptor")
    if len(secret) > MAX_SECRET_BYTES:
        raise SecretError(f"the secret is longer than {MAX_SECRET_BYTES} bytes")
    return secret
