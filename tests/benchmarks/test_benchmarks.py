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

from benchmarks.files import look_and_clear  # noqa: E402
from benchmarks.peers.marker import Marked  # noqa: E402
from benchmarks.report import Aim, Row, median, percentile, rate_row, time_row  # noqa: E402
from benchmarks.side import side_rows  # noqa: E402
from benchmarks.turns import take_turns  # noqa: E402

SSH = ["ssh -tt, kept", *(f"{name}, {mode}" for name in ("asyncssh", "paramiko") for mode in
       ("kept shell", "kept shell, terminal", "one exec"))]  # fmt: skip
ROWS = {
    "latency": ["websocket echo", "bash on pipes", "floor", "bash behind", "Tether, local"],
    "beside": ["Tether, local", "ssh, kept", *SSH],
    "throughput": ["seq 1 2000: bare", "cat, 0.5 MB: Tether, local", "times ssh -tt", *SSH],
    "crowd": ["bash on pipes", "Tether, local", *SSH],
    "exec": [
        *(f"{what}: {who}" for what in ("true", "cat, 0.5 MB") for who in
          ("a child of this process", "Tether, local", "asyncssh, one exec", "paramiko, one exec")),
    ],
    "files": [
        *(f"{what}, {way}: {who}" for what in ("one file of 2 MB", "40 files of 4 KB")
          for way in ("up", "down") for who in ("tar over a pipe", "Tether, local",
          "SFTP, asyncssh", "SFTP, paramiko", "tar over asyncssh")),
    ],
    "startup": ["Tether, local: connected", "Tether, local: first result"],
    "ports": [
        *(f"{what}: {who}" for what in ("a new connection", "5 round trips", "1 MB out", "1 MB in")
          for who in ("the service itself", "Tether, local", "ssh -L")),
    ],
    "jupyter": [
        *(f"{what}: {who}" for what in ("1+1", "first cell from cold", "kernel RSS")
          for who in ("bare jupyter_client", "Tether, local")),
        "plugin's process RSS",
    ],
    "plugins": [
        *(f"{what}: {which}" for what in ("first result", "client RSS")
          for which in ("without a plugin", "with agent_skills, unused", "with all")),
        "plugin's process RSS: jupyter",
    ],
    "browser": [
        *(f"{page}: {who}" for page in ("a form", "300 buttons", "from cold")
          for who in ("bare Playwright", "Tether")),
        "a form: Tether, all parts",
        *(f"PSS: {which}" for which in ("unused", "a page: Chromium", "2 pages later")),
        "PSS: the context closed",
        *(f"frames: {part}" for part in ("no part", "tree", "screenshot", "all parts")),
        "a screenshot as bytes", "a screenshot as base64",
    ],
    "idle": ["processor time", "task switches", "supervisor RSS", "client RSS"],
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_measurement_has_its_rows(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "browser":
        request.getfixturevalue("chromium")
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


LAST = {
    "journal": ["a client that writes no journal", "Tether, local"],
    "transports": ["unix"],
    "reconnect": ["a bare websocket", "local: from a cut to the first", "local: a new server"],
    "replay": ["read and checked", "read, checked and stored"],
    "connections": [
        "memory a connection",
        "descriptors a connection",
        "all 10 idle",
        "3 of 10 busy",
    ],
}


def test_measurements_without_peers_have_their_rows(tmp_path: Path) -> None:
    """All in one run: loading takes the longest."""
    file = tmp_path / "figures.json"
    done = _run("--quick", *(f"--only={name}" for name in LAST), "--json", str(file))
    assert done.returncode == 0, done.stderr
    reports = json.loads(file.read_text())["reports"]
    assert [report["name"] for report in reports] == list(LAST)
    for report in reports:
        found = [row["name"] for row in report["rows"]]
        for expected in LAST[report["name"]]:
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


@pytest.mark.engine
def test_a_container_stands_beside_the_engine(debian: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    chosen = ["--only=exec", "--peer=docker exec", "--backend=docker", "--image", debian]
    done = _run("--quick", "--only=files", *chosen, "--json", str(file))
    assert done.returncode == 0, done.stderr
    rows = [row for one in json.loads(file.read_text())["reports"] for row in one["rows"]]
    beside = {row["name"].partition(": ")[2]: row["ratio"] for row in rows if row["aim"]}
    engine = {"docker exec, one a command", "docker cp", "engine's archives, SDK"}
    assert beside.keys() == {"Tether, docker", *engine}
    assert all(beside.values())


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


async def test_what_a_step_left_is_looked_at_unmeasured() -> None:
    done: list[str] = []

    async def step() -> None:
        done.append("step")

    samples = await take_turns({"a": step}, rounds=1, block=2, after=lambda: done.append("after"))
    assert done == ["step", "after"] * 3  # the first is not measured
    assert len(samples["a"]) == 2


def test_others_stand_beside_tether_in_the_same_place() -> None:
    samples = {"floor": [1.0], "Tether, docker": [2.0], "cp": [6.0], "sftp": [9.0]}
    rows = side_rows(
        "load",
        samples,
        {"cp": "docker", "sftp": "local"},
        floor="floor",
        aim=Aim(1.3),
        aims={"cp": Aim(1, at="least")},
    )
    ratios = {row.name: (row.ratio, row.met) for row in rows}
    assert ratios == {
        "load: floor": (None, None),
        "load: Tether, docker": (2.0, False),
        "load: cp": (3.0, True),
        "load: sftp": (None, None),  # Tether was not measured there
    }


def _tree(top: Path) -> Path:
    (top / "inner").mkdir(parents=True)
    (top / "inner" / "file").write_bytes(b"what there is")
    return top


def test_a_copy_that_is_whole_is_cleared_away(tmp_path: Path) -> None:
    look_and_clear(_tree(tmp_path / "a"), _tree(tmp_path / "b"))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("spoil", ["byte", "less", "more"])
def test_a_copy_that_cheats_is_seen(spoil: str, tmp_path: Path) -> None:
    source, target = _tree(tmp_path / "a"), _tree(tmp_path / "b")
    if spoil == "byte":
        (target / "inner" / "file").write_bytes(b"what there iz")
    elif spoil == "less":
        (target / "inner" / "file").unlink()
    else:
        (target / "more").mkdir()
    with pytest.raises(RuntimeError):
        look_and_clear(source, target)


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
