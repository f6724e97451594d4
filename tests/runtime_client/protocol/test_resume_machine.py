"""Both ends' rules, driven against each other through any order of calamities.

The sandbox here is `SandboxSide` and `Ledger` with a journal in memory; the server `ServerSide`
with a history in memory that is durable up to its last commit. Between them are two queues that a
cut empties. Servers take over from each other, and the secret is changed, amid all of it. Whatever
happens: no event is missing, none is stored twice, no action runs twice, every action ends once,
nobody is locked out, and nothing is kept but what was not acknowledged.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tether_runtime_client.protocol import auth, rotation
from tether_runtime_client.protocol.actions import CmdRunAction
from tether_runtime_client.protocol.errors import ActionLost, Fenced
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    ClientStarted,
    CmdOutputDelta,
    Event,
)
from tether_runtime_client.protocol.frames import (
    AckFrame,
    ConfirmFrame,
    EpochRange,
    EventFrame,
    ObservationFrame,
    RotatedFrame,
    RotateFrame,
    RotatingFrame,
    SubmitFrame,
    WelcomeFrame,
    encode,
    encode_numbered,
)
from tether_runtime_client.protocol.ledger import Ledger
from tether_runtime_client.protocol.observations import (
    DoneObservation,
    ErrorObservation,
    Observation,
)
from tether_runtime_client.protocol.rotation import Agreed, Half
from tether_runtime_client.protocol.sandbox_side import (
    Acknowledge,
    Attach,
    BeginRotation,
    FinishRotation,
    SandboxSide,
    Send,
    Step,
    Submit,
)
from tether_runtime_client.protocol.server_side import Gap, Incoming, ServerSide

from .known import Known

SECRET, OURS, THEIRS = "5" * 64, "d" * 32, "c" * 32


class Sandbox:
    """A runtime client's protocol shell: numbers, journals, replays, and runs actions."""

    def __init__(self) -> None:
        self.lives = 0
        self.secrets = Known(SECRET)
        self.replays_all = False
        self.ran: Counter[str] = Counter()
        self.written: dict[str, list[bytes]] = {}
        self.journal: dict[str, list[tuple[int, bytes]]] = {}
        self.ended_before: dict[str, str] = {}
        self.side: SandboxSide | None = None
        self.send: Callable[[bytes], None] = lambda text: None
        self.begin_life()

    def begin_life(self) -> None:
        """A new process: what the last one ran is lost, and said to be."""
        lost = self.ledger.running if self.lives else ()
        if self.lives:
            self.ended_before |= dict.fromkeys(self.ledger.ended, self.ledger.epoch)
        self.lives += 1
        self.side = None
        self.ledger = Ledger(f"{self.lives:016x}")
        self.written[self.ledger.epoch] = []
        self.journal[self.ledger.epoch] = []
        self.record(ClientStarted(version="0", pid=1, shell="", shell_reason="", lost_actions=lost))
        for action_id in lost:
            code = ActionLost.code
            self.record(ErrorObservation(action_id=action_id, code=code, message="lost"))

    def record(self, event: Event) -> None:
        seq = self.ledger.next_seq
        frame = encode_numbered(self.ledger.epoch, seq, event)
        self.written[self.ledger.epoch].append(frame)
        self.journal[self.ledger.epoch].append((seq, frame))
        self.ledger.record()
        if isinstance(event, Observation) and event.action_id is not None:
            self.ledger.end(event.action_id, seq)
        if self.side is not None and self.side.role is not None:
            self.send(frame)

    def receive(self, text: bytes) -> None:
        assert self.side is not None
        for step in self.side.receive(text):
            self.carry_out(step)

    def carry_out(self, step: Step) -> None:
        match step:
            case Send():
                self.send(step.text)
            case Attach():
                self.welcome(step)
            case Submit():
                self.submit(step)
            case Acknowledge():
                self.acknowledge(step)
            case BeginRotation():
                self.secrets.begin(step.secret)
            case FinishRotation():
                self.secrets.finish()
            case _:
                raise AssertionError(step)

    def welcome(self, step: Attach) -> None:
        assert self.side is not None
        self.side.admit(step.role)
        epoch = self.ledger.epoch
        earlier = [(e, frames) for e, frames in self.journal.items() if e != epoch]
        spans = [span_of(e, frames, len(self.written[e])) for e, frames in earlier]
        spans.append(self.ledger.outstanding())
        running = self.ledger.running
        frame = WelcomeFrame(epoch=epoch, fence=1, epochs=tuple(spans), running=running)
        self.send(encode(frame))
        for e, frames in self.journal.items():
            for seq, replayed in frames:
                if self.replays_all or seq > step.have.get(e, 0):
                    self.send(replayed)

    def submit(self, step: Submit) -> None:
        known = step.action_id in self.ended_before
        if known or self.ledger.verdict(step.action_id) != "new":
            return
        self.record(ActionAccepted(action_id=step.action_id, kind="run"))
        self.ledger.begin(step.action_id)
        self.ran[step.action_id] += 1

    def acknowledge(self, step: Acknowledge) -> None:
        if step.epoch == self.ledger.epoch:
            assert self.ledger.acknowledge(step.epoch, step.seq)
            kept = [(seq, f) for seq, f in self.journal[step.epoch] if seq > step.seq]
            self.journal[step.epoch] = kept
        elif step.epoch in self.journal and step.seq >= len(self.written[step.epoch]):
            del self.journal[step.epoch]
            before = self.ended_before
            self.ended_before = {i: e for i, e in before.items() if e != step.epoch}


def span_of(epoch: str, frames: list[tuple[int, bytes]], last: int) -> EpochRange:
    """A life is told of until all of it was acknowledged to the next."""
    return EpochRange(epoch=epoch, first=frames[0][0] if frames else last + 1, last=last)


@dataclass
class Stored:
    """What survives the server's death."""

    events: list[tuple[str, int, bytes]] = field(default_factory=list)
    progress: dict[str, int] = field(default_factory=dict)
    finals: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    unanswered: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Stored:
        return Stored(
            list(self.events),
            dict(self.progress),
            Counter(self.finals),
            set(self.accepted),
            dict(self.unanswered),
        )


class Server:
    """A server's protocol shell: stores, acknowledges after a commit, submits again."""

    def __init__(self) -> None:
        self.safe = Stored()
        self.now = self.safe.copy()
        self.side: ServerSide | None = None
        self.send: Callable[[bytes], None] = lambda text: None
        self.secret = SECRET
        self.half: Half | None = None
        self.agreed: Agreed | None = None
        self.dies_before_storing = False

    @property
    def attached(self) -> bool:
        return self.side is not None and self.side.welcome is not None

    def submit(self, action_id: str) -> None:
        """Safe before it is sent."""
        frame = encode(SubmitFrame(id=action_id, action=CmdRunAction(command=action_id)))
        self.now.unanswered[action_id] = frame
        self.safe.unanswered[action_id] = frame
        if self.attached:
            self.send(frame)

    def receive(self, text: bytes) -> None:
        assert self.side is not None
        was_caught_up = self.side.caught_up
        incoming, answer = self.side.receive(text)
        if answer is not None:
            self.send(answer)
        for item in incoming:
            self.take(item, text)
        if self.side.caught_up and not was_caught_up:
            assert not [i for i in self.doubtful if i in self.now.unanswered], "nothing is lost"

    def take(self, item: Incoming, text: bytes) -> None:
        match item:
            case WelcomeFrame():
                self.on_welcome(item)
            case EventFrame() | ObservationFrame():
                self.store(item, text)
            case RotatingFrame():
                self.on_rotating(item)
            case RotatedFrame():
                self.agreed = None
            case Gap():
                raise AssertionError(f"only what this server stored was ever trimmed: {item}")
            case _:
                raise AssertionError(item)

    def rotate(self, dies_before_storing: bool) -> None:
        self.half, self.dies_before_storing = Half(), dies_before_storing
        self.send(encode(RotateFrame(public=self.half.public)))

    def on_rotating(self, frame: RotatingFrame) -> None:
        """The secret is stored at once, or never: then this server was killed before."""
        assert self.half is not None
        agreed = self.half.for_server(self.secret, frame.public)
        assert auth.matches(frame.proof, agreed.client_proof)
        self.half = None
        if not self.dies_before_storing:
            self.secret, self.agreed = agreed.secret, agreed
            self.send(encode(ConfirmFrame(proof=agreed.server_proof)))

    def on_welcome(self, welcome: WelcomeFrame) -> None:
        for span in welcome.epochs:
            self.now.progress.setdefault(span.epoch, 0)
        unknown = set(self.now.unanswered) - set(welcome.running)
        self.doubtful = unknown & self.now.accepted
        for action_id, frame in self.now.unanswered.items():
            if action_id in unknown - self.doubtful:
                self.send(frame)

    def store(self, frame: EventFrame | ObservationFrame, text: bytes) -> None:
        now = self.now
        now.events.append((frame.epoch, frame.seq, text))
        now.progress[frame.epoch] = frame.seq
        event = frame.observation if isinstance(frame, ObservationFrame) else frame.event
        if isinstance(event, ActionAccepted) and event.action_id:
            now.accepted.add(event.action_id)
        if isinstance(event, Observation) and event.action_id:
            now.finals[event.action_id] += 1
            now.unanswered.pop(event.action_id, None)

    def commit(self) -> None:
        self.safe = self.now.copy()

    def acknowledge(self, back: int = 0) -> None:
        """Everything that is safe, or a little less."""
        for epoch, seq in self.safe.progress.items():
            self.send(encode(AckFrame(epoch=epoch, seq=max(0, seq - back))))


class Resume(RuleBasedStateMachine):
    """Any interleaving of work, delivery, cuts and deaths."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox, self.server = Sandbox(), Server()
        self.to_sandbox: deque[bytes] = deque()
        self.to_server: deque[bytes] = deque()
        self.sandbox.send = self.to_server.append
        self.server.send = self.to_sandbox.append
        self.ids = (f"a{number}" for number in itertools.count())
        # A small group: what holds of the order of things holds in it, a hundred times faster.
        self.group = mock.patch.object(rotation, "_PRIME", 2**255 - 19)
        self.group.start()
        self.submitted: list[str] = []

    # --- work

    @rule()
    def submit(self) -> None:
        action_id = next(self.ids)
        self.submitted.append(action_id)
        self.server.submit(action_id)

    @precondition(lambda self: self.server.attached and self.server.now.unanswered)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        """A server that is not sure may always ask again."""
        frames = list(self.server.now.unanswered.values())
        self.to_sandbox.append(data.draw(st.sampled_from(frames)))

    @precondition(lambda self: self.sandbox.ledger.running)
    @rule(data=st.data(), ends=st.booleans())
    def work(self, data: st.DataObject, ends: bool) -> None:
        action_id = data.draw(st.sampled_from(self.sandbox.ledger.running))
        if ends:
            self.sandbox.record(DoneObservation(action_id=action_id))
        else:
            output = {"content": "x", "session": "s", "offset": 0, "length": 1}
            self.sandbox.record(CmdOutputDelta(action_id=action_id, **output))

    @rule()
    def commit(self) -> None:
        self.server.commit()

    @precondition(lambda self: self.server.attached)
    @rule(back=st.integers(0, 3))
    def acknowledge(self, back: int) -> None:
        self.server.acknowledge(back)

    # --- the network

    @precondition(lambda self: self.server.side is None)
    @rule(replays_all=st.booleans(), whole=st.booleans())
    def connect(self, replays_all: bool, whole: bool) -> None:
        """A client may replay more than is asked for; the handshake may be cut anywhere."""
        self.sandbox.side = SandboxSide(self.sandbox.secrets, THEIRS)
        self.sandbox.replays_all = replays_all
        secret, progress = self.server.secret, dict(self.server.now.progress)
        self.server.side = ServerSide(secret, OURS, progress)
        self.to_sandbox.append(self.server.side.hello())
        if whole:
            self.settle()

    @precondition(lambda self: self.to_sandbox)
    @rule(count=st.integers(1, 8))
    def deliver_to_sandbox(self, count: int) -> None:
        for _ in range(min(count, len(self.to_sandbox))):
            self.sandbox.receive(self.to_sandbox.popleft())

    @precondition(lambda self: self.to_server)
    @rule(count=st.integers(1, 8))
    def deliver_to_server(self, count: int) -> None:
        for _ in range(min(count, len(self.to_server))):
            self.server.receive(self.to_server.popleft())

    @precondition(lambda self: self.server.attached and self.server.half is None)
    @rule(dies_before_storing=st.booleans())
    def rotate(self, dies_before_storing: bool) -> None:
        self.server.rotate(dies_before_storing)

    # --- calamities

    @precondition(lambda self: self.server.side is not None)
    @rule(what=st.sampled_from(["cut", "cut", "kill sandbox", "restart sandbox", "kill server"]))
    def strike(self, what: str) -> None:
        """What a server had not committed goes with it; it was not acknowledged either."""
        self.cut()
        if what == "kill sandbox":
            self.sandbox.begin_life()
        elif what == "restart sandbox":  # its new life is handed the secret that is stored
            self.sandbox.secrets = Known(self.server.secret)
            self.sandbox.begin_life()
        elif what == "kill server":
            self.server.now = self.server.safe.copy()

    @precondition(lambda self: self.server.attached)
    @rule(late=st.lists(st.sampled_from(["submit", "acknowledge"]), max_size=3))
    def take_over(self, late: list[str]) -> None:
        """Another server begins with what is safe; the former one speaks on to nobody."""
        former, waiting = self.sandbox.side, list(self.to_sandbox)
        assert former is not None
        self.to_sandbox.clear()
        former.fail(Fenced("another server took the sandbox over"))
        if "submit" in late:
            frame = SubmitFrame(id="of-the-former", action=CmdRunAction(command="x"))
            waiting.append(encode(frame))
        if "acknowledge" in late:
            waiting.append(encode(AckFrame(epoch=self.sandbox.ledger.epoch, seq=2**40)))
        assert [former.receive(text) for text in waiting] == [[] for _ in waiting]
        self.cut()
        self.server.now = self.server.safe.copy()

    def cut(self) -> None:
        self.server.half = self.server.agreed = None
        self.sandbox.side = self.server.side = None
        self.to_sandbox.clear()
        self.to_server.clear()

    # --- what must hold

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert all(count == 1 for count in self.sandbox.ran.values())

    @invariant()
    def nothing_is_stored_twice_and_nothing_is_missing(self) -> None:
        numbers: dict[str, int] = {}
        for epoch, seq, text in self.server.now.events:
            assert seq == numbers.get(epoch, 0) + 1
            numbers[epoch] = seq
            assert text == self.sandbox.written[epoch][seq - 1]
        assert all(count == 1 for count in self.server.now.finals.values())

    @invariant()
    def nothing_is_kept_but_what_is_not_acknowledged(self) -> None:
        ledger, journal = self.sandbox.ledger, self.sandbox.journal
        assert len(journal[ledger.epoch]) == ledger.last_seq - ledger.acknowledged
        assert all(final > ledger.acknowledged for final in ledger.ended.values())
        assert set(ledger.running) | set(ledger.ended) <= set(self.submitted)
        assert set(self.server.now.unanswered) <= set(self.submitted)

    @invariant()
    def nobody_is_locked_out(self) -> None:
        secrets = self.sandbox.secrets
        assert self.server.secret in (secrets.current, secrets.next)

    def teardown(self) -> None:
        """When the storm is over, all of it is there."""
        try:
            self.all_is_there()
        finally:
            self.group.stop()

    def all_is_there(self) -> None:
        self.cut()
        self.connect(replays_all=False, whole=True)
        for action_id in self.sandbox.ledger.running:
            self.sandbox.record(DoneObservation(action_id=action_id))
        self.settle()
        assert set(self.server.now.finals) == set(self.submitted)
        assert not self.server.now.unanswered
        stored: dict[str, list[bytes]] = {}
        for epoch, _, text in self.server.now.events:
            stored.setdefault(epoch, []).append(text)
        assert stored == self.sandbox.written
        self.nothing_runs_twice()
        self.nothing_is_stored_twice_and_nothing_is_missing()
        self.server.commit()
        self.server.acknowledge()
        self.settle()
        assert self.sandbox.ledger.ended == {}
        assert self.sandbox.ended_before == {}
        assert self.server.secret in (self.sandbox.secrets.current, self.sandbox.secrets.next)
        self.server.rotate(dies_before_storing=False)
        self.settle()
        assert self.sandbox.secrets == Known(self.server.secret), "the former is refused"
        assert not any(self.sandbox.journal.values())

    def settle(self) -> None:
        while self.to_sandbox or self.to_server:
            while self.to_sandbox:
                self.sandbox.receive(self.to_sandbox.popleft())
            while self.to_server:
                self.server.receive(self.to_server.popleft())


TestResume = Resume.TestCase
TestResume.settings = settings(
    max_examples=250,
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
