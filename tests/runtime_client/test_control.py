"""Who is in charge: every order of asking, taking, dying and coming too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tether_runtime_client import control as module
from tether_runtime_client.control import Control
from tether_runtime_client.protocol.errors import ControllerBusy, Fenced, ProtocolError
from tether_runtime_client.protocol.frames import Role
from tether_runtime_client.protocol.sandbox_side import Attach


class Peer:
    """Writes down what it is told. As a connection does, it leaves when it is refused."""

    def __init__(self, control: Control, *, answers: bool = True) -> None:
        self.control = control
        self.answers = answers
        self.fence: int | None = None
        self.error: ProtocolError | None = None
        self.probes: list[Callable[[], None]] = []

    def ask(self, role: Role = "controller", *, takeover: bool = False) -> Peer:
        self.control.attach(self, Attach(role, takeover, {}))
        return self

    def leave(self) -> None:
        self.control.detach(self)

    def admit(self, attach: Attach, fence: int) -> None:
        self.fence = fence

    def refuse(self, error: ProtocolError) -> None:
        self.error = error
        self.leave()

    def probe(self, on_sign_of_life: Callable[[], None]) -> None:
        self.probes.append(on_sign_of_life)
        if self.answers:
            asyncio.get_running_loop().call_soon(on_sign_of_life)

    @property
    def state(self) -> str:
        if self.error is not None:
            return type(self.error).__name__
        return "waiting" if self.fence is None else "admitted"


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setattr(module, "PROBE_TIMEOUT_S", 0.05)
    return Control(None, lambda: None)


async def a_moment() -> None:
    await asyncio.sleep(0.1)


async def test_the_first_has_it_and_the_fence_rises(control: Control) -> None:
    first = Peer(control).ask()
    assert (first.state, first.fence) == ("admitted", 1)
    first.leave()
    first.leave()
    assert Peer(control).ask().fence == 2


async def test_a_second_is_refused_while_the_first_answers(control: Control) -> None:
    first = Peer(control).ask()
    second = Peer(control).ask()
    assert second.state == "waiting"
    await a_moment()
    assert (first.state, second.state) == ("admitted", "ControllerBusy")
    assert isinstance(second.error, ControllerBusy)
    third = Peer(control).ask()
    await a_moment()
    assert third.state == "ControllerBusy"


async def test_a_second_replaces_a_first_that_is_silent(control: Control) -> None:
    first = Peer(control, answers=False).ask()
    second = Peer(control).ask()
    await a_moment()
    assert isinstance(first.error, Fenced)
    assert (second.state, second.fence) == ("admitted", 2)


async def test_a_second_follows_a_first_that_goes_meanwhile(control: Control) -> None:
    first = Peer(control, answers=False).ask()
    second = Peer(control).ask()
    first.leave()
    assert second.state == "admitted"
    await a_moment()
    assert second.state == "admitted"


async def test_only_one_is_considered_at_a_time(control: Control) -> None:
    Peer(control, answers=False).ask()
    second, third = Peer(control).ask(), Peer(control).ask()
    assert (second.state, third.state) == ("waiting", "ControllerBusy")
    await a_moment()
    assert second.state == "admitted"


async def test_a_contender_that_goes_makes_room_for_the_next(control: Control) -> None:
    first = Peer(control, answers=False).ask()
    second = Peer(control).ask()
    second.leave()
    await a_moment()
    assert first.state == "admitted", "nobody asks for its place any more"
    third = Peer(control).ask()
    await a_moment()
    assert third.state == "admitted"


async def test_a_takeover_fences_the_first_off(control: Control) -> None:
    first = Peer(control).ask()
    second = Peer(control).ask(takeover=True)
    assert isinstance(first.error, Fenced)
    assert (second.state, second.fence) == ("admitted", 2)
    assert Peer(control).ask(takeover=True).fence == 3


async def test_a_takeover_of_an_empty_place_is_an_ordinary_attach(control: Control) -> None:
    assert Peer(control).ask(takeover=True).fence == 1


async def test_a_takeover_ends_the_consideration_of_another(control: Control) -> None:
    """Else the probe of the fenced one would run out, and put the new one out of its place."""
    first = Peer(control, answers=False).ask()
    waiting = Peer(control).ask()
    taker = Peer(control, answers=False).ask(takeover=True)
    assert first.state == "Fenced"
    assert waiting.state == "ControllerBusy"
    await a_moment()
    assert taker.state == "admitted"


async def test_a_late_answer_of_a_former_controller_says_nothing_about_this_one(
    control: Control,
) -> None:
    former = Peer(control, answers=False).ask()
    Peer(control).ask()
    silent = Peer(control, answers=False).ask(takeover=True)
    contender = Peer(control).ask()
    former.probes[0]()
    assert contender.state == "waiting"
    await a_moment()
    assert (silent.state, contender.state) == ("Fenced", "admitted")


async def test_an_answer_nobody_waits_for_does_nothing(control: Control) -> None:
    first = Peer(control, answers=False).ask()
    second = Peer(control).ask()
    second.leave()
    first.probes[0]()
    assert first.state == "admitted"


async def test_any_number_of_operators(control: Control) -> None:
    controller = Peer(control).ask()
    operators = [Peer(control).ask("operator") for _ in range(3)]
    assert {peer.fence for peer in [controller, *operators]} == {1}
    Peer(control).ask(takeover=True)
    assert [peer.state for peer in operators] == ["admitted"] * 3
    for peer in operators:
        peer.leave()
        peer.leave()


# --- the lease ---------------------------------------------------------------------------------


@pytest.fixture
async def leased() -> tuple[Control, asyncio.Event]:
    abandoned = asyncio.Event()
    return Control(0.05, abandoned.set), abandoned


Leased = tuple[Control, asyncio.Event]


async def test_a_sandbox_nobody_comes_for_is_abandoned(leased: Leased) -> None:
    control, abandoned = leased
    await a_moment()
    assert not abandoned.is_set(), "it begins with the start"
    control.start()
    await asyncio.wait_for(abandoned.wait(), 5)


@pytest.mark.parametrize("role", ["controller", "operator"])
async def test_it_lives_while_anybody_is_attached(leased: Leased, role: Role) -> None:
    control, abandoned = leased
    control.start()
    peer = Peer(control).ask(role)
    await a_moment()
    assert not abandoned.is_set()
    peer.leave()
    await asyncio.wait_for(abandoned.wait(), 5)


async def test_the_last_to_leave_starts_it(leased: Leased) -> None:
    control, abandoned = leased
    control.start()
    first, second = Peer(control).ask(), Peer(control).ask("operator")
    first.leave()
    await a_moment()
    assert not abandoned.is_set()
    second.leave()
    await asyncio.wait_for(abandoned.wait(), 5)


async def test_a_takeover_does_not_start_it(leased: Leased) -> None:
    control, abandoned = leased
    control.start()
    Peer(control).ask()
    Peer(control).ask(takeover=True)
    await a_moment()
    assert not abandoned.is_set()


async def test_who_is_refused_holds_nothing(leased: Leased) -> None:
    control, abandoned = leased
    control.start()
    first, second = Peer(control).ask(), Peer(control).ask()
    await a_moment()
    assert second.state == "ControllerBusy"
    first.leave()
    await asyncio.wait_for(abandoned.wait(), 5)


async def test_without_a_lease_it_waits_for_ever(control: Control) -> None:
    control.start()
    Peer(control).ask().leave()
    await a_moment()
    assert control._lease is None
