"""Bytes: what a command wrote is what is reported, to the last one."""

from __future__ import annotations

from .conftest import Shell


async def test_blank_lines_before_and_after_are_kept(shell: Shell) -> None:
    assert await shell.output(r"printf '\n\n a\tb \n\n\n'") == "\n\n a\tb \n\n\n"
