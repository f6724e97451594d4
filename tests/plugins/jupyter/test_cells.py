"""What cells come to, in real kernels, by the plugin in this process."""

from __future__ import annotations

import ast
import asyncio
import time

import pytest

from tether_plugins.jupyter import kernel
from tether_runtime_client.protocol import (
    DisplayOutput,
    ErrorOutput,
    IPythonCompleteAction,
    IPythonInputAction,
    IPythonInspectAction,
    IPythonInterruptAction,
    IPythonListKernelsAction,
    IPythonRestartAction,
    IPythonRunCellAction,
    IPythonShutdownAction,
    KernelError,
    KernelLimit,
    KernelStartFailed,
    KernelWaitsForInput,
    NoSuchKernel,
    NothingRunning,
    ResultOutput,
    StreamOutput,
)

from .in_process import Context, Notebook, notebook

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("cells")]

SOON = "import time; time.sleep(0.05)"
"""What a thread of the kernel's is to have sent before its end."""

DISPLAY = "from IPython.display import display, update_display, clear_output\n"


def kinds(notebook: Notebook) -> list[str]:
    """Of the last cell's events; whether it was the kernel's first one does not matter."""
    found = [str(event.event) for event in notebook.told]  # type: ignore[attr-defined]
    return [kind for kind in found if kind != "jupyter.kernel_started"]


async def test_state_is_kept_by_name(shared: Notebook) -> None:
    await shared.run("x = 1")
    await shared.run("x = 2", kernel="second")
    first, second = await shared.run("x"), await shared.run("x", kernel="second")
    assert (first.content, second.content) == ("1", "2")
    assert first.python is not None
    assert first.python.source == "environment"
    listed = (await shared.do(IPythonListKernelsAction())).kernels
    assert {kernel.name: kernel.state for kernel in listed} == {"default": "idle", "second": "idle"}
    assert all(kernel.pid and kernel.memory and kernel.memory > 10_000_000 for kernel in listed)
    await shared.do(IPythonShutdownAction(kernel="second"))


async def test_outputs_come_in_order_and_as_deltas(shared: Notebook) -> None:
    code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')\n'd'"
    seen = await shared.run(code)
    shown = [output.text for output in seen.outputs if isinstance(output, StreamOutput)]
    assert [output.type for output in seen.outputs] == [*["stream"] * len(shown), "execute_result"]
    assert sorted(shown) in (["a\n", "b\n", "c\n"], ["a\nc\n", "b\n"])
    assert seen.content.endswith("'d'")
    assert kinds(shared)[-1] == "jupyter.output"
    assert kinds(shared).count("jupyter.stream") >= 2


async def test_rich_outputs_are_typed(shared: Notebook) -> None:
    seen = await shared.run(
        DISPLAY
        + """
import base64
display({'text/plain': 'p', 'text/html': '<b>h</b>', 'text/latex': '$x$', 'text/markdown': '*m*',
    'image/svg+xml': '<svg/>', 'application/json': {'a': [1, None, 2.5]},
    'image/png': base64.b64encode(b'PNG').decode() + '\\n',
    'application/vnd.plotly.v1+json': {'data': [], 'layout': {}},
    'application/vnd.jupyter.widget-view+json': {'model_id': 'm', 'version_major': 2}},
    raw=True, metadata={'image/png': {'width': 3}}, display_id='d');"""
    )
    [shown] = seen.outputs
    assert isinstance(shown, DisplayOutput)
    data = shown.data
    assert (data.text, data.html, data.latex, data.markdown) == ("p", "<b>h</b>", "$x$", "*m*")
    assert (data.svg, data.png, data.json) == ("<svg/>", b"PNG", {"a": [1, None, 2.5]})
    assert (data.plotly, data.widget) == (
        {"data": [], "layout": {}},
        {"model_id": "m", "version_major": 2},
    )
    assert data.metadata == {"image/png": {"width": 3}}
    assert shown.display_id == "d"
    assert seen.content == "p\n[image/svg+xml, 6 bytes]\n[image/png, 3 bytes]"


async def test_a_traceback_comes_with_and_without_colour(shared: Notebook) -> None:
    seen = await shared.run("def f():\n    return 1 / 0\nf()")
    [error] = seen.outputs
    assert isinstance(error, ErrorOutput)
    assert (seen.status, error.name, error.value) == (
        "error",
        "ZeroDivisionError",
        "division by zero",
    )
    assert seen.traceback == error.traceback == seen.content
    assert "\x1b" not in error.traceback
    assert "return 1 / 0" in error.traceback
    assert "\x1b[" in (seen.traceback_ansi or "")
    assert (await shared.run("1 +")).outputs[0].name == "SyntaxError"  # type: ignore[union-attr]


async def test_matplotlib_shows_its_figures_inline_and_programs_are_not_told_of_it(
    shared: Notebook,
) -> None:
    seen = await shared.run(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nimport os\n"
        "print(os.environ.get('MPLBACKEND'))"
    )
    assert [output.type for output in seen.outputs] == ["stream", "display_data"]
    assert seen.outputs[0].text == "None\n"  # type: ignore[union-attr]
    assert (seen.outputs[1].data.png or b"").startswith(b"\x89PNG")  # type: ignore[union-attr]


async def test_displays_are_updated_where_they_are_and_later(shared: Notebook) -> None:
    seen = await shared.run(DISPLAY + "h = display('one', display_id='u')\nh.update('two')")
    assert [output.data.text for output in seen.outputs] == ["'two'"]  # type: ignore[union-attr]
    assert kinds(shared) == ["jupyter.output", "jupyter.display_update"]
    later = await shared.run("h.update('three')")
    assert later.outputs == ()
    assert [(one.display_id, one.data.text) for one in later.updates] == [("u", "'three'")]


@pytest.mark.parametrize(("wait", "left"), [(True, "b\n"), (False, "b\n")])
async def test_output_is_cleared(shared: Notebook, wait: bool, left: str) -> None:
    seen = await shared.run(
        DISPLAY + f"print('a', flush=True)\nclear_output(wait={wait})\nprint('b')"
    )
    assert seen.content == left
    assert kinds(shared) == ["jupyter.stream", "jupyter.clear_output", "jupyter.stream"]


async def test_what_is_cleared_for_something_new_stays_where_that_does_not_come(
    shared: Notebook,
) -> None:
    waiting = await shared.run(DISPLAY + "print('a', flush=True)\nclear_output(wait=True)")
    assert waiting.content == "a\n"
    at_once = await shared.run("print('a', flush=True)\nclear_output()")
    assert at_once.content == ""


async def test_input_is_answered_by_an_action(shared: Notebook) -> None:
    seen = await shared.run("name = input('who? ')\nprint('hello', name)\ninput()\n7")
    assert (seen.status, seen.content) == ("waiting_for_input", "")
    assert seen.input_prompt is not None
    assert (seen.input_prompt.text, seen.input_prompt.password) == ("who? ", False)
    assert kinds(shared) == ["jupyter.waiting_for_input"]
    with pytest.raises(KernelWaitsForInput):
        await shared.run("1")
    [kernel] = (await shared.do(IPythonListKernelsAction())).kernels
    assert kernel.state == "waiting_for_input"
    again = await shared.do(IPythonInputAction(text="Ann"))
    assert (again.status, again.content) == ("waiting_for_input", "hello Ann\n")
    last = await shared.do(IPythonInputAction(text=""))
    assert (last.status, last.content) == ("ok", "7")
    with pytest.raises(NothingRunning):
        await shared.do(IPythonInputAction(text="?"))


async def test_passwords_are_told_apart_and_input_may_be_refused(shared: Notebook) -> None:
    seen = await shared.run("import getpass\ngetpass.getpass('pin ')")
    assert seen.input_prompt is not None
    assert seen.input_prompt.password
    stopped = await shared.do(IPythonInterruptAction())
    assert stopped.interrupted
    assert stopped.cell is not None
    assert stopped.cell.status == "interrupted"
    assert "KeyboardInterrupt" in stopped.cell.content
    refused = await shared.run("input()", allow_input=False)
    assert "StdinNotImplementedError" in refused.content


async def test_time_is_over_and_the_kernel_keeps_its_state(shared: Notebook) -> None:
    await shared.run("kept = 5")
    began = time.monotonic()
    seen = await shared.run("import time\nprint('before')\ntime.sleep(60)", timeout_s=0.3)
    assert time.monotonic() - began < 5
    assert seen.status == "timeout"
    assert seen.content.startswith("before\n")
    assert "KeyboardInterrupt" in (seen.traceback or "")
    assert (seen.end, seen.state_lost) == (None, None)
    assert (await shared.run("kept")).content == "5"


async def test_an_interrupt_stops_the_cell_and_what_it_started(shared: Notebook) -> None:
    running = await shared.begin("!sleep 61")
    assert (await shared.do(IPythonInterruptAction())).interrupted
    assert (await running).status in ("interrupted", "ok")
    running = await shared.begin("import asyncio\nawait asyncio.sleep(60)")
    assert (await shared.do(IPythonInterruptAction())).interrupted
    assert (await running).status == "interrupted"
    assert not (await shared.do(IPythonInterruptAction())).interrupted


async def test_cells_queue_and_may_be_given_up(shared: Notebook) -> None:
    first = await shared.begin("order = ['a']\nimport time; time.sleep(0.2)")
    others = [
        asyncio.create_task(shared.run(f"order.append({number}); order")) for number in range(3)
    ]
    assert [(await other).content for other in others][-1] == "['a', 0, 1, 2]"
    assert (await first).status == "ok"
    running = await shared.begin("time.sleep(60)")
    queued = asyncio.create_task(shared.run("order.append('never')"))
    late = asyncio.create_task(shared.run("order.append('late')", timeout_s=0.05))
    assert (await late).status == "timeout"
    dropped = asyncio.create_task(shared.run("order.append('dropped')"))
    await asyncio.sleep(0.05)
    dropped.cancel()
    stopped = await shared.do(IPythonInterruptAction(queued=True))
    assert (stopped.interrupted, stopped.given_up) == (True, 1)
    assert (await queued).status == "aborted"
    assert (await running).status == "interrupted"
    assert (await shared.run("order")).content == "['a', 0, 1, 2]"


async def test_a_cancelled_cell_is_interrupted(shared: Notebook) -> None:
    running = await shared.begin("import time\ntime.sleep(60)")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await shared.run("'free'", timeout_s=10)).content == "'free'"


async def test_a_cell_that_ignores_interrupts_costs_its_kernel(shared: Notebook) -> None:
    code = (
        "import time\nwhile True:\n    try:\n        time.sleep(9)\n    except BaseException: pass"
    )
    seen = await shared.run(code, kernel="stubborn", timeout_s=0.5)
    assert seen.status == "timeout"
    assert seen.end is not None
    assert (seen.end.cause, seen.end.signal) == ("killed", 9)
    assert "ignored two interrupts" in seen.end.reason
    again = await shared.run("1", kernel="stubborn")
    assert again.state_lost == seen.end
    assert (await shared.run("1", kernel="stubborn")).state_lost is None
    await shared.do(IPythonShutdownAction(kernel="stubborn"))


@pytest.mark.parametrize(
    ("code", "cause", "exit_code", "signal"),
    [
        ("import os; os._exit(7)", "exit", 7, None),
        ("import os; os.kill(os.getpid(), 11)", "signal", None, 11),
        ("import ctypes; ctypes.string_at(0)", "signal", None, 11),
        ("import os; os.kill(os.getpid(), 9)", "signal", None, 9),
    ],
)
async def test_a_kernel_s_death_is_told(
    shared: Notebook, code: str, cause: str, exit_code: int | None, signal: int | None
) -> None:
    seen = await shared.run(f"print('last words', flush=True)\n{SOON}\n{code}", kernel="mortal")
    assert seen.status == "kernel_died"
    assert seen.content == "last words\n"
    assert seen.end is not None
    assert (seen.end.cause, seen.end.exit_code, seen.end.signal) == (cause, exit_code, signal)
    if "ctypes" in code:
        assert "Segmentation fault" in seen.end.output
    assert kinds(shared)[-1] == "jupyter.kernel_ended"
    [dead] = [
        one for one in (await shared.do(IPythonListKernelsAction())).kernels if one.name == "mortal"
    ]
    assert (dead.state, dead.end) == ("ended", seen.end)
    fresh = await shared.run("2", kernel="mortal")
    assert (fresh.content, fresh.state_lost) == ("2", seen.end)


async def test_a_kernel_that_ends_between_cells_is_told_with_the_next(shared: Notebook) -> None:
    code = "import os, threading\nthreading.Timer(0.2, os._exit, [3]).start()"
    assert (await shared.run(code, kernel="timed")).status == "ok"
    live = shared.plugin._kernels["timed"]._live
    assert live is not None
    await live.process.ended.wait()
    seen = await shared.run("1", kernel="timed")
    assert seen.status == "ok"
    assert seen.state_lost is not None
    assert seen.state_lost.exit_code == 3
    await shared.run("quit()", kernel="timed")
    await shared.do(IPythonShutdownAction(kernel="timed"))


async def test_a_cell_may_remove_the_plugin_s_files(shared: Notebook) -> None:
    state = shared.folder / "state"
    seen = await shared.run(f"import shutil; shutil.rmtree({str(state)!r}); 5", kernel="vandal")
    assert seen.content == "5"
    assert (await shared.run("6", kernel="vandal")).content == "6"
    assert (await shared.run("7", kernel="heir")).content == "7"
    big = await shared.run("print('x' * 1_000_000)", kernel="heir")
    assert big.full_output_path is not None
    await shared.do(IPythonShutdownAction(kernel="vandal"))
    await shared.do(IPythonShutdownAction(kernel="heir"))


async def test_a_restart_is_fresh(shared: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_POLITE_S", 20)  # a busy machine takes its time to end one
    await shared.run("gone = 1", kernel="again")
    running = await shared.begin("import time\ntime.sleep(60)", kernel="again")
    after = (await shared.do(IPythonRestartAction(kernel="again"))).kernel
    ended = await running
    assert ended.status == "kernel_died"
    assert ended.end is not None
    assert ended.end.cause == "restart"
    assert after.state == "idle"
    seen = await shared.run("gone", kernel="again")
    assert "NameError" in seen.content
    assert (seen.execution_count, seen.state_lost) == (1, None)
    ended_for_good = (await shared.do(IPythonShutdownAction(kernel="again"))).kernel
    assert ended_for_good.end is not None
    assert (ended_for_good.end.cause, ended_for_good.end.exit_code) == ("shutdown", 0)
    with pytest.raises(NoSuchKernel):
        await shared.do(IPythonShutdownAction(kernel="again"))


async def test_completion_and_inspection(shared: Notebook) -> None:
    await shared.run("def handsome(a, b=2):\n    'Knows how.'\n    return a")
    seen = await shared.do(IPythonCompleteAction(code="print(hands"))
    assert (seen.matches, seen.start, seen.end) == (("handsome",), 6, 11)
    found = await shared.do(IPythonInspectAction(code="handsome"))
    assert found.found
    assert "Knows how." in found.content
    assert "\x1b" not in found.content
    source = await shared.do(IPythonInspectAction(code="handsome", detail=1))
    assert "return a" in source.content
    assert not (await shared.do(IPythonInspectAction(code="nothing_of_that_name"))).found


async def test_a_cell_begins_where_a_session_is(shared: Notebook) -> None:
    code = "import os; os.getcwd()"
    where = (await shared.run(code)).content
    assert where == repr(str(shared.folder / "workdir"))
    assert (await shared.run(code, session="s")).content == repr(str(shared.folder))
    assert (await shared.run(code)).content == repr(str(shared.folder))
    assert (await shared.run("1")).execution_count == (await shared.run("2")).execution_count - 1  # type: ignore[operator]


async def test_what_earlier_cells_write_later_is_told_apart(shared: Notebook) -> None:
    code = "import threading, time\n"
    code += "def later():\n    time.sleep(0.3)\n    print('late', flush=True)\n"
    code += "threading.Thread(target=later).start()\nprint('now')"
    assert (await shared.run(code)).content == "now\n"
    live = shared.plugin._kernels["default"]._live
    assert live is not None
    async with asyncio.timeout(20):
        while not live._background.total:
            await asyncio.sleep(0.05)
    seen = await shared.run("1")
    assert (seen.content, seen.background) == ("1", "late\n")


async def test_magics_and_async_cells(shared: Notebook) -> None:
    assert (await shared.run("%%capture out\nprint(1)")).outputs == ()
    assert (await shared.run("out.stdout")).content == "'1\\n'"
    assert (await shared.run("!echo shell")).content.strip() == "shell"
    assert (await shared.run("import asyncio\nawait asyncio.sleep(0, 'done')")).content == "'done'"
    assert (await shared.run("%cd /\n%pwd")).content.splitlines()[-1] == "'/'"
    assert "run_line_magic('cd', '/')" in (await shared.run("In[-2]")).content


async def test_what_a_kernel_starts_finds_nothing_of_ours(shared: Notebook) -> None:
    code = f"import os; sorted(set(os.environ) - {set(shared.environment)!r})"
    of_ipykernel = {"CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "GIT_PAGER", "PAGER"}
    seen = set(ast.literal_eval((await shared.run(code)).content))
    assert seen - of_ipykernel <= {"PYDEVD_USE_FRAME_EVAL"}


async def test_there_may_be_so_many_kernels_and_pythons_that_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with notebook(tmp_path, max_kernels=1, pythons={"odd": "/nowhere/python"}) as one:
        with pytest.raises(KernelStartFailed, match="/nowhere/python"):
            await one.run("1", python="odd")
        with pytest.raises(KernelStartFailed, match="'python9'"):
            await one.run("1", python="python9")
        (tmp_path / "silent").write_text("#!/bin/sh\necho not today >&2; exit 3\n")
        (tmp_path / "silent").chmod(0o755)
        with pytest.raises(KernelStartFailed, match="exited with code 3: not today"):
            await one.run("1", python=str(tmp_path / "silent"))
        assert (await one.run("1")).content == "1"
        with pytest.raises(KernelError, match="runs with"):
            await one.run("1", python="image")
        with pytest.raises(KernelLimit):
            await one.run("1", kernel="second")


async def test_events_end_with_their_action(shared: Notebook) -> None:
    context = Context(shared.folder, shared.environment)
    code = "import threading, time\nthreading.Timer(0.1, print, ['x']).start()"
    await shared.plugin.run_cell(IPythonRunCellAction(code=code), context)
    count = len(context.told)
    await asyncio.sleep(0.5)
    assert len(context.told) == count
    assert isinstance((await shared.run("3")).outputs[-1], ResultOutput)


async def test_twenty_kernels_at_once(shared: Notebook) -> None:
    names = [f"of-many-{number}" for number in range(20)]
    code = "import os, time\nos.getpid()"
    seen = await asyncio.gather(*(shared.run(code, kernel=name) for name in names))
    assert len({one.content for one in seen}) == 20
    began = time.monotonic()
    await asyncio.gather(*(shared.run("time.sleep(1)", kernel=name) for name in names))
    assert time.monotonic() - began < 10
    await asyncio.gather(*(shared.do(IPythonShutdownAction(kernel=name)) for name in names))
    left = (await shared.do(IPythonListKernelsAction())).kernels
    assert not {kernel.name for kernel in left} & set(names)
