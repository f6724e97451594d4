"""What each kind of event, action and observation reads like: one table, by exact type."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

from tether_runtime_client.protocol import actions as a
from tether_runtime_client.protocol import events as e
from tether_runtime_client.protocol import observations as o
from tether_runtime_client.protocol import tree_actions as t
from tether_runtime_client.protocol.message import Message
from tether_runtime_client.protocol.plugin_actions import (
    ListPluginsAction,
    OpaqueAction,
    PluginStopAction,
)
from tether_runtime_client.protocol.plugin_events import OpaqueEvent

from .text import clipped, shortened, size, visible

M = TypeVar("M", bound=Message)
Phrase = Callable[[M, int], str]

PHRASES: dict[type[Message], Phrase[Any]] = {}
"""How a message is put into words, in about the given number of characters."""


def phrase(message: Message, width: int) -> str:
    """What `message` reads like; a kind that is not in the table is shown by its name.

    Each text in it is cut to `width` characters, and all of it to twice as many.
    """
    put = PHRASES.get(type(message))
    text = type(message).__name__ if put is None else put(message, width)
    return clipped(visible(text), 2 * width)


def _says(kind: type[M], put: Phrase[M]) -> None:
    if kind in PHRASES:
        raise ValueError(f"{kind.__name__} has a phrase already")
    PHRASES[kind] = put


def _run(x: a.CmdRunAction, width: int) -> str:
    return f"{x.session} $ {shortened(x.command, width)}"


def _input(x: a.CmdInputAction, width: int) -> str:
    if x.paste is not None:
        return f'paste into {x.session}: "{shortened(x.paste, width)}"'
    typed = f"key {x.key or ''}" if x.text is None else f'"{shortened(x.text, width)}"'
    return f"type into {x.session}: {typed}"


def _exec(x: a.ExecAction, width: int) -> str:
    given = f"  ({size(len(x.stdin))} of standard input)" if x.stdin else ""
    return f"exec {shortened(_words(x), width)}{given}"


def _exec_start(x: a.ExecStartAction, width: int) -> str:
    how = "detached " * x.detach + "on a terminal " * x.tty
    return f"start {how}{shortened(_words(x) or 'a login shell', width)}"


def _words(x: a.ExecAction | a.ExecStartAction) -> str:
    return shlex.join(x.argv) if x.argv is not None else f"sh -c {shlex.quote(x.command or '')}"


def _write(x: a.FileWriteAction, width: int) -> str:
    length = len(x.data) if x.data is not None else len((x.content or "").encode())
    return f"{'append to' if x.append else 'write'} {shortened(x.path, width)} ({size(length)})"


def _client_started(x: e.ClientStarted, width: int) -> str:
    lost = f"; {len(x.lost_actions)} actions of its predecessor are lost" if x.lost_actions else ""
    died = f"; its predecessor ended with {x.previous_end}" if x.previous_end else ""
    memory = f"; {_killed_for_memory(x.oom_kills)}" if x.oom_kills else ""
    shell = f"{x.shell} ({shortened(x.shell_reason, width)})" if x.shell else "no shell"
    return f"client {x.version} started as pid {x.pid}: {shell}{died}{memory}{lost}"


def _killed_for_memory(count: int) -> str:
    return f"out of memory, the kernel killed {count} process{'' if count == 1 else 'es'}"


def _sandbox_started(x: e.SandboxStarted, width: int) -> str:
    what = "found again" if x.attached else "started"
    where = f"{x.backend}, {x.image}" if x.image else x.backend
    return f"sandbox {x.name} {what}: {where}"


def _connected(x: e.Connected, width: int) -> str:
    outage = f" after {x.outage_s:.1f} s" if x.outage_s else ""
    return f"connected by {x.transport}{outage}: {shortened(x.reason, width)}"


def _stopped(x: e.SandboxStopped | e.SandboxInterrupted, width: int) -> str:
    code = "" if x.exit_code is None else f" (exit code {x.exit_code})"
    what = "stopped" if isinstance(x, e.SandboxStopped) else "interrupted"
    return f"sandbox {what}: {shortened(x.reason, width)}{code}"


def _sidecar_lost(x: e.SidecarLost, width: int) -> str:
    code = "" if x.exit_code is None else f" (exit code {x.exit_code})"
    return f"the sidecar of {x.plugin} was lost: {shortened(x.reason, width)}{code}"


def _command(x: o.CmdOutputObservation, width: int) -> str:
    parts = [x.status.replace("_", " ")]
    if x.exit_code is not None:
        parts.append(f"exit code {x.exit_code}")
    if x.oom_kills:
        parts.append(_killed_for_memory(x.oom_kills))
    if x.foreground:
        parts.append(f"running {', '.join(x.foreground)}")
    parts += [f"{x.duration_s:.2f} s", size(x.total_bytes), f"in {x.cwd}"]
    if x.truncated:
        parts.append("the middle is left out")
    if x.state_lost is not None:
        parts.append(f"shell replaced: {shortened(x.state_lost.reason, width)}")
    return ", ".join(parts)


def _screen(x: o.ScreenObservation, width: int) -> str:
    where = f"row {x.cursor.row}, column {x.cursor.col}"
    return f"{x.session} shows, cursor in {where}: {shortened(x.content, width)}"


def _exec_done(x: o.ExecObservation, _: int) -> str:
    ended = f"signal {x.signal}" if x.signal else f"exit code {x.exit_code}"
    late = ", out of time" if x.timed_out else ""
    output = f"{size(x.stdout_bytes)} out, {size(x.stderr_bytes)} err"
    return f"exec ended{late}, {ended}, {x.duration_s:.2f} s, {output}"


def _transfer(x: o.TransferObservation, width: int) -> str:
    files = f"{x.files} file{'' if x.files == 1 else 's'}"
    return f"transferred {shortened(x.path, width)}: {files}, {size(x.bytes)}"


def _error(x: o.ErrorObservation, width: int) -> str:
    hint = f". {shortened(x.hint, width)}" if x.hint else ""
    return f"{x.code}: {shortened(x.message, width)}{hint}"


def _gap(x: e.HistoryGap, width: int) -> str:
    last = "?" if x.last is None else x.last
    return f"events {x.first} to {last} are gone: {shortened(x.reason, width)}"


def _ended(x: e.CommandEnded, _: int) -> str:
    code = "" if x.exit_code is None else f", exit code {x.exit_code}"
    return f"{x.session}: the command has ended ({x.status.replace('_', ' ')}{code})"


def _listed(x: o.ListFilesObservation, width: int) -> str:
    more = ", and more" if x.next_offset is not None else ""
    return f"{len(x.entries)} names in {shortened(x.path, width)}{more}"


def _found(x: o.FindFilesObservation, width: int) -> str:
    more = ", and more" if x.next_offset is not None or x.timed_out else ""
    return f"{len(x.entries)} found in {shortened(x.path, width)}{more}"


def _matched(x: o.GrepObservation, width: int) -> str:
    what = f"{len(x.files)} files match" if x.files else f"{len(x.matches)} lines match"
    more = ", and more" if x.next_offset is not None or x.timed_out else ""
    return f"{what} in {shortened(x.path, width)}{more}"


def _changed(x: e.FilesChanged, width: int) -> str:
    first = x.changes[0] if x.changes else e.FileChange(path="nothing", kind="modified")
    more = f", and {len(x.changes) - 1} more" if len(x.changes) > 1 else ""
    return f"{first.kind}: {shortened(first.path, width)}{more}"


def _ends(x: e.PortOpened | e.PortTrouble | e.PortClosed, width: int) -> str:
    inside, here = shortened(x.inside, width), shortened(x.here, width)
    if x.direction == "forward":
        return f"{here} here to {inside} in the sandbox"
    return f"{inside} in the sandbox to {here} here"


def _opaque(x: OpaqueAction | OpaqueEvent | o.OpaqueObservation, width: int) -> str:
    each = max(16, width // 3)
    fields = (f"{name}={shortened(str(value), each)}" for name, value in x.fields.items())
    return f"{x.kind} {shortened(', '.join(fields), width)}"


def _plugin_failed(x: e.PluginFailed, width: int) -> str:
    code = "" if x.exit_code is None else f" (exit code {x.exit_code})"
    return f"the plugin {x.plugin} is left out: {shortened(x.reason, width)}{code}"


def _plugins(x: o.ListPluginsObservation, width: int) -> str:
    states = ", ".join(f"{one.name} {one.version} {one.state}" for one in x.plugins)
    return (
        f"{len(x.plugins)} plugin{'' if len(x.plugins) == 1 else 's'}: {shortened(states, width)}"
    )


_says(a.CmdRunAction, _run)
_says(a.CmdInputAction, _input)
_says(a.CmdInterruptAction, lambda x, _: f"{x.signal} to {x.session}")
_says(a.CmdPollAction, lambda x, _: f"poll {x.session}")
_says(a.SessionResetAction, lambda x, _: f"reset {x.session}")
_says(a.SessionResizeAction, lambda x, _: f"{x.rows} rows of {x.cols} columns for {x.session}")
_says(a.ScreenReadAction, lambda x, _: f"the screen of {x.session}")
_says(a.ListProcessesAction, lambda x, _: f"processes of {x.session or 'every session'}")
_says(a.ProcessSignalAction, lambda x, _: f"{x.signal} to process {x.pid}")
_says(a.ExecAction, _exec)
_says(a.ExecStartAction, _exec_start)
_says(a.ExecAttachAction, lambda x, _: f"connect to exec {x.target_id[:6]}")
_says(a.ListExecsAction, lambda _, __: "execs that were started")
_says(a.ExecSignalAction, lambda x, _: f"{x.signal} to exec {x.target_id[:6]}")
_says(a.SetEnvAction, lambda x, width: f"set {shortened(', '.join(x.env), width)}")
_says(a.FileReadAction, lambda x, width: f"read {shortened(x.path, width)}")
_says(a.FileWriteAction, _write)
_says(a.FileEditAction, lambda x, width: f"edit ({x.command}) {shortened(x.path, width)}")
_says(a.ListFilesAction, lambda x, width: f"list {shortened(x.path, width)}")
_says(t.FileStatAction, lambda x, width: f"look at {shortened(x.path, width)}")
_says(t.FindFilesAction, lambda x, width: f"find files in {shortened(x.path, width)}")
_says(
    t.GrepAction,
    lambda x, width: f"search {shortened(x.path, width // 2)} for {shortened(x.pattern, width)}",
)
_says(t.DiskUsageAction, lambda x, width: f"disk usage of {shortened(x.path, width)}")
_says(t.FileWatchAction, lambda x, width: f"watch {shortened(x.path, width)}")
_says(t.CancelAction, lambda x, _: f"cancel {x.target_id[:6]}")
_says(a.UploadAction, lambda x, width: f"upload a {x.kind} to {shortened(x.path, width)}")
_says(a.DownloadAction, lambda x, width: f"download {shortened(x.path, width)}")
_says(
    a.PortForwardAction,
    lambda x, width: f"connect to port {shortened(str(x.port or x.path), width)} when asked to",
)
_says(
    a.PortReverseAction,
    lambda x, width: f"listen on {shortened(x.path or f'{x.bind}:{x.port}', width)} inside",
)

_says(ListPluginsAction, lambda x, _: f"plugins{', and how they are' if x.health else ''}")
_says(PluginStopAction, lambda x, _: f"stop the plugin {x.plugin}")
_says(OpaqueAction, _opaque)

_says(e.ActionSubmitted, lambda x, width: phrase(x.action, width))
_says(e.ActionAccepted, lambda x, _: f"accepted ({x.kind})")
_says(e.ClientStarted, _client_started)
_says(e.StartProgress, lambda x, width: f"{x.start} start: {shortened(x.message, width)}")
_says(e.SandboxStarted, _sandbox_started)
_says(e.Connected, _connected)
_says(e.ConnectionLost, lambda x, width: f"connection lost: {shortened(x.reason, width)}")
_says(
    e.ConnectionTrouble,
    lambda x, width: f"no connection can be made: {shortened(x.reason, width)}",
)
_says(e.SandboxStopped, _stopped)
_says(e.SandboxInterrupted, _stopped)
_says(e.SidecarLost, _sidecar_lost)
_says(e.SidecarStarted, lambda x, width: f"the sidecar of {x.plugin} listens")
_says(e.CmdOutputDelta, lambda x, width: f"{x.session}: {shortened(x.content, width)}")
_says(
    e.ExecOutputDelta,
    lambda x, width: f"{x.stream}: {shortened(x.data.decode('utf-8', 'replace'), width)}",
)
_says(
    e.OutputOmitted,
    lambda x, _: f"output left out here: bytes {x.from_offset:,} to {x.to_offset:,}",
)
_says(
    e.BackgroundOutput,
    lambda x, width: f"{x.session}, from the background: {shortened(x.content, width)}",
)
_says(e.CommandEnded, _ended)
_says(e.SessionEnded, lambda x, width: f"{x.session} ended: {shortened(x.reason, width)}")
_says(e.OutOfMemory, lambda x, _: _killed_for_memory(x.oom_kills))
_says(e.SessionWarning, lambda x, width: f"{x.session}: {shortened(x.message, width)}")
_says(e.EntrypointStarted, lambda x, _: f"the image's entrypoint runs as pid {x.pid}")
_says(
    e.EntrypointEnded,
    lambda x, width: f"the image's entrypoint ended: {shortened(x.reason, width)}",
)
_says(e.TransferReady, lambda x, _: f"ready for a {x.kind}")
_says(e.WatchReady, lambda x, _: f"watching {x.folders} folders")
_says(e.FilesChanged, _changed)
_says(e.WatchOverflow, lambda x, width: f"changes were missed: {shortened(x.reason, width)}")
_says(
    e.PluginStarted,
    lambda x, _: f"the plugin {x.plugin} runs as pid {x.pid} after {x.duration_s:.2f} s",
)
_says(e.PluginFailed, _plugin_failed)
_says(
    e.PluginEventsOmitted,
    lambda x, _: f"{x.count} events of the plugin {x.plugin} were left out",
)
_says(e.PluginStopped, lambda x, _: f"the plugin {x.plugin} was stopped")
_says(e.PluginWarning, lambda x, width: f"the plugin {x.plugin}: {shortened(x.message, width)}")
_says(OpaqueEvent, _opaque)
_says(e.HistoryGap, _gap)
_says(e.PortOpened, lambda x, width: f"mapped: {_ends(x, width)}")
_says(
    e.PortTrouble,
    lambda x, width: f"connections fail: {_ends(x, width)}: {shortened(x.reason, width)}",
)
_says(
    e.PortClosed,
    lambda x, width: f"mapped no more: {_ends(x, width)}: {shortened(x.reason, width)}",
)

_says(o.CmdOutputObservation, _command)
_says(o.ListProcessesObservation, lambda x, _: f"{x.total} processes")
_says(o.SessionResetObservation, lambda x, _: f"{x.session} is fresh, in {x.cwd}")
_says(o.ScreenObservation, _screen)
_says(o.ExecObservation, _exec_done)
_says(o.ExecAttachedObservation, lambda x, _: f"ready for a caller of exec {x.exec.id[:6]}")
_says(o.ListExecsObservation, lambda x, _: f"{len(x.execs)} execs")
_says(o.DoneObservation, lambda _, __: "done")
_says(o.FileReadObservation, lambda x, _: f"read {x.path} ({size(x.total_bytes)})")
_says(o.FileWriteObservation, lambda x, _: f"wrote {x.path} ({size(x.total_bytes)})")
_says(o.FileEditObservation, lambda x, width: f"edited {shortened(x.path, width)}")
_says(o.ListFilesObservation, _listed)
_says(
    o.FileStatObservation,
    lambda x, width: f"{shortened(x.path, width)} is a {x.type} ({size(x.size)})",
)
_says(o.FindFilesObservation, _found)
_says(o.GrepObservation, _matched)
_says(
    o.DiskUsageObservation,
    lambda x, width: f"{shortened(x.path, width)} takes {size(x.allocated)}",
)
_says(
    o.FileWatchObservation,
    lambda x, width: f"{x.total} changes in {shortened(x.path, width)}, ended by {x.ended}",
)
_says(o.TransferObservation, _transfer)
_says(o.PortReadyObservation, lambda x, _: f"ready{'' if x.port is None else f', port {x.port}'}")
_says(o.ListPluginsObservation, _plugins)
_says(o.OpaqueObservation, _opaque)
_says(o.ErrorObservation, _error)
