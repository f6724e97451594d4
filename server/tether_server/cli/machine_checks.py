"""What this machine needs to run sandboxes, one check each."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..record import state_folder
from .engine_probe import probe_engine
from .findings import Finding, Status
from .text import size

PACKAGES = ("caribou", "click", "docker", "pexpect", "pydantic", "pyte", "rich", "websockets")
LITTLE_SPACE = 2 * 10**9
NO_SPACE = 200 * 10**6
"""Bytes free below which images will soon, or certainly, not fit."""


def check_machine() -> Iterator[Finding]:
    """Look at everything; each finding as it is known."""
    yield check_system()
    yield check_python()
    yield check_packages()
    yield check_shell()
    engine, facts = probe_engine()
    yield engine
    if engine.status == "ok":
        yield from _check_engine_disk(facts)
        yield check_environment()
    yield check_state(state_folder())
    yield check_space("disk", state_folder())
    yield check_leftovers(ask_engine=engine.status == "ok")


def check_system() -> Finding:
    """Linux, with the kernel's means to wait for processes and files."""
    detail = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return Finding("system", "missing", detail, "The server needs Linux 5.3 or later")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as problem:
        fix = "The server needs Linux 5.3 or later, and no filter on system calls"
        return Finding("system", "missing", f"{detail}: no pidfd_open ({problem})", fix)
    return Finding("system", "ok", detail)


def check_python() -> Finding:
    """The version of this interpreter; the package does not install on one that is too old."""
    return Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")


def check_packages() -> Finding:
    """Everything the two extras bring."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        fix = "pip install 'tether-runtime[server,sandbox]'"
        return Finding("packages", "missing", f"not installed: {', '.join(absent)}", fix)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return Finding("packages", "ok", versions)


def check_shell() -> Finding:
    """For sessions of the local backend."""
    bash = shutil.which("bash")
    if bash is None:
        fix = "Install bash; sandboxes of an engine bring their own"
        return Finding("bash", "note", "none on PATH: no shell sessions with --local", fix)
    return Finding("bash", "ok", bash)


def check_environment() -> Finding:
    """Whether the runtime environment is built already."""
    from tether_runtime_client.protocol.errors import TetherError

    try:
        name, there = _find_environment()
    except (TetherError, OSError, ValueError, ImportError) as problem:
        return Finding("environment", "note", f"the runtime environment: {problem}")
    if there:
        return Finding("environment", "ok", f"{name} is built")
    detail = f"{name} is not built yet: the first sandbox takes some minutes longer"
    return Finding("environment", "note", detail, "`runtime-build IMAGE` builds it now")


def _find_environment() -> tuple[str, bool]:
    import docker.errors

    from tether_image_builder.environment import EnvironmentRecipe

    from ..backends.docker import connect_engine

    engine = connect_engine()
    try:
        version = engine.version()
        system = f"{version['Os']}/{version['Arch']}"
        image = EnvironmentRecipe.load("portable", system).described.image
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        return image, False
    finally:
        engine.close()
    return image, True


def check_state(folder: Path) -> Finding:
    """The state folder: there or can be made, writable, and nobody else's business."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as problem:
        fix = "Set TETHER_STATE_DIR to a folder that you can write"
        return Finding("state", "missing", f"{folder} cannot be made: {problem.strerror}", fix)
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = f"chmod u+rwx {folder}, or set TETHER_STATE_DIR"
        return Finding("state", "missing", f"{folder} cannot be written", fix)
    if found.st_uid != os.geteuid():
        fix = "Set TETHER_STATE_DIR to a folder of your own"
        return Finding("state", "missing", f"{folder} belongs to user {found.st_uid}", fix)
    if found.st_mode & 0o022:
        detail = f"others may write in {folder} (mode {found.st_mode & 0o7777:04o})"
        return Finding("state", "missing", detail, f"chmod 700 {folder}")
    return Finding("state", "ok", f"{folder}")


def check_space(name: str, folder: Path) -> Finding:
    """Room where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    status: Status = "missing" if free < NO_SPACE else "note" if free < LITTLE_SPACE else "ok"
    fix = "" if status == "ok" else "Free some: `docker system prune`, `tether rm --all`"
    return Finding(name, status, f"{size(free)} free at {folder}", fix)


def check_leftovers(*, ask_engine: bool) -> Finding:
    """Sandboxes of dead servers, and histories that wait for their end."""
    from ..inventory import take_inventory

    sandboxes = take_inventory(ask_engine=ask_engine).sandboxes
    left = [found.name for found in sandboxes if found.leftover]
    if left:
        names = ", ".join(left[:5]) + (", …" if len(left) > 5 else "")
        return Finding("leftovers", "note", f"{len(left)}: {names}", "`tether rm --orphans`")
    running = sum(found.state == "running" for found in sandboxes)
    ended = sum(found.state == "ended" for found in sandboxes)
    return Finding("leftovers", "ok", f"none; {running} running, {ended} ended with a history")


def _check_engine_disk(facts: dict[str, Any]) -> Iterator[Finding]:
    """Where the engine keeps images, when that is on this machine."""
    root = Path(str(facts.get("DockerRootDir") or "/nonexistent"))
    if root.is_dir():
        yield check_space("engine disk", root)
