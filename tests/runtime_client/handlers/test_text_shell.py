"""The shell for an exec's text: the image's where it works, not merely where it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tether_runtime_client.handlers import text_shell
from tether_runtime_client.handlers.text_shell import TextShell
from tether_runtime_client.processes import SpawnFailed
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.actions import ExecAction
from tether_runtime_client.settings import ClientSettings

from .conftest import Desk, execs_of

BASH = "/bin/bash"


def program(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


async def test_the_images_own_where_it_works() -> None:
    shell = TextShell(BASH)
    assert await shell.argv() == ("/bin/sh", "-c")
    assert await shell.argv() is await shell.argv()


@pytest.mark.parametrize(
    "content",
    [
        b"#!/no/such/interpreter\n",
        b"",  # cannot be executed at all
        b"#!/bin/sh\necho version GLIBC_2.99 not found >&2; exit 1\n",
        b"#!/bin/sh\nkill -SEGV $$\n",
        b"#!/bin/sh\nsleep 100\n",
        None,
    ],
)
async def test_the_bundled_one_where_that_is_of_no_use(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = str(tmp_path / "sh") if content is None else program(tmp_path / "sh", content)
    monkeypatch.setattr(text_shell, "IMAGE_SHELL", broken)
    monkeypatch.setattr(text_shell, "_PATIENCE_S", 0.5)
    assert await TextShell(BASH).argv() == (BASH, "--posix", "-c")
    with pytest.raises(e.NoShell):
        await TextShell(None).argv()


async def test_the_bundled_one_behaves_as_sh(
    desk: Desk, settings: ClientSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_shell, "IMAGE_SHELL", "/no/such/sh")
    (tmp_path / "env").write_text("echo read\n")
    bundled = ClientSettings(run_dir=settings.run_dir, bundled_bash=BASH)
    action = ExecAction(command="echo hi; exit 3", env={"BASH_ENV": str(tmp_path / "env")})
    seen = await execs_of(bundled).handle(action, desk.context())
    assert (seen.stdout, seen.exit_code) == (b"hi\n", 3)


async def test_no_shell_is_chosen_while_nothing_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise SpawnFailed("no more processes", "")

    shell = TextShell(BASH)
    with monkeypatch.context() as patch:
        patch.setattr(text_shell, "start_process", refuse)
        with pytest.raises(SpawnFailed):
            await shell.argv()
    async with asyncio.timeout(10):
        assert await shell.argv() == ("/bin/sh", "-c")
