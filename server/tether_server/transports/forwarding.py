"""Where a forwarding to a container breaks, told from which of its pieces work.

A published port leads to the container's address, and from there to its loopback. Each is tried on
its own: the first that works from the inside has the break in front of it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .base import Transport
from .choice import Attempt, try_all
from .netns import in_network_of
from .probe import NoAnswer

PIECE_TIMEOUT_S = 2.0
MAX_RULE = 200
_REDIRECTS = re.compile(r"-A PREROUTING .*-j (DNAT|REDIRECT)\b.*")


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The pieces behind a published port: the container's own address, and its loopback."""

    own: Transport
    loopback: Transport
    find_process: Callable[[], Awaitable[int]]

    async def diagnose(self, problem: NoAnswer, secret: str) -> str:
        """In a sentence or two, for people."""
        own, loopback = await try_all([self.own, self.loopback], secret, PIECE_TIMEOUT_S)
        if own.problem is not None and loopback.problem is None:
            return f"{where_it_breaks(own, loopback)}{await self._rules()}"
        return where_it_breaks(own, loopback)

    async def _rules(self) -> str:
        """The rules that send elsewhere what arrives, if they can be read."""
        try:
            listed = await in_network_of(await self.find_process(), _list_rules)
        except (OSError, subprocess.SubprocessError):
            return ""
        found = [line for line in listed.splitlines() if _REDIRECTS.fullmatch(line)]
        return f". Its rule is: {found[0][:MAX_RULE]}" if found else ""


def where_it_breaks(own: Attempt, loopback: Attempt) -> str:
    """What is to be said, from what answers at the container's address and on its loopback."""
    place = own.transport.describe()
    if own.problem is None:
        return (
            f"The client answers at the container's own address, {place}: what is broken is the"
            " engine's forwarding from the published port to there"
        )
    if own.problem.kind == "nowhere" or loopback.problem is not None:
        return _not_known(own, loopback)
    return (
        "The client listens, and answers on the container's loopback. At the container's own"
        f" address, {place}, it is: {own.problem}. So forwarding is broken inside the container's"
        " network namespace: what arrives there is sent elsewhere, as a catch-all DNAT in"
        " PREROUTING does"
    )


def _not_known(own: Attempt, loopback: Attempt) -> str:
    if loopback.problem is not None and loopback.problem.kind == "refused":
        return "Nothing listens on that port inside the container"
    seen = loopback.problem or "the client answers"
    return f"At the container's own address it is: {own.problem}; on its loopback: {seen}"


def _list_rules() -> str:
    """Runs in the container's network, with this machine's program."""
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return ""
    command = [program, "-t", "nat", "-S", "PREROUTING"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PIECE_TIMEOUT_S, check=False
    )
    return done.stdout
