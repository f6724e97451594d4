"""`tether cp`: files and trees into a sandbox or out of it, beside whoever controls it."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import click

from tether_runtime_client.protocol.actions import ListFilesAction
from tether_runtime_client.protocol.errors import FileMissing, PathNotADirectory
from tether_runtime_client.protocol.observations import TransferObservation

from ..operator import OperatorRuntime
from .interrupts import Interrupts, run_async
from .names import PLACE
from .progress import ProgressDisplay
from .text import size

_REMOTE = re.compile(r"([a-z0-9][a-z0-9_.-]{0,47}):(.*)", re.DOTALL)


@click.command()
@click.argument("source", type=PLACE, metavar="SRC")
@click.argument("target", type=PLACE, metavar="DST")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(source: str, target: str, quiet: bool) -> int:
    """Copy a file or a folder's tree; one of SRC and DST is NAME:PATH, in the sandbox NAME.

    As with cp, what is copied goes into DST where that is a folder, and becomes DST where it is
    not there yet. Modes are kept, and symbolic links that stay inside the copied tree; one that is
    absolute or climbs out of it is refused. Write ./a:b for a path here that has a colon.
    """
    (from_name, from_path), (to_name, to_path) = split(source), split(target)
    if (from_name is None) == (to_name is None):
        raise click.UsageError("one of SRC and DST has to be NAME:PATH, and the other a path here")
    name = from_name or to_name
    assert name is not None
    path = Path(from_path) if from_name is None else _target_here(to_path, from_path)
    display = ProgressDisplay(quiet=quiet)

    async def work(_: Interrupts) -> int:
        with display:
            async with OperatorRuntime.beside(name, progress=display.say) as runtime:
                if from_name is None:
                    done = await _upload(runtime, path, to_path, display)
                else:
                    done = await _download(runtime, from_path, path, display)
        if not quiet:
            files = f"{done.files} file{'' if done.files == 1 else 's'}"
            click.echo(f"copied {files}, {size(done.bytes)}", err=True)
        return 0

    return run_async(work)


def split(place: str) -> tuple[str | None, str]:
    """The sandbox's name, None for this machine, and the path."""
    found = _REMOTE.fullmatch(place)
    return (found[1], found[2] or ".") if found else (None, place)


async def _upload(
    runtime: OperatorRuntime, source: Path, target: str, display: ProgressDisplay
) -> TransferObservation:
    if await _is_folder_inside(runtime, target):
        target = str(PurePosixPath(target) / _base_name(str(source)))
    elif target.endswith("/"):
        raise click.ClickException(f"there is no folder {target} in the sandbox")
    display.say(f"copying {source} to {runtime.name}:{target}")
    return await runtime.upload(source, target, progress=display.count)


async def _download(
    runtime: OperatorRuntime, source: str, target: Path, display: ProgressDisplay
) -> TransferObservation:
    display.say(f"copying {runtime.name}:{source} to {target}")
    return await runtime.download(source, target, progress=display.count)


def _target_here(target: str, source: str) -> Path:
    path = Path(target)
    if path.is_dir():
        return path / _base_name(source)
    if target.endswith("/"):
        raise click.ClickException(f"there is no folder {target} here")
    return path


async def _is_folder_inside(runtime: OperatorRuntime, path: str) -> bool:
    try:
        await runtime.run(ListFilesAction(path=path, limit=1))
    except (FileMissing, PathNotADirectory):
        return False
    return True


def _base_name(path: str) -> str:
    """The last part, also of `.` and `a/..`; the whole tree of `/` has none."""
    name = os.path.basename(os.path.normpath(path))
    if name in ("", ".", ".."):
        raise click.ClickException(f"{path} has no name of its own: say what to call the copy")
    return name
