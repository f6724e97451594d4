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

from benchmarks.peers.marker import Marked  # noqa: E402
from benchmarks.report import Aim, Row, median, percentile, rate_row, time_row  # noqa: E402
from benchmarks.turns import take_turns  # noqa: E402

SSH = ["ssh -tt, kept", *(f"{name}, {mode}" for name in ("asyncssh", "paramiko") for mode in
       ("kept shell", "kept shell, terminal", "one exec"))]  # fmt: skip
ROWS = {
    "latency": ["websocket echo", "bash on pipes", "floor", "bash behind", "Tether, local"],
    "beside": ["Tether, local", "ssh, kept", *SSH],
    "throughput": ["seq 1 2000: bare", "cat, 0.5 MB: Tether, local", "times ssh -tt", *SSH],
    "crowd": ["bash on pipes", "Tether, local", *SSH],
    "startup": ["Tether, local: connected", "Tether, local: first result"],
    "idle": ["processor time", "task switches", "supervisor RSS", "client RSS"],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_measurement_has_its_rows(name: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    peers = [f"--peer={name}" for name in ("ssh", "asyncssh", "paramiko")]
    done = _run("--quick", "--only", name, *peers, "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert f"{name}:" in done.stdout
    (report,) = json.loads(file.read_text())["reports"]
    found = [row["name"] for row in report["rows"]]
    for expected in ROWS[name]:
        assert any(expected in row for row in found), (expected, found)
    assert all(_is_sensible(row) for row in report["rows"])


@pytest.mark.engine
@pytest.mark.slow
def test_there_is_a_row_for_each_peer_that_is_slow(debian: str, tmp_path: Path) -> None:
    """Installing SWE-ReX takes half a minute, one of its commands a tenth of a second."""
    file = tmp_path / "figures.json"
    chosen = ["--peer=docker exec", "--peer=SWE-ReX", "--backend=docker", "--image", debian]
    done = _run("--quick", "--only=beside", *chosen, "--json", str(file))
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(file.read_text())["reports"]
    ratios = {row["name"]: row["ratio"] for row in report["rows"]}
    assert any(name.startswith("SWE-ReX") for name in ratios)
    assert ratios["docker exec, one a command"] > 1


async def test_a_slow_step_has_a_shorter_block() -> None:
    async def step() -> None:
        await asyncio.sleep(0)

    samples = await take_turns({"a": step, "b": step}, rounds=3, block=4, blocks={"b": 1})
    assert {name: len(times) for name, times in samples.items()} == {"a": 12, "b": 3}


def test_the_end_of_a_command_is_found_however_it_is_cut() -> None:
    marked = Marked()
    word = marked.line("true").split()[3].decode()
    came = f"some\noutput\n{word}:0;".encode()
    for cut in range(1, len(came)):
        assert marked.feed(came[:cut]) is None
        assert marked.feed(came[cut:]) == len(b"some\noutput")
    with pytest.raises(RuntimeError, match="ended with 3"):
        marked.feed(f"\n{word}:3;".encode())


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
    rate = rate_row("r", [2.0], 10, floor=[1.0], aim=Aim(0.8, at="least"))
    assert (rate.value, rate.ratio, rate.met) == (5.0, 0.5, False)
    assert Row("m", 44.0, "MB", aim=Aim(45, of="value")).met
    assert Row("m", 44.0, "MB").met is None


def _run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def _is_sensible(row: dict[str, Any]) -> bool:
    return row["value"] >= 0 and row["count"] >= 1 and (row["p95"] is None or row["p95"] > 0)
