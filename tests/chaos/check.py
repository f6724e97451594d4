"""What has to hold after every chaos run, whatever happened during it."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tether_runtime_client.protocol.events import (
    ActionAccepted,
    ActionSubmitted,
    BackgroundOutput,
    CmdOutputDelta,
    Event,
    ExecOutputDelta,
    HistoryGap,
    OutputOmitted,
    SessionWarning,
)
from tether_runtime_client.protocol.observations import Observation
from tether_server.history import History

from .faults import DiskFull, Lost, Restarted, ServerReplaced
from .run import Run
from .workload import Step

LOST = {"action_lost", "action_cancelled", "no_such_process"}
"""What an action that ran in a client that ended comes to."""

NO_ROOM = {"disk_full"}
LEFT_LIMIT_S = 5.0
"""Processes that were told to end may take moments."""


def check(run: Run) -> None:
    """Everything; raises `AssertionError` with what does not hold."""
    history = run.sandbox_folder / "history.sqlite3"
    with closing(History(history)) as stored:
        events = list(stored.since(0))
    check_numbers(events, _client_numbers(history))
    check_reader(run, events)
    check_actions(events)
    ended = {event.action_id: event for event in events if isinstance(event, Observation)}
    for step in run.plan.steps:
        check_step(run, step, events, ended.get(step.id))
    check_ledger(run, ended)
    check_clocks(run, events)


def check_numbers(events: list[Event], numbers: dict[str, list[int]]) -> None:
    """No gap and no duplicate, in the server's numbers and in those of each life of the client."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for epoch, seqs in numbers.items():
        assert seqs == list(range(1, len(seqs) + 1)), (epoch, seqs)
    assert not [event for event in events if isinstance(event, HistoryGap)]


def check_reader(run: Run, events: list[Event]) -> None:
    """Whoever subscribed has had every event once, in order."""
    closed = run.servers[-1].told("closed")
    assert closed is not None
    seqs = closed[3]
    assert seqs == list(range(1, len(seqs) + 1)), seqs
    ends = [e.seq for e in events if isinstance(e, Observation) and e.action_id in run.answered]
    assert len(seqs) >= max(ends)


def check_actions(events: list[Event]) -> None:
    """Each action was stored, accepted and ended once, in this order."""
    of: dict[str, list[str]] = defaultdict(list)
    for event in events:
        for kind in (ActionSubmitted, ActionAccepted, Observation):
            if isinstance(event, kind) and event.action_id is not None:
                of[event.action_id].append(kind.__name__)
    whole = ["ActionSubmitted", "ActionAccepted", "Observation"]
    for id, kinds in of.items():
        assert kinds in (whole, [whole[0], whole[2]]), (id, kinds)


def check_step(run: Run, step: Step, events: list[Event], end: Observation | None) -> None:
    """What it came to is what was known beforehand, or it is told as lost where that may be."""
    told = run.answers(step.id)
    assert told, f"nobody was told what became of {step}"
    final = told[-1]
    if step.is_transfer:
        check_transfer(run, step, final)
        return
    if end is None:  # the client was stopping, and took no more
        assert final.get("error") == "action_cancelled", (step, final)
        assert run.plan.has(Restarted), (step, final)
        return
    for earlier in told[:-1]:
        if is_forgotten(run, step, final) and "error" not in earlier:
            check_output(run, step, events, earlier)
            continue
        replaced = run.plan.has(ServerReplaced) and "error" in earlier
        assert replaced or earlier == final, (step, earlier, final)
    if "error" in final:
        check_error(run, step, events, final)
    else:
        check_output(run, step, events, final)


def is_forgotten(run: Run, step: Step, final: dict[str, Any]) -> bool:
    """Whether a process that had ended was asked for once the client that knew it was gone."""
    forgotten = final.get("error") == "no_such_process"
    return forgotten and step.kind == "spawn" and run.plan.ends_clients


def check_transfer(run: Run, step: Step, final: dict[str, Any]) -> None:
    """Whole; and no cut is a failure: it goes on over the next connection."""
    may_fail = run.plan.ends_clients or run.plan.has(DiskFull)
    if "error" in final:
        assert final["error"] in LOST | NO_ROOM, (step, final)
        assert may_fail, (step, final)
        return
    assert final["whole"], (step, final)
    assert may_fail or not final["failures"], (step, final["failures"])


def check_error(run: Run, step: Step, events: list[Event], final: dict[str, Any]) -> None:
    """It had to be possible, and its partial output is all that came of it."""
    allowed = LOST if run.plan.ends_clients else set()
    allowed = allowed | NO_ROOM if run.plan.has(DiskFull) else allowed
    assert final["error"] in allowed, (step, final)
    if step.kind in ("line", "slow", "flood", "late") and final["error"] == "action_lost":
        partial = deltas(events, step.id)[0].decode()
        assert final["data"].get("partial", "") == partial, (step, final)


def check_output(run: Run, step: Step, events: list[Event], final: dict[str, Any]) -> None:
    """Exact in the answer, and in the pieces that came while it ran."""
    assert final["exit_code"] == (7 if step.kind == "spawn" else 0), (step, final)
    wanted = step.output
    if step.kind == "late" and final["output"] != wanted:
        wanted += f"{step.late}\n".encode()  # it was early: the client had been stopped
    assert final["output"] == wanted, (step, difference(final["output"], wanted))
    if step.kind == "exec":
        assert final["stderr"] == step.output, (step, difference(final["stderr"], step.output))
    pieces, whole = deltas(events, step.id)
    if step.kind in ("line", "slow", "flood", "late") and (whole or not run.plan.has(DiskFull)):
        assert whole, step
        assert pieces == wanted, (step, difference(pieces, wanted))
    if step.kind == "late":
        check_late(run, step, events)


def check_late(run: Run, step: Step, events: list[Event]) -> None:
    """Once; or never, where the client died with it, or where it is told that some was left out."""
    kinds = (BackgroundOutput, CmdOutputDelta)
    came = "".join(e.content for e in events if isinstance(e, kinds) and e.session == "late")
    warnings = [e.message for e in events if isinstance(e, SessionWarning) and e.session == "late"]
    left_out = run.plan.has(DiskFull) and any("left out" in text for text in warnings)
    count = came.count(step.late)
    assert count == 1 or (count == 0 and (run.plan.ends_clients or left_out)), (step, came)


def deltas(events: list[Event], id: str) -> tuple[bytes, bool]:
    """A command's output as it came, and whether all of it did. Offsets must fit."""
    pieces, at, whole = [], 0, True
    for event in events:
        if event.action_id != id:
            continue
        if isinstance(event, CmdOutputDelta):
            assert event.offset == at, event
            pieces.append(event.content.encode())
            at += event.length
        elif isinstance(event, OutputOmitted) and event.stream is None:
            assert event.from_offset == at, event
            at, whole = event.to_offset, False
        elif isinstance(event, ExecOutputDelta):
            whole = False
    return b"".join(pieces), whole


def check_ledger(run: Run, ended: dict[str | None, Observation]) -> None:
    """What ended well was done once; what was lost was done once or not at all."""
    lines = Counter((run.folder / "box" / "ledger").read_text().split())
    for id, count in lines.items():
        assert count == 1, f"{id} was done {count} times"
        assert id in ended, f"{id} was done, and the history does not tell its end"
    for id in run.answered:
        if "error" not in run.answers(id)[-1] and "whole" not in run.answers(id)[-1]:
            assert lines[id] == 1, f"{id} ended well, and was not done"


def check_clocks(run: Run, events: list[Event]) -> None:
    """Each clock that jumped shows in the times that its side gave."""
    now = time.time()
    by_server = [e.time for e in events if isinstance(e, ActionSubmitted)]
    by_client = [e.time for e in events if isinstance(e, ActionAccepted)]
    for which, seconds in run.jumps.items():
        times = by_server if which == "server.clock" else by_client
        assert any(abs(t - now - seconds) < 600 for t in times), f"{which} did not jump"


def difference(got: bytes, wanted: bytes) -> str:
    """Where two outputs part."""
    at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), -1)
    at = min(len(got), len(wanted)) if at < 0 else at
    near = slice(max(0, at - 30), at + 60)
    return f"{len(got)} bytes for {len(wanted)}, at {at}: {got[near]!r} for {wanted[near]!r}"


def _client_numbers(history: Path) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = defaultdict(list)
    with closing(sqlite3.connect(history)) as database:
        query = "SELECT epoch, client_seq FROM events WHERE epoch != '' ORDER BY seq"
        for epoch, seq in database.execute(query):
            numbers[epoch].append(seq)
    return numbers


# --- nothing is left


def check_leftovers(run: Run) -> None:
    """No process, descriptor, socket, temporary file, container, volume or network."""
    closed = run.servers[-1].told("closed")
    assert closed is not None
    assert closed[1] == closed[2], difference_of(closed[1], closed[2])
    if run.warm_descriptors is not None and not run.plan.has(Lost):  # nobody told it of that
        assert run.quiet_descriptors == run.warm_descriptors, difference_of(
            run.warm_descriptors, run.quiet_descriptors
        )
    _in_time(lambda: processes_of(run), "processes")
    _in_time(lambda: files_of(run), "files")
    if run.plan.place == "docker":
        _in_time(lambda: engine_objects_of(run.name), "containers, volumes, networks")


def difference_of(before: list[str], after: list[str]) -> str:
    """What there is more or less of."""
    return f"more: {Counter(after) - Counter(before)}, less: {Counter(before) - Counter(after)}"


def processes_of(run: Run) -> list[str]:
    """Those that know the run's name or its folder, by their command line or environment."""
    mark, place = f"TETHER_CHAOS_RUN={run.name}".encode(), str(run.folder).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        command = _read(folder / "cmdline")
        if place in command or mark in _read(folder / "environ").split(b"\0"):
            found.append(f"{folder.name}: {command!r}")
    return found


def files_of(run: Run) -> list[str]:
    """Sockets anywhere, anything in the folder for temporary files, and parts of uploads."""
    sockets = [str(path) for path in run.folder.rglob("*") if path.is_socket()]
    folders = [run.folder / "tmp", run.sandbox_folder / "socket"]
    # What a client was receiving when it was killed stays beside its target.
    parts = [] if run.plan.ends_clients else list((run.folder / "box").glob(".*"))
    return sockets + [str(path) for folder in folders for path in folder.rglob("*")] + parts


def engine_objects_of(name: str) -> list[str]:
    """Whatever of the engine's has the sandbox's name in its own or in a label."""
    found = []
    for what in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        listed = subprocess.run(
            ["docker", *what, "--format={{json .}}"], capture_output=True, text=True, check=True
        )
        found += [line for line in listed.stdout.splitlines() if name in line]
    return found


def _in_time(look: Callable[[], list[str]], what: str) -> None:
    limit = time.monotonic() + LEFT_LIMIT_S
    while left := look():
        assert time.monotonic() < limit, f"{what} are left: {left}"
        time.sleep(0.02)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended, or is another user's
