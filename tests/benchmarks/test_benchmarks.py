"""That the benchmarks run and say what they measured. What they measure is not asserted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # `benchmarks` is no installed package: it is run from here

from benchmarks.report import Aim, Row, median, percentile, rate_row, time_row  # noqa: E402
from benchmarks.turns import take_turns  # noqa: E402

ROWS = {
    "latency": ["websocket echo", "bash on pipes", "floor", "bash behind", "Tether, local"],
    "throughput": ["seq 1 2000: bare", "seq 1 2000: Tether, local", "cat", "cat, 0.5 MB: Tether"],
    "startup": ["Tether, local: connected", "Tether, local: first result"],
    "idle": ["processor time", "task switches", "supervisor RSS", "client RSS"],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_measurement_has_its_rows(name: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = _run("--quick", "--only", name, "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert f"{name}:" in done.stdout
    (report,) = json.loads(file.read_text())["reports"]
    found = [row["name"] for row in report["rows"]]
    for expected in ROWS[name]:
        assert any(expected in row for row in found), (expected, found)
    assert all(_is_sensible(row) for row in report["rows"])


def test_an_unknown_measurement_is_refused() -> None:
    done = _run("--only", "speed")
    assert done.returncode == 2
    assert "latency" in done.stderr


async def test_steps_take_turns_in_blocks() -> None:
    calls: list[str] = []

    async def step(name: str) -> None:
        calls.append(name)
        await asyncio.sleep(0)

    samples = await take_turns({"a": lambda: step("a"), "b": lambda: step("b")}, rounds=2, block=2)
    assert "".join(calls) == "ab" + "aabb" * 2
    assert {name: len(times) for name, times in samples.items()} == {"a": 4, "b": 4}


def test_percentiles_are_samples() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert (median(samples), percentile(samples, 95), percentile(samples, 100)) == (50, 95, 100)
    assert percentile([7.0], 95) == 7.0


def test_rows_compare_medians() -> None:
    times = time_row("t", [0.001, 0.003, 0.1], floor=[0.002], aim=Aim(1.5))
    assert (times.value, times.ratio, times.met) == (3.0, 1.5, True)
    rate = rate_row("r", [2.0], 10_000_000, floor=[1.0], aim=Aim(0.8, at="least"))
    assert (rate.value, rate.ratio, rate.met) == (5.0, 0.5, False)
    assert Row("m", 44.0, "MB", aim=Aim(45, of="value")).met
    assert Row("m", 44.0, "MB").met is None


def _run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def _is_sensible(row: dict[str, Any]) -> bool:
    return row["value"] >= 0 and row["count"] >= 1 and (row["p95"] is None or row["p95"] > 0)
