"""`tether cp`: files and trees into a sandbox, out of it, or from one to another, beside whoever
controls them.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath

import click

from tether_runtime_client.protocol.actions import ListFilesAction
from tether_runtime_client.protocol.errors import FileMissing, PathNotADirectory
from tether_runtime_client.protocol.observations import TransferObservation

from ..operator import OperatorRuntime
from ..transfer_rules import Links, TransferOptions
from .interrupts import Interrupts, run_async
from .names import PLACE
from .progress import ProgressDisplay
from .text import clipped, size, visible

_REMOTE = re.compile(r"([a-z0-9][a-z0-9_.-]{0,47}):(.*)", re.DOTALL)
_NOTES_SHOWN = 10
_REASONS = {
    "special_file": "a socket, device or named pipe",
    "link_leads_out": "a link that leads out of the tree",
    "dangling_link": "a link to nothing",
    "link_loop": "a link in a circle",
    "followed_out_of_tree": "a link that was followed out of the tree",
}


@dataclass(frozen=True)
class Source:
    """What is copied: a path, in a sandbox or here, and what a wildcard at its end stands for."""

    name: str | None
    path: str
    include: tuple[str, ...] = ()

    @property
    def base_name(self) -> str:
        """The last part, also of `.` and `a/..`; the whole tree of `/` has none."""
        base = os.path.basename(os.path.normpath(self.path))
        if base in ("", ".", ".."):
            raise click.ClickException(
                f"{self.path} has no name of its own: say what to call the copy"
            )
        return base

    def __str__(self) -> str:
        return self.path if self.name is None else f"{self.name}:{self.path}"


@click.command()
@click.argument("sources", type=PLACE, metavar="SRC...", nargs=-1, required=True)
@click.argument("target", type=PLACE, metavar="DST")
@click.option(
    "--links",
    type=click.Choice(["refuse", "keep", "follow", "skip"]),
    default="refuse",
    show_default=True,
    help="For symbolic links that are absolute or climb out of the tree; all links with `follow`.",
)
@click.option("--owner", metavar="keep|USER[:GROUP]", help="Whom the copies belong to.")
@click.option("--xattrs", is_flag=True, help="Copy extended attributes (namespace `user`).")
@click.option("--include", metavar="GLOB", multiple=True, help="Copy what matches only.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Leave out what matches.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "-r", "--recursive", is_flag=True, expose_value=False, help="Not needed: folders come whole."
)
def command(
    sources: tuple[str, ...],
    target: str,
    links: Links,
    owner: str | None,
    xattrs: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    quiet: bool,
) -> int:
    """Copy files and folders' trees. SRC, DST or both are NAME:PATH, in the sandbox NAME.

    As with cp, what is copied goes into DST where that is a folder, and becomes DST where it is
    not there yet; folders above it are made. Modes and times are kept, and symbolic links that
    stay inside the copied tree. Write ./a:b for a path here that has a colon.

    NAME:'DIR/*.log' copies what matches in DIR into the folder DST, as a shell would find it;
    'DIR/**/*.log' goes deeper. Patterns of --include and --exclude are those of .gitignore: *.log
    matches at any depth, /*.log at the top only, cache/ folders only. Both options may be given
    several times.

    \b
    --links refuse  such a link ends the copying with an error
            keep    it is copied as it is, and told
            follow  what links lead to is copied in their place
            skip    it is left out, and told
    """
    if "-" in (*sources, target):
        raise click.UsageError(
            "cp copies files and folders by name: `tether exec NAME -- cat FILE` writes to standard"
            " output, and `tether exec NAME -- sh -c 'cat > FILE'` takes standard input"
        )
    to_name, to_path = split(target)
    known = [source(place, include) for place in sources]
    if to_name is None and any(each.name is None for each in known):
        raise click.UsageError("one of SRC and DST has to be NAME:PATH")
    options: TransferOptions = {
        "links": links,
        "owner": owner,
        "xattrs": xattrs,
        "exclude": exclude,
    }
    display = ProgressDisplay(quiet=quiet)

    async def work(_: Interrupts) -> int:
        async with AsyncExitStack() as stack:
            stack.enter_context(display)
            runtimes: dict[str, OperatorRuntime] = {}
            for name in dict.fromkeys([*(each.name for each in known), to_name]):
                if name is not None:
                    runtime = OperatorRuntime.beside(name, progress=display.say)
                    runtimes[name] = await stack.enter_async_context(runtime)
            copying = Copying(runtimes, to_name, to_path, options, display)
            done = await copying.all(known, include)
        if not quiet:
            _report(done)
        return 0

    return run_async(work)


def split(place: str) -> tuple[str | None, str]:
    """The sandbox's name, None for this machine, and the path."""
    found = _REMOTE.fullmatch(place)
    return (found[1], found[2] or ".") if found else (None, place)


def source(place: str, include: tuple[str, ...] = ()) -> Source:
    """What SRC means: a path in a sandbox may end in a wildcard, which no shell here expands."""
    name, path = split(place)
    if place == f"{name}:":
        text = f"{place} names no path: {place}. is the folder where sessions start, {place}/ all"
        raise click.UsageError(f"{text} there is")
    if name is None or not glob.has_magic(path):
        return Source(name, path)
    if include:
        raise click.UsageError(f"{place} has a wildcard: --include cannot be given beside it")
    parts = PurePosixPath(path).parts
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    pattern = "/" + "/".join(parts[first:])
    return Source(name, str(PurePosixPath(*parts[:first])), (pattern,))


class Copying:
    """One run of the command, with all sandboxes that it names."""

    def __init__(
        self,
        runtimes: Mapping[str, OperatorRuntime],
        to_name: str | None,
        to_path: str,
        options: TransferOptions,
        display: ProgressDisplay,
    ) -> None:
        self._runtimes = runtimes
        self._to = None if to_name is None else runtimes[to_name]
        self._to_path = to_path
        self._options = options
        self._display = display

    async def all(
        self, sources: list[Source], include: tuple[str, ...]
    ) -> list[TransferObservation]:
        """Copy one after the other."""
        into = await self._is_folder()
        if not into and (self._to_path.endswith("/") or len(sources) > 1):
            where = "here" if self._to is None else "in the sandbox"
            text = f"there is no folder {self._to_path} {where}"
            other = "copy one at a time" if len(sources) > 1 else "leave out the slash at its end"
            raise FileMissing(text, hint=f"Make it first, or {other}")
        targets = [self._target(each, into) for each in sources]
        return [
            await self._copy(each, target, each.include or include)
            for each, target in zip(sources, targets, strict=True)
        ]

    def _target(self, source: Source, into: bool) -> str:
        """What a wildcard stands for goes into the folder, made where it is not there."""
        if not into or source.include:
            return self._to_path
        return os.path.join(self._to_path, source.base_name)

    async def _copy(
        self, source: Source, target: str, include: tuple[str, ...]
    ) -> TransferObservation:
        display = self._display
        shown = target if self._to is None else f"{self._to.name}:{target}"
        display.say(f"copying {source} to {shown}")
        options: TransferOptions = {**self._options, "include": include}
        if source.name is None:
            assert self._to is not None
            return await self._to.upload(source.path, target, progress=display.count, **options)
        runtime = self._runtimes[source.name]
        if self._to is None:
            return await runtime.download(source.path, target, progress=display.count, **options)
        return await runtime.copy_to(
            source.path, self._to, target, progress=display.count, **options
        )

    async def _is_folder(self) -> bool:
        if self._to is None:
            return _is_folder_here(self._to_path)
        try:
            await self._to.run(ListFilesAction(path=self._to_path, limit=1))
        except (FileMissing, PathNotADirectory):
            return False
        return True


def _is_folder_here(path: str) -> bool:
    return os.path.isdir(path)


def _report(done: Iterable[TransferObservation]) -> None:
    done = list(done)
    count = sum(each.files for each in done)
    files = f"{count} file{'' if count == 1 else 's'}"
    archived = " as an archive" if any(each.kind == "tree" for each in done) else ""
    click.echo(f"copied {files}, {size(sum(each.bytes for each in done))}{archived}", err=True)
    notes = [note for each in done for note in each.notes]
    for note in notes[:_NOTES_SHOWN]:
        how = "copied" if note.copied else "left out"
        path = clipped(visible(note.path), 200)
        click.echo(f"{how}: {path} ({_REASONS[note.reason]})", err=True)
    more = sum(each.notes_total for each in done) - min(len(notes), _NOTES_SHOWN)
    if more > 0:
        click.echo(f"and {more:,} more", err=True)
