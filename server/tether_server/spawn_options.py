"""How a process can be started, as keyword arguments and as an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from tether_runtime_client.protocol.exec_actions import ExecStartAction


class SpawnOptions(TypedDict, total=False):
    """How `spawn` starts a process.

    `stdin=True` gives it an input that stays open until `process.stdin.close()`; otherwise it has
    an empty one. `tty=True` gives it a terminal of `size` (rows, columns): a login shell where
    there is no command. A `detach`ed process goes on whether somebody reads or not; all its output
    is in files of the sandbox. `env` is added to the sandbox's own; `user` is a name, a uid, or
    either with `:group`; `nice` is its niceness, -20 to 19. Past `timeout_s` its group is killed.
    """

    stdin: bool
    tty: bool
    size: tuple[int, int]
    detach: bool
    env: Mapping[str, str] | None
    cwd: str | None
    user: str | int | None
    group: str | int | None
    umask: int | None
    nice: int | None
    timeout_s: float | None


def start_action(command: Sequence[str] | str, options: SpawnOptions) -> ExecStartAction:
    """The action; raises `TypeError` for an option that there is not, and pydantic's
    `ValidationError` for what cannot be.
    """
    for name in options.keys() - SpawnOptions.__annotations__.keys():
        raise TypeError(f"spawn() got an unexpected keyword argument {name!r}")
    if "size" in options and not options.get("tty"):
        raise ValueError("a size is that of a terminal: it needs tty=True")
    env = options.get("env")
    rows, cols = options.get("size", (24, 80))
    is_text = isinstance(command, str)
    return ExecStartAction(
        argv=None if is_text else tuple(command),
        command=command if isinstance(command, str) else None,
        stdin=options.get("stdin", False),
        tty=options.get("tty", False),
        rows=rows,
        cols=cols,
        detach=options.get("detach", False),
        env=dict(env) if env is not None else None,
        cwd=options.get("cwd"),
        user=options.get("user"),
        group=options.get("group"),
        umask=options.get("umask"),
        nice=options.get("nice"),
        timeout_s=options.get("timeout_s"),
    )
