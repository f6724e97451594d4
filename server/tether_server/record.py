"""What is known on this machine of every sandbox: one private folder each.

<state>/sandboxes/<name>/       mode 0700
    sandbox.json                how to reach it, its secret, who owns it
    history.sqlite3             all its events; stays when the sandbox is gone
    socket/                     mode 1777, mounted into the sandbox
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, JsonValue, ValidationError

from tether_runtime_client.protocol.errors import NameTaken, RotationFailed, SandboxNotFound
from tether_runtime_client.protocol.message import Message, changed

from .sidecars.plan import SidecarPlan
from .transports.settings import TransportSettings

if TYPE_CHECKING:
    from .backends.base import Sandbox, SandboxSpec

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,47}")
HISTORY_KEPT_S = 7 * 24 * 3600.0
"""How long the history of a sandbox that is gone stays."""


class SandboxRecord(Message):
    """A sandbox that was started and not yet stopped."""

    name: str
    backend: str
    image: str | None
    handle: dict[str, str]
    secret: str = Field(repr=False)
    secret_lifetime_s: float | None = None
    transport: TransportSettings
    keep: bool
    plugins: dict[str, dict[str, JsonValue]] = Field(default_factory=dict, repr=False)
    plugin_packages: tuple[str, ...] = ()
    plugin_versions: dict[str, str] = Field(default_factory=dict)
    sidecars: tuple[SidecarPlan, ...] = ()
    created: float
    server_pid: int
    server_start: int


def state_folder() -> Path:
    """`$TETHER_STATE_DIR`, else `tether` under `$XDG_STATE_HOME`, else under ~/.local/state."""
    explicit = os.environ.get("TETHER_STATE_DIR")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tether"


def new_name() -> str:
    """A name nobody has."""
    return f"sandbox-{secrets.token_hex(4)}"


def sandbox_folder(name: str) -> Path:
    """Where a sandbox of that name has its files; raises `ValueError` for an unusable name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no usable name: lower-case letters, digits, '_', '.' and '-', at most 48"
        )
    return state_folder() / "sandboxes" / name


def claim_folder(name: str) -> Path:
    """Make the folder of a new sandbox; raises `NameTaken`. Old history of that name goes."""
    folder = sandbox_folder(name)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(parent, fcntl.LOCK_EX)
        if _is_claimed(folder):
            raise NameTaken(f"there is a sandbox named {name!r}")
        _clear(folder)
        folder.mkdir(mode=0o700)
        pid = os.getpid()
        (folder / "claim").write_text(f"{pid} {process_start(pid)}")
    finally:
        os.close(parent)
    return folder


def _clear(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _is_claimed(folder: Path) -> bool:
    """Whether a sandbox runs there, or one is being started there by a living process."""
    if (folder / "sandbox.json").exists():
        return True
    try:
        pid, start = map(int, (folder / "claim").read_text().split())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False  # nobody's, or of a process that died while it wrote that line
    return process_start(pid) == start


def record_of(spec: SandboxSpec, sandbox: Sandbox, created: float | None) -> SandboxRecord:
    """The record of a sandbox that this process controls; `created` now, where it is new."""
    pid = os.getpid()
    return SandboxRecord(
        name=spec.name,
        backend=sandbox.backend,
        image=sandbox.image,
        handle=sandbox.handle,
        secret=spec.secret,
        secret_lifetime_s=spec.secret_lifetime_s,
        transport=sandbox.transport,
        keep=spec.keep,
        plugins={name: dict(config) for name, config in spec.plugins.items()},
        plugin_packages=tuple(spec.plugin_packages),
        plugin_versions=dict(sandbox.plugins),
        sidecars=sandbox.sidecars,
        created=created or time.time(),
        server_pid=pid,
        server_start=process_start(pid) or 0,
    )


def save_record(record: SandboxRecord) -> SandboxRecord:
    """Write a record, with the secret that is stored already, if any. Returns what was written."""
    with _locked(sandbox_folder(record.name)):
        record = changed(record, secret=stored_secret(record.name, record.secret))
        _write(record)
    return record


def _write(record: SandboxRecord) -> None:
    """Whole or not at all."""
    folder = sandbox_folder(record.name)
    temporary = folder / f".sandbox.json.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(record.model_dump_json())
    temporary.replace(folder / "sandbox.json")


def load_record(name: str) -> SandboxRecord:
    """The record of a sandbox; raises `SandboxNotFound`, also for what can be no sandbox's name."""
    try:
        text = (sandbox_folder(name) / "sandbox.json").read_bytes()
    except ValueError as problem:
        raise SandboxNotFound(
            f"no sandbox is named like that: {problem}",
            hint="Check the name; `tether ps` lists the sandboxes there are",
        ) from None
    except FileNotFoundError:
        raise SandboxNotFound(f"no sandbox named {name!r} is known here") from None
    try:
        return SandboxRecord.model_validate_json(text)
    except ValidationError:
        raise SandboxNotFound(
            f"what is noted here of sandbox {name!r} cannot be read",
            hint="Another version of Tether may have written it; `tether rm` forgets it",
        ) from None


def stored_secret(name: str, otherwise: str) -> str:
    """The secret of a sandbox as it stands: another process may have changed it."""
    try:
        return load_record(name).secret
    except SandboxNotFound:
        return otherwise


def store_secret(name: str, secret: str) -> None:
    """It has this one from now on; raises `SandboxNotFound`."""
    with _locked(sandbox_folder(name)):
        _write(changed(load_record(name), secret=secret))


@contextmanager
def changing_secret(name: str) -> Iterator[None]:
    """For the one process that may change a sandbox's secret now.

    Raises `RotationFailed` when another does, and `SandboxNotFound`.
    """
    folder = sandbox_folder(load_record(name).name)
    with (folder / "rotation.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = "another process changes this sandbox's secret at this moment"
            raise RotationFailed(text) from None
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def list_records() -> list[SandboxRecord]:
    """All records that can be read, oldest first. Others may come and go meanwhile."""
    paths = sorted((state_folder() / "sandboxes").glob("*/sandbox.json"))
    records = [record for path in paths if (record := _read_record(path)) is not None]
    return sorted(records, key=lambda record: record.created)


def _read_record(path: Path) -> SandboxRecord | None:
    try:
        return SandboxRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as problem:
        log.warning("the record %s cannot be read: %s", path, problem)
        return None


def drop_record(name: str) -> None:
    """The sandbox is gone: forget how to reach it, keep its history. Twice is safe."""
    folder = sandbox_folder(name)
    (folder / "sandbox.json").unlink(missing_ok=True)
    (folder / "claim").unlink(missing_ok=True)
    (folder / "rotation.lock").unlink(missing_ok=True)
    shutil.rmtree(folder / "socket", ignore_errors=True)
    prune_histories()


def prune_histories() -> None:
    """Delete the folders of sandboxes that have been gone for long."""
    oldest = time.time() - HISTORY_KEPT_S
    for folder in (state_folder() / "sandboxes").glob("*/"):
        if _is_claimed(folder) or not folder.is_dir():
            continue
        if _changed(folder) < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _changed(folder: Path) -> float:
    """When the sandbox's last event was stored, as near as files tell."""
    times = [folder, folder / "history.sqlite3", folder / "history.sqlite3-wal"]
    return max((path.stat().st_mtime for path in times if path.exists()), default=0.0)


def process_start(pid: int) -> int | None:
    """A process's start time in clock ticks since boot (tells reused pids apart), or None.

    One that has ended and was not collected by its parent yet is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
