"""A hundred cells come to the same outputs in the same order as by a bare jupyter_client."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from tether_runtime_client.protocol import (
    CellOutput,
    ErrorOutput,
    IPythonRunCellObservation,
    StreamOutput,
)

from .in_process import notebook

Output = tuple[Any, ...]

STREAMS = [
    "print('a')",
    "print('a', end='')",
    "for i in range(50): print(i)",
    "for i in range(5): print(i, flush=True)",
    "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\nprint('out')",
    "sys.stdout.write('x' * 10_000)",
    "sys.stdout.writelines(['a\\n', 'b\\n'])",
    "print('\\x1b[31mred\\x1b[0m')",
    "print('10%\\r20%\\r30%')",
    "print('ä€😀\\u0301')",
    "print('\\x00\\x01\\x7f')",
    "print()",
    "import os\n_ = os.write(1, b'raw\\n')\nimport time; time.sleep(0.3)",
    "print('z' * 2_000_000)",
    "for i in range(20_000): print(i)",
    "import logging\nlogging.warning('careful')",
    "import warnings\nwarnings.warn('odd')",
    "sys.stderr.write('e' * 70_000); sys.stderr.flush()\nprint('o')",
    "print('x', file=sys.__stdout__)",
    "help(len)",
]
VALUES = [
    "1 + 1",
    "'text'",
    "None",
    "[i for i in range(200)]",
    "{'a': {'b': [1, 2, (3,)]}}",
    "b'bytes'",
    "1.5; 2",
    "3;",
    "x = 4\nx",
    "_",
    "__, _1",
    "float('nan'), float('inf')",
    "10 ** 200",
    "set()",
    "...",
    "lambda_ = 1",
    "class R:\n    def __repr__(self): return 'R!'\nR()",
    "class H:\n    def _repr_html_(self): return '<b>h</b>'\nH()",
    "class B:\n    def __repr__(self): return 1 / 0\nB()",
    "class M:\n    def _repr_mimebundle_(self, **k): return {'text/plain': 'm', 'a/b': 'c'}\nM()",
]
DISPLAYS = [
    "from IPython.display import *\ndisplay(1, 2)",
    "display(HTML('<p>x</p>'))",
    "display(Latex('$x$'), Markdown('*m*'), SVG('<svg/>'))",
    "display(JSON({'a': [1, 2]}))",
    "Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(100))",
    "display({'text/plain': 'p', 'application/vnd.plotly.v1+json': {'data': []}}, raw=True)",
    "d = display('first', display_id='one')",
    "d.update('second')",
    "e = display('a', display_id='two'); e.update('b'); e.update('c')",
    "e2 = display('x', display_id='two')",
    "display('y', metadata={'text/plain': {'w': 1}})",
    "print('gone', flush=True); clear_output(); print('stays')",
    "print('gone', flush=True); clear_output(wait=True); print('stays')",
    "print('stays', flush=True); clear_output(wait=True)",
    "for i in range(5):\n    clear_output(wait=True)\n    display(i)",
    "print(1); display(2); print(3)",
    "display()",
    "display(None)",
    "publish_display_data({'text/plain': 'published'})",
    "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1)); plt.plot([1, 2]);",
]
ERRORS = [
    "1 / 0",
    "1 +",
    "undefined_name",
    "raise ValueError('text\\nof two lines')",
    "def f(n):\n    return f(n - 1) if n else [][0]\nf(3)",
    "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('k') from e",
    "raise SystemExit(3)",
    "raise KeyboardInterrupt",
    "import json\njson.loads('{')",
    "exec('1 / 0')",
    "assert False, 'no'",
    "print('before', flush=True)\nraise RuntimeError('after')",
    "  x = 1\n y = 2",
    "int('ä')",
    "raise type('Odd', (Exception,), {})('\\x1b[1mbold\\x1b[0m')",
    "eval('(')",
    "input('?')",
    "import nothing_of_that_name",
    "raise BaseException",
    "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
]
MAGICS = [
    "%pwd",
    "%who_ls",
    "%%capture c\nprint('kept')",
    "c.stdout",
    "!echo shell",
    "!exit 3",
    "out = !echo captured\nout",
    "%env TETHER_TEST=1",
    "%timeit -n1 -r1 -q pass",
    "%no_such_magic",
    "%%writefile made.py\nVALUE = 1",
    "%run made.py\nVALUE",
    "from made import VALUE\nVALUE",
    "%%bash\necho bash\necho error >&2",
    "%precision 3\n1/3",
    "%precision\n1/3",
    "%xmode Plain",
    "1 / 0",
    "%xmode Context",
    "len?",
]
ASYNC = [
    "import asyncio\nawait asyncio.sleep(0.01, 'slept')",
    "async def g():\n    print('in', flush=True)\n    return 5\nawait g()",
    "await asyncio.gather(*(asyncio.sleep(0.01, i) for i in range(5)))",
    "async for_ = 1",
    "async with asyncio.timeout(1): print('x')",
    "await asyncio.wait_for(asyncio.sleep(9), 0.01)",
    "import threading\nt = threading.Thread(target=print, args=('thread',)); t.start(); t.join()",
    "from concurrent.futures import ThreadPoolExecutor\nlist(ThreadPoolExecutor().map(abs, [-1]))",
    "import subprocess\nsubprocess.run(['echo', 'sub']).returncode; time.sleep(0.3)",
    "loop = asyncio.get_running_loop(); loop.is_running()",
]
CELLS = [*STREAMS, *VALUES, *DISPLAYS, *ERRORS[:20], *MAGICS, *ASYNC][:110]


def of_plugin(seen: IPythonRunCellObservation) -> list[Output]:
    """In the form that both are compared in."""
    found = [_plain(output) for output in seen.outputs]
    if seen.full_output_path is not None:
        texts = [one for one in found if one[0] == "stream"]
        assert len(texts) == 1
        found[found.index(texts[0])] = (
            "stream",
            texts[0][1],
            Path(seen.full_output_path).read_text(),
        )
    return found


def _plain(output: CellOutput) -> Output:
    if isinstance(output, StreamOutput):
        return ("stream", output.name, output.text)
    if isinstance(output, ErrorOutput):
        return ("error", output.name, output.value, output.traceback_ansi)
    return (output.type, output.data.data, output.data.metadata)


class Bare:
    """A notebook's model of outputs over jupyter_client alone."""

    def __init__(self, client: AsyncKernelClient) -> None:
        self._client = client

    async def run(self, code: str) -> list[Output]:
        outputs: list[dict[str, Any]] = []
        clear = False
        identity = self._client.execute(code, allow_stdin=False)
        while True:
            message = await self._client.get_iopub_msg(timeout=30)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != identity:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind == "clear_output":
                clear = True
                if not content["wait"]:
                    outputs, clear = [], False
            elif kind == "update_display_data":
                for one in outputs:
                    if one.get("transient") == content["transient"]:
                        one["data"], one["metadata"] = content["data"], content["metadata"]
            elif kind in ("stream", "display_data", "execute_result", "error"):
                outputs, clear = ([], False) if clear else (outputs, clear)
                last = outputs[-1] if outputs else {}
                if kind == "stream" and last.get("name") == content["name"]:
                    last["text"] += content["text"]
                else:
                    outputs.append({**content, "kind": kind})
        await self._client.get_shell_msg(timeout=30)
        return [self._plain(output) for output in outputs]

    def _plain(self, output: dict[str, Any]) -> Output:
        if output["kind"] == "stream":
            return ("stream", output["name"], output["text"])
        if output["kind"] == "error":
            return ("error", output["ename"], output["evalue"], "\n".join(output["traceback"]))
        data = {
            mime: "".join(value.split()) if mime == "image/png" else value
            for mime, value in output["data"].items()
        }
        return (output["kind"], data, output["metadata"])


@asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[Bare]:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager = AsyncKernelManager(transport="ipc", connection_file=str(folder / "bare.json"))
    manager.ip = f"/tmp/tether-bare-{folder.name}"
    manager._kernel_spec = KernelSpec(argv=argv, language="python", display_name="")
    await manager.start_kernel(cwd=str(folder / "bare"))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=30)
        yield Bare(client)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        manager.context.destroy(linger=0)


async def test_a_hundred_cells_come_to_the_same(tmp_path: Path) -> None:
    assert len(CELLS) >= 100
    (tmp_path / "bare").mkdir()
    async with notebook(tmp_path) as ours, bare(tmp_path) as theirs:
        for code in CELLS:
            expected = _unnamed(await theirs.run(code), tmp_path / "bare")
            seen = of_plugin(await ours.run(code, allow_input=False))
            assert _unnamed(seen, tmp_path / "workdir") == expected, code


def _unnamed(outputs: list[Output], folder: Path) -> str:
    """Without what is each kernel's own: its folder, the number of its process, addresses."""
    text = "\n".join(map(repr, outputs)).replace(str(folder), "FOLDER")
    return re.sub(r"ipykernel_\d+|0x[0-9a-f]+", "N", text)


pytestmark = pytest.mark.timeout(100)
