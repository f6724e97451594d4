"""One search: a request in JSON on standard input, its answer in JSON on standard output.

The answer has `result` and `timed_out`, or `error`: an `errno` about the path, or a `message`.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from ..globs import GlobError
from .expression import ExpressionError
from .find import Find, Finding
from .grep import Grep, Grepping
from .usage import Counting, Usage

NICENESS = 5
"""What else runs in the sandbox, the client above all, is served first."""


class _Search(Protocol):
    """What can be left at any time, and says then what it has found so far."""

    def run(self) -> None: ...

    def result(self) -> dict[str, Any]: ...


class _TimeIsUp(Exception):
    """The time that the request gives is over."""


_KINDS: dict[str, Callable[[dict[str, Any]], _Search]] = {
    "find": lambda wanted: Finding(Find(**wanted)),
    "grep": lambda wanted: Grepping(Grep(**wanted)),
    "usage": lambda wanted: Counting(Usage(**wanted)),
}


def main() -> None:
    """Read, search, answer."""
    os.nice(NICENESS)
    request = json.load(sys.stdin)
    json.dump(_answer(request), sys.stdout)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    wanted = request["wanted"]
    try:
        search = _KINDS[request["kind"]](wanted)
        timed_out = _run(search, request["timeout_s"])
        return {"result": search.result(), "timed_out": timed_out}
    except (ExpressionError, GlobError) as problem:
        return {"error": {"message": str(problem)}}
    except OSError as problem:
        return {"error": {"errno": problem.errno}}
    except ValueError:  # a NUL byte in a path
        return {"error": {"errno": errno.ENOENT}}


def _run(search: _Search, timeout_s: float | None) -> bool:
    """Whether its time ended it."""

    def end(*_: object) -> None:
        raise _TimeIsUp

    signal.signal(signal.SIGALRM, end)
    try:
        if timeout_s is not None:
            signal.setitimer(signal.ITIMER_REAL, max(timeout_s, 0.001))
        search.run()
    except _TimeIsUp:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False


if __name__ == "__main__":
    main()
