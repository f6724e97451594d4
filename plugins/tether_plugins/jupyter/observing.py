"""What a cell's observation says, made of the cell."""

from __future__ import annotations

import time

from tether_runtime_client.protocol.jupyter import (
    CellOutput,
    ErrorOutput,
    IPythonRunCellObservation,
    KernelEnd,
    MimeBundle,
    PythonInfo,
    StreamOutput,
)
from tether_runtime_client.protocol.render import HeadTail

from . import limits
from .cell import Cell
from .text import plain


def observe(
    cell: Cell,
    *,
    python: PythonInfo | None,
    background: str,
    state_lost: KernelEnd | None,
    oom_kills: int,
) -> IPythonRunCellObservation:
    """What is new of a cell since it was last observed."""
    outputs = cell.kept.outputs()
    error = cell.error
    in_file = cell.files.has_stream
    return IPythonRunCellObservation(
        content=as_text(outputs),
        outputs=outputs,
        outputs_omitted=cell.kept.omitted,
        status=cell.status,
        execution_count=cell.execution_count,
        traceback=error.traceback if error else None,
        traceback_ansi=error.traceback_ansi if error else None,
        kernel=cell.kernel,
        python=python,
        input_prompt=cell.prompt,
        updates=tuple(cell.updates),
        background=background,
        truncated=cell.kept.truncated,
        total_bytes=cell.total_bytes,
        full_output_path=cell.files.stream_path if in_file else None,
        incomplete="; ".join(dict.fromkeys(_problems(cell))) or None,
        end=cell.end,
        state_lost=state_lost,
        oom_kills=oom_kills,
        duration_s=time.monotonic() - cell.began,
    )


def _problems(cell: Cell) -> list[str]:
    problem = cell.files.problem
    return [*cell.problems, *([f"not all of it is in its file: {problem}"] if problem else [])]


def as_text(outputs: tuple[CellOutput, ...]) -> str:
    """Outputs as somebody would read them who sees no images."""
    kept = HeadTail(limits.CONTENT)
    before: CellOutput | None = None
    ends_line = True
    for output in outputs:
        text = _text(output)
        both = isinstance(before, StreamOutput) and isinstance(output, StreamOutput)
        if text:
            kept.write((text if ends_line or both else "\n" + text).encode("utf-8", "replace"))
            before, ends_line = output, text.endswith("\n")
    return kept.kept().decode("utf-8", "replace")


def _text(output: CellOutput) -> str:
    if isinstance(output, StreamOutput):
        return plain(output.text)
    if isinstance(output, ErrorOutput):
        return output.traceback or f"{output.name}: {output.value}"
    return _shown(output.data)


def _shown(bundle: MimeBundle) -> str:
    """Its plain text; lines for images, which that does not stand for."""
    lines = [bundle.text] if bundle.text is not None else []
    for mime, value in bundle.data.items():
        if mime.startswith(("image/", "audio/", "video/")) and isinstance(value, str):
            size = len(value) if mime == "image/svg+xml" else len(value) * 3 // 4
            lines.append(f"[{mime}, {size:,} bytes]")
    for part in bundle.omitted:
        where = f", whole in {part.path}" if part.path else ""
        lines.append(f"[{part.mime}, {part.size:,} bytes: {part.reason}{where}]")
    return "\n".join(lines) or _first_text(bundle)


def _first_text(bundle: MimeBundle) -> str:
    for mime in ("text/markdown", "text/latex", "text/html", "application/json"):
        value = bundle.data.get(mime)
        if value is not None:
            return value if isinstance(value, str) else f"[{mime}]"
    return ", ".join(f"[{mime}]" for mime in bundle.data)
