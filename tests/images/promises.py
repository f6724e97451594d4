"""What holds in every image, checked through the public interface of a started runtime."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tether_runtime_client.protocol.defaults import DEFAULT_ENVIRONMENT
from tether_runtime_client.protocol.events import ClientStarted
from tether_server import CmdRunAction, CommandNotFound, SyncEventStreamRuntime

from .cases import Case, CheckOptions, image_of, no_built_images_left

RUN = "/opt/tether/run"
PATIENCE_S = 10
"""The engine kills what has not stopped by then."""

# What a session's bash was given, in lines: its own /proc/self/environ, read by itself.
LIST_ENVIRONMENT = """
while IFS= read -r -d '' item; do printf '%s\\n' "$item"; done </proc/self/environ
"""
ENGINES = {"/.dockerenv", "/etc", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"}
"""What engines make in a container of any image."""
GIVEN = {"HOME", "HOSTNAME", "PATH"}
"""What the engine sets where the image does not."""
OURS = {"TERM", "TETHER_SHELL", *DEFAULT_ENVIRONMENT}

# Counts zombies with nothing but the shell's own means; process 1 may be about to collect one.
COUNT_ZOMBIES = """
for stat in /proc/[0-9]*/stat; do
  { IFS= read -r line <"$stat"; } 2>/dev/null || continue
  [[ ${line##*) } != Z* ]] || echo "$line"
done
"""


def check_case(case: Case, mode: str, client: docker.DockerClient, here: Path) -> None:
    """Makes the case's image, starts it and checks all that is promised of it."""
    image = image_of(case, client)
    runtime = case.runtime(image, mode)
    options = case.options.check
    variables = client.images.get(image).attrs["Config"]["Env"] or []
    with no_built_images_left(client, image, mode), clean_stop(runtime, client) as container:
        check_common(runtime, options, here)
        container.check_untouched(options.folder)
        check_environment(runtime, dict(v.split("=", 1) for v in variables), options.exports)
        case.verify(runtime)


def check_common(runtime: SyncEventStreamRuntime, options: CheckOptions, here: Path) -> None:
    """First command, state, exit codes, files both ways, nothing left behind by commands."""
    first = runtime.run(CmdRunAction(command="echo first; (exit 3)"))
    assert (first.content, first.exit_code, first.status) == ("first\n", 3, "completed")
    check_shell(runtime, options)
    check_state(runtime)
    check_exit_codes(runtime, options)
    check_files(runtime, options.folder, here)
    check_orphans(runtime)


def check_shell(runtime: SyncEventStreamRuntime, options: CheckOptions) -> None:
    """Sessions are the image's own bash where it works."""
    [started] = [e for e in runtime.events.since() if isinstance(e, ClientStarted)]
    reasons = {"own": "the image's own", "bundled": "the bundled one"}
    assert started.shell_reason.startswith(reasons[options.shell]), started.shell_reason


def check_state(runtime: SyncEventStreamRuntime) -> None:
    """What one command sets, the next one has."""
    runtime.run(CmdRunAction(command="cd / && export EXPORTED=1; kept=2; f() { echo f$1; }"))
    seen = runtime.run(CmdRunAction(command='echo "$EXPORTED $kept $PWD $(f 3)"'))
    assert (seen.content, seen.cwd) == ("1 2 / f3\n", "/")
    other = runtime.run(CmdRunAction(command='echo "[${kept-}]"', session="other"))
    assert other.content == "[]\n"


def check_exit_codes(runtime: SyncEventStreamRuntime, options: CheckOptions) -> None:
    """Of commands, and of processes."""
    assert runtime.run(CmdRunAction(command="(exit 77)")).exit_code == 77
    assert runtime.run(CmdRunAction(command="tether-no-such-program")).exit_code == 127
    text = runtime.exec("echo out; echo err >&2; exit 5")
    assert (text.exit_code, text.stdout, text.stderr) == (5, b"out\n", b"err\n")
    with pytest.raises(CommandNotFound):
        runtime.exec(["tether-no-such-program"])
    if options.program:
        assert runtime.exec(list(options.program)).exit_code == 0


def check_files(runtime: SyncEventStreamRuntime, folder: str, here: Path) -> None:
    """A tree goes in and comes out as it was, byte for byte, modes and links included."""
    tree = here / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "bytes").write_bytes(os.urandom(300_000))
    (tree / "program").write_text("#!/bin/sh\n")
    (tree / "program").chmod(0o755)
    (tree / "link").symlink_to("below/bytes")
    runtime.upload(tree, f"{folder}/tree")
    seen = runtime.run(CmdRunAction(command=f"test -s {folder}/tree/program; echo $?"))
    assert seen.content == "0\n"
    runtime.download(f"{folder}/tree", here / "back")
    assert (here / "back/below/bytes").read_bytes() == (tree / "below/bytes").read_bytes()
    assert os.readlink(here / "back/link") == "below/bytes"
    assert (here / "back/program").stat().st_mode & 0o777 == 0o755


def check_orphans(runtime: SyncEventStreamRuntime) -> None:
    """What nobody waits for is collected."""
    runtime.run(CmdRunAction(command="for n in 1 2 3; do (:&); done"))
    deadline = time.monotonic() + PATIENCE_S
    while (left := runtime.run(CmdRunAction(command=COUNT_ZOMBIES)).content) != "":
        assert time.monotonic() < deadline, left


def check_environment(
    runtime: SyncEventStreamRuntime, image: dict[str, str], exports: tuple[str, ...]
) -> None:
    """Sessions have the image's variables as they are, and two of ours; programs not even those."""
    lines = runtime.run(CmdRunAction(command=LIST_ENVIRONMENT, session="environment")).content
    found = dict(line.split("=", 1) for line in lines.splitlines())
    assert {name: found[name] for name in image} == image
    assert found.keys() - image.keys() <= {*GIVEN, *OURS, *exports}
    assert b"ether" not in runtime.exec("export -p").stdout


@dataclass
class Container:
    """The container of a runtime, as the engine knows it."""

    id: str
    volumes: list[str]
    client: docker.DockerClient
    began: float

    @classmethod
    def of(cls, runtime: SyncEventStreamRuntime, client: docker.DockerClient) -> Container:
        """The one that has the runtime's name; `volumes` are those that go with it."""
        label = f"tether.sandbox={runtime.name}"
        [found] = client.containers.list(filters={"label": label})
        mounts: list[dict[str, Any]] = found.attrs["Mounts"]
        volumes = [m["Name"] for m in mounts if m["Type"] == "volume" and m["Destination"] == RUN]
        return cls(str(found.id), volumes, client, time.time())

    def check_untouched(self, folder: str) -> None:
        """Nothing was written but what the checks wrote, our own folder, and what engines make."""
        found = self.client.containers.get(self.id)
        ours = ["/opt/tether", f"{folder}/tree", found.attrs["Config"]["WorkingDir"] or "/"]
        made = {parent for path in ours for parent in map(str, (Path(path), *Path(path).parents))}
        paths = {change["Path"] for change in found.diff() or []} - made - ENGINES
        below = re.compile(rf"({ours[0]}|{folder or ours[1]}|/dev|/proc|/sys)(/.*)?")
        assert [path for path in sorted(paths) if not below.fullmatch(path)] == []

    def check_gone(self) -> None:
        """It ended by itself, with 0, and nothing of it is left."""
        with pytest.raises(docker.errors.NotFound):
            self.client.containers.get(self.id)
        for volume in self.volumes:
            with pytest.raises(docker.errors.NotFound):
                self.client.volumes.get(volume)
        assert self._history() == ["0"]

    def _history(self) -> list[str]:
        """The signal 9, where the engine had to send one, and the exit codes."""
        events = self.client.events(
            since=int(self.began) - 1,
            until=int(time.time()) + 1,
            filters={"container": self.id, "event": ["die", "kill"]},
            decode=True,
        )
        found = [(event["Action"], event["Actor"]["Attributes"]) for event in events]
        killed = ["killed" for name, of in found if name == "kill" and of["signal"] == "9"]
        return killed + [of["exitCode"] for name, of in found if name == "die"]


@contextmanager
def explained(runtime: SyncEventStreamRuntime) -> Iterator[None]:
    """Adds to a failure what the sandbox said last."""
    try:
        yield
    except Exception as problem:
        for event in list(runtime.events.since())[-8:]:
            problem.add_note(repr(event)[:500])
        raise


@contextmanager
def clean_stop(runtime: SyncEventStreamRuntime, client: docker.DockerClient) -> Iterator[Container]:
    """Starts the runtime; when the block is left, nothing of it is."""
    with runtime:
        container = Container.of(runtime, client)
        with explained(runtime):
            yield container
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE_S
    container.check_gone()
