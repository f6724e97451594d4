"""Cells through a runtime: on this machine, and in images with a Python and without one."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tether_server import (
    CmdRunAction,
    EventStreamRuntime,
    FileWriteAction,
    IPythonInputAction,
    IPythonInterruptAction,
    IPythonListKernelsAction,
    IPythonRunCellAction,
    IPythonRunCellObservation,
    IPythonStreamDelta,
)


def wheel() -> bytes:
    """A package that is in no index but ours."""
    info = "tiny_thing-1.0.dist-info"
    files = {
        "tiny_thing.py": "VALUE = 42\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return data.getvalue()


async def make_index(runtime: EventStreamRuntime, folder: str) -> str:
    """A package index in the sandbox; returns its address."""
    name = "tiny_thing-1.0-py3-none-any.whl"
    page = f'<!doctype html><a href="{name}">{name}</a>'
    place = f"{folder}/tiny-thing"
    await runtime.run(FileWriteAction(path=f"{place}/{name}", data=wheel()))
    await runtime.run(FileWriteAction(path=f"{place}/index.html", content=page))
    return f"file://{folder}"


async def cell(runtime: EventStreamRuntime, code: str, **fields: Any) -> IPythonRunCellObservation:
    seen = await runtime.run(IPythonRunCellAction(code=code, **fields))
    assert isinstance(seen, IPythonRunCellObservation)
    return seen


async def check_a_day_s_work(runtime: EventStreamRuntime, folder: str) -> None:
    """What has to hold wherever kernels run."""
    events = [
        event
        async for event in runtime.stream(
            IPythonRunCellAction(code="print('a', flush=True)\nx = 6\nx * 7")
        )
    ]
    assert isinstance(events[-1], IPythonRunCellObservation)
    assert events[-1].content == "a\n42"
    assert [event.text for event in events if isinstance(event, IPythonStreamDelta)] == ["a\n"]
    assert "ZeroDivisionError" in (await cell(runtime, "1/0")).content
    assert (await cell(runtime, "!echo $((6 * 7))")).content.strip() == "42"
    assert (await cell(runtime, "import time; time.sleep(60)", timeout_s=0.3)).status == "timeout"
    assert (await cell(runtime, "y = input('? ')")).status == "waiting_for_input"
    await runtime.run(IPythonInputAction(text="yes"))
    assert (await cell(runtime, "y, x")).content == "('yes', 6)"
    await runtime.run(CmdRunAction(command=f"mkdir -p {folder}/here && cd {folder}/here"))
    where = await cell(runtime, "import os; os.getcwd()", session="default")
    assert where.content == repr(f"{folder}/here")
    index = await make_index(runtime, folder)
    installed = await cell(
        runtime, f"%pip install --index-url {index} tiny-thing\nimport tiny_thing; tiny_thing.VALUE"
    )
    assert installed.content.endswith("\n42"), installed.content
    big = await cell(runtime, "print('z' * 3_000_000)")
    assert (big.truncated, big.total_bytes) == (True, 3_000_001)
    assert big.full_output_path is not None
    size = await cell(runtime, f"os.path.getsize({big.full_output_path!r})")
    assert size.content == "3000001"
    died = await cell(runtime, "os._exit(5)")
    assert (died.status, died.end and died.end.exit_code) == ("kernel_died", 5)
    again = await cell(runtime, "import tiny_thing; tiny_thing.VALUE")
    assert (again.content, again.state_lost) == ("42", died.end)


async def test_on_this_machine(tmp_path: Path) -> None:
    async with EventStreamRuntime(backend="local", plugins=["jupyter"]) as runtime:
        seen = await cell(runtime, "1", python="environment")
        assert seen.python is not None
        assert seen.python.source == "environment"
        await check_a_day_s_work(runtime, str(tmp_path))
        code = "print('begun', flush=True)\nimport time; time.sleep(60)"
        async for event in runtime.stream(IPythonRunCellAction(code=code)):
            if isinstance(event, IPythonStreamDelta):
                assert (await runtime.run(IPythonInterruptAction())).interrupted
        assert isinstance(event, IPythonRunCellObservation)
        assert event.status == "interrupted"
        [kernel] = (await runtime.run(IPythonListKernelsAction())).kernels
    with pytest.raises(ProcessLookupError):
        os.kill(kernel.pid or 0, 0)


@pytest.mark.engine
@pytest.mark.xdist_group("jupyter")
@pytest.mark.timeout(600)  # the first of them makes the plugin's layer
async def test_the_image_s_own_python_runs_cells_and_nothing_is_put_into_it(tools: str) -> None:
    config = {"jupyter": {"pythons": {"system": "/usr/bin/python3"}}}
    memory = {"mem_limit": "400m"}
    async with EventStreamRuntime(tools, plugins=config, resources=memory) as runtime:
        command = "python3 -I -c 'import sys; print(sys.path)'; ls -R /usr/lib/python3"
        look = CmdRunAction(command=command, session="look")
        before = await runtime.run(look)
        seen = await cell(runtime, "import sys; sys.executable")
        assert seen.content == "'/usr/bin/python3'"
        assert seen.python is not None
        assert (seen.python.source, seen.python.brought) == ("image", "after")
        await check_a_day_s_work(runtime, "/root")
        ours = await cell(runtime, "sys_ = __import__('sys'); sys_.executable", kernel="ours")
        assert ours.content == "'/usr/bin/python3'"
        theirs = await cell(runtime, "1", kernel="env", python="environment")
        named = await cell(runtime, "1", kernel="named", python="system")
        assert theirs.python is not None
        assert named.python is not None
        assert (theirs.python.executable, theirs.python.source) == (
            "/opt/tether/bin/python3",
            "environment",
        )
        assert named.python.source == "named"
        path = "import sys; print([path for path in sys.path if '/opt/tether' in path])"
        started = f"import subprocess; subprocess.check_output(['python3', '-c', {path!r}])"
        assert (await cell(runtime, started)).content == repr(b"[]\n")
        assert (await runtime.run(look)).content == before.content
        starved = await cell(runtime, "hog = bytearray(10**9)", kernel="hungry")
        assert starved.status == "kernel_died"
        assert starved.end is not None
        assert starved.end.cause == "out_of_memory"
        assert starved.oom_kills >= 1


@pytest.mark.engine
@pytest.mark.xdist_group("jupyter")
@pytest.mark.timeout(600)  # the first of them makes the plugin's layer
async def test_an_image_without_python_that_may_not_be_written_to(busybox: str) -> None:
    async with EventStreamRuntime(
        busybox,
        plugins=["jupyter"],
        user="1234:1234",
        resources={"read_only": True},
        network="none",
        env={"LD_PRELOAD": "/nowhere.so", "PYTHONHOME": "/nowhere"},
    ) as runtime:
        seen = await cell(runtime, "import os; os.environ['PYTHONHOME'], os.getuid()")
        assert seen.content == "('/nowhere', 1234)"
        assert seen.python is not None
        assert (seen.python.executable, seen.python.source) == (
            "/opt/tether/bin/python3",
            "environment",
        )
        await check_a_day_s_work(runtime, "/dev/shm")


@pytest.mark.engine
@pytest.mark.slow
async def test_an_image_of_musl_by_a_mount() -> None:
    make = Path(__file__).parents[3] / "docker" / "images" / "make-image"
    subprocess.run([make, "musl"], check=True)
    async with EventStreamRuntime("tether-test/musl", plugins=["jupyter"], inject="mount") as musl:
        await check_a_day_s_work(musl, "/tmp")
