"""What a sandbox costs while nobody uses it, after one command."""

from __future__ import annotations

import asyncio

from .plan import Plan
from .processes import Usage, memory, sandbox_pids, usage
from .report import Aim, Report, Row
from .subjects import runtimes

CPU_AIM = Aim(1.0, of="value")
"""Milliseconds in the whole time: a ping or two of the connection, and no polling."""

MEMORY_AIM = Aim(45, of="value")


async def measure(plan: Plan) -> Report:
    """Rows for each backend: processor time and switches of both processes, memory of each."""
    seconds = plan.count(20, 1) / 2
    async with runtimes(plan) as started:
        pids = {name: await sandbox_pids(name, runtime) for name, runtime in started.items()}
        await asyncio.sleep(plan.count(10, 1) / 10)  # what follows a command is not idleness
        before = {name: _usages(group) for name, group in pids.items()}
        plan.tell(f"idle for {seconds:g} s")
        await asyncio.sleep(seconds)
        rows: list[Row] = []
        for name, group in pids.items():
            rows += _cpu_rows(name, before[name], _usages(group), seconds)
            rows += _memory_rows(name, group)
    return Report("idle", "an idle sandbox, after one command", tuple(rows), bars=False)


def _usages(pids: dict[str, int]) -> list[Usage]:
    return [usage(pid) for pid in pids.values()]


def _cpu_rows(name: str, before: list[Usage], after: list[Usage], seconds: float) -> list[Row]:
    used = [late.since(early) for early, late in zip(before, after, strict=True)]
    cpu_ms = 1000 * sum(each.cpu_s for each in used)
    switches = sum(each.switches for each in used)
    return [
        Row(f"{name}: processor time in {seconds:g} s", cpu_ms, "ms", aim=CPU_AIM),
        Row(f"{name}: task switches in {seconds:g} s", switches, ""),
    ]


def _memory_rows(name: str, pids: dict[str, int]) -> list[Row]:
    return [
        Row(
            f"{name}: {process} {kind.upper()}",
            megabytes,
            "MB",
            aim=MEMORY_AIM if (process, kind) == ("client", "Rss") else None,
        )
        for process, pid in pids.items()
        for kind, megabytes in memory(pid).items()
    ]
