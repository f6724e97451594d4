"""What plugins cost a sandbox that has them: unused, which is to be nothing, and used."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

from tether_runtime_client.plugin.discovery import plugin_packages
from tether_runtime_client.protocol.errors import PluginInvalid
from tether_runtime_client.protocol.plugin_actions import PluginAction
from tether_server import CmdRunAction, EventStreamRuntime, IPythonRunCellAction, ListSkillsAction

from .plan import Plan
from .processes import memory, sandbox_pids
from .report import Aim, Report, Row, median, time_row

WITHOUT = "without a plugin"
UNUSED = "with {}, unused"
ALL = "all plugins"
SAME_TIME = Aim(1.05)
"""Two runs of the same differ by as much."""

SAME_MEMORY = Aim(1.01)
FIRST: dict[str, PluginAction[Any]] = {
    "agent_skills": ListSkillsAction(),
    "jupyter": IPythonRunCellAction(code="1+1"),
}
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """Rows of the local backend: each plugin that is installed here by itself, and all at once."""
    found = plugin_packages().items()
    names = [name for name, each in found if not isinstance(each, PluginInvalid)]
    alone = names[: plan.count(len(names), 1)]
    cases: dict[str, list[str]] = {WITHOUT: []}
    cases |= {UNUSED.format(name): [name] for name in alone} | {UNUSED.format(ALL): names}
    seconds: dict[str, list[float]] = defaultdict(list)
    megabytes: dict[str, list[float]] = defaultdict(list)
    for _ in range(plan.count(15, 1)):
        for case, plugins in cases.items():
            took, rss = await _started(plugins)
            seconds[case].append(took)
            megabytes[case].append(rss)
    rows = [_time_row(case, seconds) for case in cases]
    rows += [_memory_row(case, megabytes) for case in cases]
    for name in FIRST.keys() & set(names):
        rows += await _used_rows(name)
    title = "what plugins cost"
    return Report("plugins", title, tuple(rows), floor="the same without a plugin", bars=False)


async def _started(plugins: list[str]) -> tuple[float, float]:
    """Seconds from nothing to the result of a first `true`, and the client's resident MB then."""
    began = time.perf_counter()
    async with EventStreamRuntime(None, backend="local", plugins=plugins) as runtime:
        await runtime.run(_TRUE)
        took = time.perf_counter() - began
        client = (await sandbox_pids("local", runtime))["client"]
        return took, await asyncio.to_thread(lambda: memory(client)["Rss"])


def _time_row(case: str, seconds: dict[str, list[float]]) -> Row:
    floor, aim = (None, None) if case == WITHOUT else (seconds[WITHOUT], SAME_TIME)
    return time_row(f"first result: {case}", seconds[case], unit="s", floor=floor, aim=aim)


def _memory_row(case: str, megabytes: dict[str, list[float]]) -> Row:
    ours, bare = median(megabytes[case]), median(megabytes[WITHOUT])
    ratio, aim = (None, None) if case == WITHOUT else (ours / bare, SAME_MEMORY)
    return Row(f"client RSS: {case}", ours, "MB", count=len(megabytes[case]), ratio=ratio, aim=aim)


async def _used_rows(name: str) -> list[Row]:
    """Its first action, for which its process is started, and what that process and ours take."""
    async with EventStreamRuntime(None, backend="local", plugins=[name]) as runtime:
        began = time.perf_counter()
        await runtime.run(FIRST[name])
        took = time.perf_counter() - began
        [plugin] = await runtime.plugins()
        client = (await sandbox_pids("local", runtime))["client"]
        assert plugin.pid is not None
        return [
            Row(f"first action: {name}", took, "s"),
            Row(f"client RSS: with {name}, used", memory(client)["Rss"], "MB"),
            Row(f"plugin's process RSS: {name}", memory(plugin.pid)["Rss"], "MB"),
        ]
