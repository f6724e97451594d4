"""A plugin that does as it is told, whatever that is."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tether_runtime_client.plugin import ActionContext, Plugin, PluginObservation, handles
from tether_runtime_client.plugin.link import Link
from tether_runtime_client.plugin.wire import HEAD

from .good import Said, Saying
from .messages import Config, DoAction, DoneObservation, Told

FOREVER_S = 10**6
HERE = Path(__file__).parent.parent


class Bad(Plugin[Config]):
    """`what` an action says is the name of a function below, or one of those in `AROUND`."""

    async def start(self) -> None:
        """As its configuration says."""
        await _around(self.config.start)

    async def stop(self) -> None:
        """As its configuration says."""
        await _around(self.config.stop)

    async def health(self) -> None:
        """As its configuration says."""
        await _around(self.config.health)

    @handles(DoAction)
    async def do(self, action: DoAction, context: ActionContext) -> DoneObservation:
        """As the action says."""
        if action.what in AROUND:
            await _around(action.what)
            return DoneObservation()
        made: Any = await ACTIONS[action.what](action, context)
        return made if isinstance(made, PluginObservation) else DoneObservation(text=made or "")


async def _around(what: str) -> None:
    if what:
        await AROUND[what]()


# --- also at the start and the stop, and when it is asked how it is


async def raises() -> None:
    """A defect."""
    raise ValueError("it does not work")


async def exits() -> None:
    """No cleaning up of any kind."""
    sys.stdout.write("about to leave\n")
    os._exit(7)


async def leaves() -> None:
    """As a script would."""
    sys.exit(3)


async def killed() -> None:
    """As the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


async def hangs() -> None:
    """Its loop turns, and it does not come to an end."""
    await asyncio.Event().wait()


async def blocks() -> None:
    """Its loop does not turn any more."""
    threading.Event().wait()


async def stops() -> None:
    """Nothing of it moves any more."""
    os.kill(os.getpid(), signal.SIGSTOP)


async def does_not_stop() -> None:
    """And does not heed a SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait()


async def leaves_a_note() -> None:
    """It has come so far."""
    (HERE_PIDS / "note").touch()


async def forks() -> None:
    """A copy that has all its descriptors, and one in a session of its own."""
    for detach in (False, True):
        if os.fork() == 0:
            if detach:
                os.setsid()
            (HERE_PIDS / str(os.getpid())).touch()
            while True:
                signal.pause()


async def forks_and_leaves() -> None:
    """The copies stay."""
    await forks()
    await _until(lambda: len(list(HERE_PIDS.iterdir())) == 2)
    os._exit(7)


HERE_PIDS = Path(os.environ.get("CORPUS_PIDS", "/nonexistent"))
"""Where copies of the process leave their ids."""

AROUND: dict[str, Callable[[], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        *(raises, exits, leaves, killed, hangs, blocks, stops, does_not_stop),
        *(leaves_a_note, forks, forks_and_leaves),
    )
}


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not happened():
            await asyncio.sleep(0.01)


# --- in actions only


async def nothing(action: DoAction, context: ActionContext) -> str:
    """All is well."""
    return action.how


async def describes(action: DoAction, context: ActionContext) -> str:
    """What a program that it starts finds."""
    script = 'ls -l /proc/self/fd; cat; echo "[$CORPUS_VARIABLE $LD_CORPUS $TETHER_ENV_LD_CORPUS]"'
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", script], capture_output=True, text=True
    )
    return done.stdout


async def floods(action: DoAction, context: ActionContext) -> None:
    """More lines than anybody wants."""
    for _ in range(int(action.how)):
        sys.stdout.write("x" * 1023 + "\n")


async def tells(action: DoAction, context: ActionContext) -> None:
    """More events than anybody wants."""
    for number in range(int(action.how)):
        context.emit(Told(number=number))


async def tells_in_threads(action: DoAction, context: ActionContext) -> None:
    """From several at once."""
    await asyncio.gather(*(asyncio.to_thread(context.emit, Told(number=n)) for n in range(100)))


async def tells_too_much(action: DoAction, context: ActionContext) -> None:
    """In one event."""
    context.emit(Told(text="x" * 9_000_000))


async def tells_anothers(action: DoAction, context: ActionContext) -> None:
    """An event of another plugin."""
    context.emit(Saying(text="I am good"))


async def tells_no_event(action: DoAction, context: ActionContext) -> None:
    """What looks like one."""
    anything: Any = {"event": "bad.told", "number": 1}
    context.emit(anything)


async def tells_later(action: DoAction, context: ActionContext) -> str:
    """What goes wrong with an event of an action that has ended."""
    if _later:
        try:
            _later[0].emit(Told())
        except RuntimeError as problem:
            return str(problem)
    _later.append(context)
    return ""


_later: list[ActionContext] = []


async def returns_anothers(action: DoAction, context: ActionContext) -> Said:
    """An observation of another plugin."""
    return Said(text="I am good")


async def returns_nothing(action: DoAction, context: ActionContext) -> Any:
    """Not even text."""
    return _Nothing()


class _Nothing(PluginObservation):
    observation: str = "bad.nothing"


async def returns_too_much(action: DoAction, context: ActionContext) -> str:
    """More than a message of the connection holds."""
    return "x" * 9_000_000


async def returns_much(action: DoAction, context: ActionContext) -> str:
    """Nearly as much as that."""
    return "x" * 8_000_000


async def does_not_heed(action: DoAction, context: ActionContext) -> str:
    """A cancellation; it says what it had by then."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "what there was"
    return ""


async def heeds_never(action: DoAction, context: ActionContext) -> None:
    """No cancellation, however often."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def tells_when_cancelled(action: DoAction, context: ActionContext) -> None:
    """Again and again, and does not end."""
    while True:
        try:
            await asyncio.sleep(0.01)
            context.emit(Told())
        except asyncio.CancelledError:
            continue


async def eats(action: DoAction, context: ActionContext) -> None:
    """All memory there is."""
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1024)) * 4096)


async def replaces(action: DoAction, context: ActionContext) -> None:
    """What the client keeps for it, and what it finds in the folder `how`."""
    for path in list(Path(action.how).iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        os.mkfifo(path)


async def replaces_files(action: DoAction, context: ActionContext) -> None:
    """Each file by a pipe that nobody reads."""
    for path in list(Path(action.how).rglob("*")):
        if path.is_file():
            path.unlink()
            os.mkfifo(path)


# --- past the runner, on the socket itself


def _socket() -> socket.socket:
    [link] = [found for found in gc.get_objects() if isinstance(found, Link)]
    return link._connection


def _says(*frames: bytes) -> Callable[[DoAction, ActionContext], Awaitable[None]]:
    async def say(action: DoAction, context: ActionContext) -> None:
        for frame in frames:
            _socket().sendall(HEAD.pack(len(frame)) + frame)
        await hangs()

    return say


async def raw_half(action: DoAction, context: ActionContext) -> None:
    """A frame that never comes to its end."""
    _socket().sendall(HEAD.pack(1000) + b'{"type"')
    await blocks()


async def raw_endless(action: DoAction, context: ActionContext) -> None:
    """One that is longer than any."""
    _socket().sendall(b"\xff" * 1_000_000)
    await hangs()


async def raw_random(action: DoAction, context: ActionContext) -> None:
    """Nothing of any form."""
    _socket().sendall(os.urandom(100_000))
    await hangs()


async def raw_closed(action: DoAction, context: ActionContext) -> None:
    """No socket any more, and it lives on."""
    _socket().shutdown(socket.SHUT_RDWR)
    await blocks()


async def raw_asks(action: DoAction, context: ActionContext) -> None:
    """Asks without end, and reads no answer."""
    ask = b'{"type":"ask","number":1,"what":"environment","session":"default"}'
    batch = (HEAD.pack(len(ask)) + ask) * 1000
    while True:
        _socket().sendall(batch)


async def raw_deep(action: DoAction, context: ActionContext) -> None:
    """JSON that no reader should follow."""
    frame = b'{"type":"event","number":1,"kind":"bad.told","fields":{"a":' + b"[" * 1_000_000
    _socket().sendall(HEAD.pack(len(frame)) + frame)
    await hangs()


async def raw_half_then_slow(action: DoAction, context: ActionContext) -> str:
    """Whole frames, a byte at a time."""
    frame = b'{"type":"event","number":1,"kind":"bad.told","fields":{"number":5}}'
    for byte in HEAD.pack(len(frame)) + frame:
        _socket().sendall(bytes([byte]))
        time.sleep(0.0005)
    return "slow"


def _end(number: int, kind: str = "bad.done") -> bytes:
    text = '{"type":"end","number":%d,"end":{"ended":"observation","kind":"%s","fields":{}}}'
    return (text % (number, kind)).encode()


ACTIONS: dict[str, Callable[[DoAction, ActionContext], Awaitable[Any]]] = {
    function.__name__: function
    for function in (
        *(nothing, describes, floods, tells, tells_in_threads, tells_too_much, tells_anothers),
        tells_no_event,
        *(tells_later, returns_anothers, returns_nothing, returns_too_much, returns_much),
        *(
            does_not_heed,
            heeds_never,
            tells_when_cancelled,
            eats,
            replaces,
            replaces_files,
            raw_half,
            raw_endless,
            raw_random,
        ),
        *(raw_closed, raw_asks, raw_deep, raw_half_then_slow),
    )
} | {
    "raw_text": _says(b"hello"),
    "raw_unknown": _says(b'{"type":"launch"}'),
    "raw_surprise": _says(b'{"type":"pong","and":1}'),
    "raw_ends_unknown": _says(_end(99)),
    "raw_ends_twice": _says(_end(1), _end(1)),
    "raw_ends_anothers": _says(_end(1, "good.said")),
    "raw_tells_anothers": _says(b'{"type":"event","number":1,"kind":"good.saying","fields":{}}'),
    "raw_tells_unknown": _says(b'{"type":"event","number":99,"kind":"bad.told","fields":{}}'),
    "raw_starts_twice": _says(b'{"type":"started"}'),
    "raw_error": _says(
        b'{"type":"end","number":1,"end":{"ended":"error","code":"unauthorized","message":"no"}}'
    ),
}
