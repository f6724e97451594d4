"""Sending and receiving a file or a tree on a bulk line. Both ends do the same.

The sender's bytes end with an `EndFrame`. The receiver checks it, gives what came its final name
and answers with the same frame; a side that gives up sends a `FailFrame`. A connection that is
lost is followed by another, which goes on at the byte where it ended.
Errors: `FileError` for this side's paths, `UnsafeArchive` and `TransferError` for the rest.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeVar

from .attributes import FileAttributes, Receiving, attributes_of
from .bulk import BulkStream, EndFrame, FailFrame, ReceivedFrame
from .bulk_io import BulkReader, BulkWriter, TransferProgress, told_on_loop
from .bulk_line import BulkLine, in_thread
from .errors import FileAlreadyExists, TetherError, TransferError
from .holes import content
from .landing import FileLanding, TreeLanding
from .limits import BULK_CHUNK
from .message import changed
from .notes import NoteBook
from .os_errors import about, file_errors
from .tarpack import DEFAULT_PACKING, Packer, Packing
from .tarstream import unpack_tree

T = TypeVar("T")
Kind = Literal["file", "tree"]
GIVE_UP_TIMEOUT_S = 5.0
"""How long a peer may take to notice that this side gave up, before the stream is cut."""

NO_FILE = "Read what comes out of it with a command, such as `head -c`, into a file"

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Source:
    """What is to be sent, opened and looked at: a context manager that closes it again.

    `size` is None where it cannot be known before: of trees, and of files that the kernel makes
    up while they are read. A file that grows meanwhile is sent as long as it was.
    """

    def __init__(self, path: Path, where: str, packing: Packing = DEFAULT_PACKING) -> None:
        """Open a file or folder; blocking. Raises `FileError`."""
        self.path = path
        self.where = where
        self.packing = packing
        self.attributes: FileAttributes | None = None
        with file_errors(path, where):
            self._descriptor = os.open(path, _OPEN)
            self._found = found = os.fstat(self._descriptor)
            if stat.S_ISREG(found.st_mode):
                xattrs = packing.xattrs
                self.attributes = attributes_of(self._descriptor, found, xattrs=xattrs)
        self.kind: Kind = "tree" if stat.S_ISDIR(found.st_mode) else "file"
        self.size = found.st_size or None
        if self.kind == "tree":
            self.size = None
        elif self.attributes is None:
            self.close()
            raise FileAlreadyExists(**about("{} is neither file nor folder", path), hint=NO_FILE)

    def content(self) -> Iterator[bytes | int]:
        """A file's bytes and, as their lengths, its holes."""
        if self.size is not None:
            yield from content(self._descriptor, self._found, BULK_CHUNK)
            return
        while data := os.read(self._descriptor, BULK_CHUNK):
            yield data

    def close(self) -> None:
        """Close it. Twice is safe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


async def open_source(path: Path, where: str, packing: Packing = DEFAULT_PACKING) -> Source:
    """A source, opened in a thread: a path can lead to a disk that does not answer."""
    opened: list[Source] = []
    try:
        await in_thread(lambda: opened.append(Source(path, where, packing)), lambda: None)
    except asyncio.CancelledError:
        for source in opened:
            source.close()
        raise
    return opened[0]


async def send(
    line: BulkLine, source: Source, progress: TransferProgress | None = None
) -> EndFrame:
    """Send all of a source and its end, and wait until the receiver says that all of it has its
    final name; close the line.

    Returns the end with the receiver's notes among its own.
    """
    tell = told_on_loop(progress)

    def work(line: BulkLine) -> tuple[EndFrame, EndFrame | None]:
        writer = BulkWriter(line, total=source.size, progress=tell)
        end = _send(writer, source)
        return end, writer.confirmation()

    end, answer = await _run(line, work)
    line.stream.close()
    if answer is None and line.over:
        return end  # whoever says so has asked the receiver
    if answer is None or answer.content != end.content:
        raise TransferError("the connection ended before the receiver said that it has everything")
    return end.noting(answer.notes, answer.notes_total)


class Received(NamedTuple):
    """The end as the sender announced it, and what it was answered."""

    end: EndFrame
    answer: EndFrame

    @property
    def noted(self) -> EndFrame:
        """The end with the notes of both sides."""
        return self.end.noting(self.answer.notes, self.answer.notes_total)


async def receive(
    line: BulkLine,
    target: Path,
    *,
    kind: Kind,
    receiving: Receiving,
    attributes: FileAttributes | None = None,
    announced: int | None = None,
    progress: TransferProgress | None = None,
) -> Received:
    """Receive a file or tree under the name `target`, whole or not at all, and close the line.

    `attributes` are for files: trees bring their own. More than `announced` bytes are an error.
    """
    tell = told_on_loop(progress)
    notes = NoteBook()

    def work(line: BulkLine) -> EndFrame:
        reader = BulkReader(line, announced=announced, progress=tell)
        with file_errors(target, receiving.where):
            if kind == "tree":
                return _receive_tree(reader, target, receiving, notes)
            return _receive_file(reader, target, attributes or FileAttributes(), receiving)

    end = await _run(line, work)
    answer = changed(end, notes=tuple(notes.first), notes_total=notes.total)
    _answer(line.stream, answer)
    return Received(end, answer)


async def receive_bytes(line: BulkLine, announced: int) -> tuple[bytes, EndFrame]:
    """Receive a file of at most `announced` bytes into memory, and close the line."""

    def work(line: BulkLine) -> tuple[bytes, EndFrame]:
        reader = BulkReader(line, announced=announced)
        data = BytesIO()  # it gives its bytes away without a copy
        while piece := reader.chunk():
            data.write(piece)
        return data.getvalue(), reader.drain()

    data, end = await _run(line, work)
    _answer(line.stream, end)
    return data, end


def answer_again(stream: BulkStream, answer: EndFrame) -> None:
    """Tell a sender that asks over another connection that everything has come."""
    with suppress(TransferError):
        stream.send(ReceivedFrame(bytes=answer.bytes))
    _answer(stream, answer)


def _answer(stream: BulkStream, answer: EndFrame) -> None:
    with suppress(TransferError):  # the sender is gone; it is all here all the same
        stream.send(answer)
    stream.close()


async def _run(line: BulkLine, work: Callable[[BulkLine], T]) -> T:
    try:
        return await line.run(work)
    except Exception as error:
        await give_up(line.stream, error)
        raise


async def give_up(stream: BulkStream, error: Exception) -> None:
    """Tell the peer why, and close."""
    message = error.message if isinstance(error, TetherError) else type(error).__name__
    with suppress(TransferError):  # it is closed already
        stream.send(FailFrame(message=message))
    stream.close()
    try:
        async with asyncio.timeout(GIVE_UP_TIMEOUT_S):
            # What is still on its way has to be read, or the peer cannot finish.
            while await stream.read() is not None:
                continue
    except TimeoutError:
        stream.abort("the peer did not notice that this side gave up")


def _send(writer: BulkWriter, source: Source) -> EndFrame:
    if source.kind == "tree":
        packer = Packer(writer.write, writer.hole, source.packing)
        with file_errors(source.path, source.where, below=True):
            packer.pack(os.fsencode(source.path), b".")
        return writer.finish(packer.files, packer.notes)
    with file_errors(source.path, source.where):
        for piece in source.content():
            if isinstance(piece, int):
                writer.hole(piece)
            else:
                writer.write(piece)
    return writer.finish()


def _receive_file(
    reader: BulkReader, target: Path, attributes: FileAttributes, receiving: Receiving
) -> EndFrame:
    with FileLanding(target, attributes, receiving) as landing:
        while data := reader.chunk():
            landing.write(data)
        landing.commit()
    return reader.drain()


def _receive_tree(
    reader: BulkReader, target: Path, receiving: Receiving, notes: NoteBook
) -> EndFrame:
    with TreeLanding(target, receiving.unfinished) as landing:
        with file_errors(target, receiving.where, below=True):
            unpacked = unpack_tree(reader, landing.stage, receiving=receiving, fresh=True)
        end = reader.drain()
        landing.commit()
    notes.extend(unpacked.notes)
    return end
