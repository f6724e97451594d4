"""A kernel may say anything. What it says is checked, bounded, and of no harm to other cells."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import resource
from pathlib import Path
from typing import Any

import pytest

from tether_plugins.jupyter import limits
from tether_plugins.jupyter.bundles import Bundler
from tether_plugins.jupyter.cell import Cell
from tether_plugins.jupyter.files import OutputFiles
from tether_plugins.jupyter.messages import Reader
from tether_plugins.jupyter.observing import observe
from tether_runtime_client.plugin import PluginEvent
from tether_runtime_client.protocol import ErrorOutput, IPythonOutputOmitted, StreamOutput
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.opaque import opaque_event, opaque_observation

from .in_process import Notebook

ODD: list[Any] = [None, True, 7, -1.5, "text", "\ud800", [], [1], {}, {"a": {"b": []}}, 10**400]
ODD += [{"\ud800": ["\udfff", float("nan"), float("inf")]}, {"data": {"\ud800": 1}}, ["\ud800"]]


def made(tmp_path: Path, **sizes: int) -> tuple[Cell, list[PluginEvent]]:
    files = OutputFiles(tmp_path / "outputs", sizes.get("cell", 10**9), sizes.get("all", 10**9))
    cell = Cell("k", "id", files.of("action"))
    told: list[PluginEvent] = []
    cell.tell = told.append
    return cell, told


def size(cell: Cell) -> int:
    """Of its observation, which has to be one that travels."""
    seen = observe(cell, python=None, background="", state_lost=None, oom_kills=0)
    return len(to_json(opaque_observation(seen)))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "kind",
    [
        *("stream", "display_data", "execute_result", "update_display_data", "error"),
        *("clear_output", "execute_input", "comm_msg", "nonsense"),
    ],
)
async def test_messages_of_any_shape_are_taken(tmp_path: Path, kind: str) -> None:
    cell, told = made(tmp_path)
    fields = ["name", "text", "data", "metadata", "transient", "traceback", "ename", "wait"]
    fields += ["execution_count", "evalue"]
    for value in ODD:
        cell.take(kind, {})
        cell.take(kind, dict.fromkeys(fields, value))
        cell.take(kind, {"name": "stdout", "text": value})
        cell.take(kind, {"data": {"text/plain": value, "image/png": value, "a/b": value}})
        cell.take(kind, {"transient": {"display_id": value}, "data": {"application/json": value}})
        cell.replied({"execution_count": value, "status": value})
    for event in told:
        assert len(to_json(opaque_event(event))) < MAX_FRAME
    assert size(cell) < MAX_FRAME


@pytest.mark.parametrize(
    ("mime", "value", "reason"),
    [
        ("image/png", "no base64!", "it is no base64"),
        ("image/png", {"not": "text"}, "it is no base64"),
        ("application/json", nested(1000), f"it is nested deeper than {limits.DEPTH}"),
        ("application/json", nested(100_000), f"it is nested deeper than {limits.DEPTH}"),
        ("text/html", "h" * (limits.FORM + 1), "it is too large"),
        ("application/vnd.x+json", {"a": ["x" * limits.FORM]}, "it is too large"),
    ],
)
def test_forms_that_do_not_fit_are_left_out_and_named(
    tmp_path: Path, mime: str, value: Any, reason: str
) -> None:
    files = OutputFiles(tmp_path, 10**9, 10**9).of("a")
    bundle, _ = Bundler(files).bundle({mime: value, "text/plain": "short"}, nested(1000))
    [part] = bundle.omitted
    assert (part.mime, part.reason) == (mime, reason)
    assert bundle.data == {"text/plain": "short"}
    if part.path is not None:
        assert Path(part.path).stat().st_size == part.size > limits.FORM


def test_a_bundle_has_room_for_so_much_and_no_more(tmp_path: Path) -> None:
    files = OutputFiles(tmp_path, 10**9, 10**9).of("a")
    bundler = Bundler(files)
    png = base64.b64encode(bytes(1_000_000)).decode()
    bundles = [bundler.bundle({"image/png": png}, {})[0] for _ in range(5)]
    assert [bool(bundle.data) for bundle in bundles] == [True, False, False, False, False]
    assert all(
        Path(bundle.omitted[0].path or "").read_bytes() == bytes(1_000_000)
        for bundle in bundles[1:]
    )
    many = bundler.bundle({f"a/{number}": "x" for number in range(1000)}, {})[0]
    assert len(many.data) == limits.FORMS
    assert bundler.bundle({"bad type": "x", "x" * 500 + "/y": "z", 3: "n"}, 7)[0].data == {}


async def test_streams_are_cut_in_the_middle_and_whole_in_the_file(tmp_path: Path) -> None:
    cell, told = made(tmp_path)
    lines = [f"{number:07}\n" for number in range(200_000)]
    for line in lines:
        cell.take("stream", {"name": "stdout", "text": line})
    seen = observe(cell, python=None, background="", state_lost=None, oom_kills=0)
    [output] = seen.outputs
    assert isinstance(output, StreamOutput)
    assert seen.truncated
    assert output.text.startswith(lines[0])
    assert output.text.endswith(lines[-1])
    assert output.omitted_bytes + len(output.text) == pytest.approx(len(lines) * 8, abs=100)
    assert f"[... {output.omitted_bytes} bytes left out ...]" in output.text
    assert Path(seen.full_output_path or "").read_text() == "".join(lines)
    assert isinstance(told[-1], IPythonOutputOmitted)
    assert len(told) == limits.EVENTS + 1
    assert size(cell) < MAX_FRAME


async def test_outputs_are_counted(tmp_path: Path) -> None:
    cell, _ = made(tmp_path)
    for number in range(300):
        cell.take("stream", {"name": ("stdout", "stderr")[number % 2], "text": "\x01" * 100})
        cell.take("display_data", {"data": {"text/plain": "\x01" * 100_000, "image/png": "!"}})
        cell.take("error", {"traceback": ["\x1b[31m\x02" * 10_000], "ename": "E" * 10_000})
    assert len(cell.kept.outputs()) == limits.OUTPUTS
    assert cell.kept.omitted == 900 - limits.OUTPUTS
    assert size(cell) < MAX_FRAME


async def test_updates_take_the_place_of_what_was_shown(tmp_path: Path) -> None:
    cell, _ = made(tmp_path)
    large = {"data": {"text/html": "x" * 1_000_000}, "transient": {"display_id": "d"}}
    cell.take("display_data", large)
    for _ in range(100):
        cell.take("update_display_data", large)
    for number in range(1000):
        cell.take(
            "update_display_data",
            {"data": {"text/plain": "y"}, "transient": {"display_id": f"o{number}"}},
        )
    seen = observe(cell, python=None, background="", state_lost=None, oom_kills=0)
    assert len(seen.updates) == 100
    assert size(cell) < MAX_FRAME


async def test_files_are_bounded_a_cell_and_in_all(tmp_path: Path) -> None:
    cell, _ = made(tmp_path, cell=1_000_000)
    for _ in range(20):
        cell.take("stream", {"name": "stdout", "text": "x" * 100_000})
    seen = observe(cell, python=None, background="", state_lost=None, oom_kills=0)
    assert Path(seen.full_output_path or "").stat().st_size <= 1_000_000
    assert seen.incomplete == "not all of it is in its file: a cell may keep 1,000,000 bytes"
    files = OutputFiles(tmp_path / "all", 1000, 2500)
    paths = [files.of(f"a{number}").keep("x.bin", bytes(1000)) for number in range(4)]
    assert [Path(path or "").exists() for path in paths] == [False, False, True, True]
    again = OutputFiles(tmp_path / "all", 1000, 2500)
    assert Path(again.of("../../etc").keep("x", bytes(600)) or "").is_relative_to(tmp_path / "all")
    assert [Path(path or "").exists() for path in paths[2:]] == [False, True]


def signed(key: bytes, *parts: Any) -> list[bytes]:
    data = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
    signature = hmac.new(key, b"".join(data), hashlib.sha256).hexdigest().encode()
    return [b"topic", b"<IDS|MSG>", signature, *data]


def test_messages_are_signed_and_of_a_known_kind() -> None:
    reader = Reader(b"key")
    header = {"msg_type": "stream", "msg_id": "x"}
    good = signed(b"key", header, {"msg_id": "p"}, {}, {"name": "stdout"})
    message = reader.read(good)
    assert message is not None
    assert (message.kind, message.parent, message.content) == ("stream", "p", {"name": "stdout"})
    assert reader.read(signed(b"other", header, {}, {}, {})) is None
    assert reader.read([]) is None
    assert reader.read([b"<IDS|MSG>"]) is None
    assert reader.read(good[:-1]) is None
    assert reader.read(signed(b"key", {"msg_type": "comm_open"}, {}, {}, {})) is None
    for odd in (b"[" * 100_000, b"\xff", b"7", b'{"msg_id": 3}', b"1" * 10_000):
        taken = reader.read(signed(b"key", header, odd, {}, odd))
        assert taken is not None
        assert taken.parent == ""


LIE = """
from jupyter_client.session import Session
kernel = get_ipython().kernel
def say(kind, content, parent):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=parent, ident=b'x')
mine = kernel.get_parent('shell')
other = {'header': {**mine['header'], 'msg_id': 'of-another-cell'}}
say('stream', {'name': 'stdout', 'text': 'forged'}, other)
say('stream', {'name': 7, 'text': ['x']}, mine)
say('display_data', {'data': {'image/png': '%%%'}, 'metadata': 3}, mine)
say('comm_msg', {'data': 'x' * 10_000_000}, mine)
say('input_request', {'prompt': {}}, mine)
say('execute_reply', {'status': 'error'}, mine)
print('honest')
"""


@pytest.mark.xdist_group("hostile")
@pytest.mark.asyncio(loop_scope="module")
async def test_lies_of_a_real_kernel(shared: Notebook) -> None:
    seen = await shared.run(LIE, kernel="liar")
    assert seen.status == "ok"
    assert [output.type for output in seen.outputs] == ["display_data", "stream"]
    assert seen.content.endswith("honest\n")
    assert seen.background == "forged"
    early = "say('status', {'execution_state': 'idle'}, kernel.get_parent('shell'))"
    assert (await shared.run(early, kernel="liar")).status == "ok"
    assert (await shared.run("1", kernel="liar")).content == "1"


@pytest.mark.xdist_group("hostile")
@pytest.mark.asyncio(loop_scope="module")
async def test_a_message_that_is_too_large_costs_its_outputs_and_nothing_else(
    shared: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_plugins.jupyter.live._LATE_S", 0.3)
    code = f"display({{'text/html': 'x' * {limits.MESSAGE}}}, raw=True)"
    seen = await shared.run(code, kernel="loud")
    assert "160 MiB is not taken" in (seen.incomplete or "")
    assert (await shared.run("2", kernel="loud")).content == "2"


async def test_an_error_s_texts_are_bounded(tmp_path: Path) -> None:
    cell, _ = made(tmp_path)
    cell.take("error", {"ename": "E", "evalue": "v" * 10**7, "traceback": ["x" * 10**7] * 3})
    [error] = cell.kept.outputs()
    assert isinstance(error, ErrorOutput)
    assert len(error.traceback) < limits.TRACEBACK + 100
    assert len(error.value) < limits.TRACEBACK + 100


def most_memory() -> int:
    """The most that this process ever had in memory, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.xdist_group("hostile")
@pytest.mark.asyncio(loop_scope="module")
async def test_any_amount_of_output_is_bounded_here_and_whole_on_disk(shared: Notebook) -> None:
    before = most_memory()
    seen = await shared.run("print('y' * 100_000_000)", kernel="loud")
    assert Path(seen.full_output_path or "").stat().st_size == seen.total_bytes == 100_000_001
    assert len(seen.content) < limits.CONTENT + 100
    endless = await shared.run("while True: print('z' * 1000)", kernel="loud", timeout_s=1)
    assert endless.status == "timeout"
    assert Path(endless.full_output_path or "").stat().st_size == endless.total_bytes
    assert endless.end is None
    assert most_memory() - before < 50_000_000
    code = "import base64, os\nimage = os.urandom(20_000_000)\n"
    code += "display({'image/png': base64.b64encode(image).decode()}, raw=True)\n"
    code += "import hashlib; hashlib.sha256(image).hexdigest()"
    image = await shared.run(code, kernel="loud")
    [part] = image.outputs[0].data.omitted  # type: ignore[union-attr]
    data = Path(part.path or "").read_bytes()
    assert repr(hashlib.sha256(data).hexdigest()) == image.content.splitlines()[-1]
    assert (part.mime, part.size) == ("image/png", 20_000_000)
