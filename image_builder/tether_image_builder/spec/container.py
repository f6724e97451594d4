"""A container in which a shell step runs, and the image that is made of it.

It is made by hand and not by the engine's builder, which knows no mounts: so a step is given
secrets, certificates and proxies, and none of them is in a layer, a configuration, a history or
a build cache. The container runs a shell that waits; the step is a process beside it, whose user,
folder and variables the engine does not write into the image.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..exchange import EngineRefusal
from .script import AT, SECRETS, WORK
from .traces import find_traces

if TYPE_CHECKING:
    import docker

Output = Callable[[bytes], None]
STEP_LABEL = "tether.step"
RUNNING = "running"
ABANDONED = 1  # how `_WAIT` ends at the end of its input
_MEMORY = "mode=1777,size=64m,nosuid,nodev,noexec"
_READ = 1 << 16
_WAIT = "read _"  # until the engine loses us, and with us its standard input


@dataclass(frozen=True)
class Process:
    """What runs in a container.

    Attributes:
        shell: the path of the shell.
        program: what the shell reads on its standard input.
        user: whom it runs as.
        workdir: where, None for the image's own folder.
        environment: added to the image's own variables.
    """

    shell: str
    program: bytes
    user: str = "0"
    workdir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class StepContainer:
    """A container that waits. Its owner is `step_container`."""

    def __init__(self, api: docker.APIClient, container: str, shell: str) -> None:
        self._api = api
        self._container = container
        self._shell = shell

    def run(self, process: Process, output: Output) -> int:
        """Runs a process to its end; gives its exit code.

        Raises:
            EngineRefusal: it could not be started.
        """
        with refusals():
            made = self._api.exec_create(
                self._container,
                [process.shell],
                stdin=True,
                user=process.user,
                workdir=process.workdir,
                environment=dict(process.environment),
            )["Id"]
            started = self._api.exec_start(made, socket=True)
            with _opened(started) as stream, _sending(stream, process.program):
                for piece in _pieces(stream):
                    output(piece)
            return _exit_code(self._api, self._container, made)

    def command_reached(self) -> int | None:
        """The number of the command that a step was at; None where it never began."""
        said: list[bytes] = []
        line = f"read -r number <{AT} && echo $number\n".encode()
        self.run(Process(self._shell, line + b"exit 0\n"), said.append)
        number = b"".join(said).strip()
        return int(number) if number.isdigit() else None

    def end(self) -> None:
        """Ends the container and all that the step has left running."""
        import docker.errors

        with refusals():
            try:
                self._api.kill(self._container)
            except docker.errors.APIError as problem:
                if problem.status_code != 409:  # it has ended by itself
                    raise
            self._api.wait(self._container, timeout=None)

    def traces_of(self, secrets: Mapping[str, bytes]) -> dict[str, str]:
        """The names of secrets that the step has written, each with a path. After `end`."""
        if not secrets:
            return {}
        with refusals():
            return find_traces(self._api, self._container, secrets)

    def commit(self, base: Mapping[str, Any], labels: Mapping[str, str], comment: str) -> str:
        """Makes an image of the container; gives its id. After `end`.

        Args:
            base: the configuration of the image that it was made from; the new one's is the same.
            labels: added to the image's own.
            comment: for the image's history.

        Raises:
            EngineRefusal: the engine would not make it.
        """
        with refusals():
            return _commit(self._api, self._container, _configuration(base, labels), comment)


@contextmanager
def step_container(
    api: docker.APIClient, image: Mapping[str, Any], shell: str, volumes: Mapping[str, str]
) -> Iterator[StepContainer]:
    """A container of an image that waits for a step; it is gone when the block is left.

    Should this process die, the engine closes the container's standard input, and it ends.

    Args:
        api: the engine.
        image: the engine's description of the image.
        shell: the path of a shell in it.
        volumes: paths in the container by name of a volume; they cannot be written to.

    Raises:
        EngineRefusal: it could not be started.
    """
    with refusals():
        _remove_abandoned(api)
        container = _create(api, image, shell, volumes)
    try:
        with refusals():
            attached = api.attach_socket(container, params={"stdin": 1, "stream": 1})
            with _opened(attached):
                api.start(container)
                yield StepContainer(api, container, shell)
    finally:
        _remove(api, container)


def described(api: docker.APIClient, image_id: str) -> dict[str, Any]:
    """The engine's description of an image.

    Raises:
        EngineRefusal: there is no such image.
    """
    with refusals():
        found = api.inspect_image(image_id)  # type: ignore[no-untyped-call]
        return {**found, "Config": found.get("Config") or {}}


def without_triggers(api: docker.APIClient, image_id: str) -> str:
    """A copy of an image's description without its ONBUILD instructions; gives its id.

    They are meant for builds of the user's own, and the builder would run them before a file step.

    Raises:
        EngineRefusal: the engine would not make it.
    """
    image = described(api, image_id)
    with refusals():
        container = _create(api, image, "-", {})
        try:
            return _commit(api, container, _configuration(image["Config"], {}), "")
        finally:
            _remove(api, container)


def _create(
    api: docker.APIClient, image: Mapping[str, Any], shell: str, volumes: Mapping[str, str]
) -> str:
    from docker.types import LogConfig

    host = api.create_host_config(
        tmpfs={WORK: _MEMORY, SECRETS: _MEMORY},
        binds=[f"{name}:{path}:ro,nocopy" for name, path in volumes.items()],
        log_config=LogConfig(type="none"),
    )
    options: dict[str, Any] = {}
    if image["Config"].get("Healthcheck"):
        options["healthcheck"] = {"test": ["NONE"]}  # else it would run beside the step
    made = api.create_container(
        image["Id"],
        entrypoint=[shell, "-c", _WAIT],
        command=[],
        stdin_open=True,
        labels={STEP_LABEL: RUNNING},
        host_config=host,
        **options,
    )
    return str(made["Id"])


def _remove_abandoned(api: docker.APIClient) -> None:
    """What a builder that was killed left: its container has ended by itself."""
    wanted = {"label": f"{STEP_LABEL}={RUNNING}", "exited": ABANDONED}
    for found in api.containers(all=True, filters=wanted):
        _remove(api, found["Id"])


def _remove(api: docker.APIClient, container: str) -> None:
    """Also where another builder has seen that it had ended, and is removing it."""
    import docker.errors

    try:
        api.remove_container(container, v=True, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as problem:
        if problem.status_code != 409:
            raise


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the SDK's errors into this package's."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as problem:
        raise EngineRefusal(problem.explanation or str(problem)) from None


def _configuration(base: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """What an image says, the triggers apart; the engine fills in only what is missing."""
    every_label = {**(base.get("Labels") or {}), **labels}
    entrypoint = base.get("Entrypoint") or []  # missing, it would be the container's
    return {**base, "Labels": every_label, "Entrypoint": entrypoint, "OnBuild": None}


def _commit(api: docker.APIClient, container: str, config: Any, comment: str) -> str:
    """The SDK's own call gives up after its time-out, which a large layer takes longer than."""
    import requests

    address = f"{api.base_url}/v{api.api_version}/commit"
    parameters = {"container": container, "comment": comment}
    response = api.post(address, params=parameters, json=config, timeout=None)
    try:
        response.raise_for_status()
    except requests.HTTPError:
        raise EngineRefusal(str(response.json().get("message", response.text))) from None
    return str(response.json()["Id"])


def _exit_code(api: docker.APIClient, container: str, process: str) -> int:
    """The outputs' end may be seen before the process's; then the engine's own account has it."""
    found = api.exec_inspect(process)
    if not found["Running"] and found["ExitCode"] is not None:
        return int(found["ExitCode"])
    wanted = {"container": container, "event": "exec_die"}
    events = api.events(since=1, filters=wanted, decode=True)
    try:
        for event in events:
            attributes = event["Actor"]["Attributes"]
            if attributes.get("execID") == process:
                return int(attributes["exitCode"])
    finally:
        events.close()
    raise EngineRefusal("the engine does not say how the step ended")


@dataclass(frozen=True)
class Connection:
    """A hijacked connection; `early` was read together with the answer's head."""

    socket: socket.socket
    early: bytes


@contextmanager
def _opened(hijacked: Any) -> Iterator[Connection]:
    """A socket of our own for a hijacked connection; the SDK's, and its response, are closed."""
    theirs: socket.socket = getattr(hijacked, "_sock", hijacked)
    response = hijacked._response
    with theirs.dup() as ours:
        theirs.setblocking(False)
        early = bytes(response.raw._fp.fp.peek())  # where the SDK takes the socket from, too
        # The response goes first: it flushes the file that the socket's wrapper is.
        response.close()
        theirs.close()
        ours.settimeout(None)  # a step may be silent for long
        yield Connection(ours, early)


@contextmanager
def _sending(connection: Connection, data: bytes) -> Iterator[None]:
    """Sends beside what is read: an engine that has something to say first reads nothing."""
    sender = threading.Thread(target=_send, args=(connection, data))
    sender.start()
    try:
        yield
    finally:
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)  # what is left goes nowhere
        sender.join()


def _send(connection: Connection, data: bytes) -> None:
    with suppress(OSError):  # the process has ended already; its exit code says how
        connection.socket.sendall(data)


def _pieces(connection: Connection) -> Iterator[bytes]:
    """What is written, as it comes: each piece is behind 8 bytes, the last four its length."""
    left = bytearray(connection.early)
    while True:
        while len(left) >= 8 and len(left) >= (end := 8 + int.from_bytes(left[4:8], "big")):
            yield bytes(left[8:end])
            del left[:end]
        try:
            data = connection.socket.recv(_READ)
        except ConnectionResetError:  # the engine closed it with something of ours unread
            return
        if not data:
            return
        left += data
