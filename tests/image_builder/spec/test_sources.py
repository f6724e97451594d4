"""Sources: what is read, what is refused, and that nothing outside can be reached."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tarfile
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tether_image_builder.errors import SpecInvalid
from tether_image_builder.spec.model import FileStep
from tether_image_builder.spec.sources import OLDEST, look_at, write_archive

SECRET = b"outside\n"


def step(source: str, destination: str = "/srv", mode: str | None = None) -> FileStep:
    return FileStep(source=source, destination=destination, mode=mode)


def members(folder: Path, step: FileStep) -> dict[str, tarfile.TarInfo]:
    buffer = io.BytesIO()
    write_archive(folder, step, b"FROM x\n", buffer)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        return {member.name: member for member in archive}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A spec's folder, with something beside it that nobody may have."""
    folder = tmp_path / "spec"
    (folder / "data" / "inner").mkdir(parents=True)
    (folder / "data" / "b").write_bytes(b"two")
    (folder / "data" / "a").write_bytes(b"one")
    (folder / "data" / "inner" / "c").write_bytes(b"three")
    (folder / "data" / "a").chmod(0o755)
    (tmp_path / "outside").write_bytes(SECRET)
    return folder


def test_a_folder_is_its_contents_in_order(tree: Path) -> None:
    found = members(tree, step("data"))
    assert list(found) == ["tree", "tree/a", "tree/b", "tree/inner", "tree/inner/c", "Dockerfile"]
    assert all((m.uid, m.gid, m.uname, m.gname) == (0, 0, "", "") for m in found.values())
    assert {m.mtime for name, m in found.items() if name != "Dockerfile"} == {OLDEST}
    assert (oct(found["tree/a"].mode), found["tree/a"].size) == ("0o755", 3)


def test_a_file_gets_the_name_that_the_destination_has(tree: Path) -> None:
    assert "tree/other" in members(tree, step("data/a", "/srv/other"))
    assert "tree/a" in members(tree, step("data/a", "/srv/other/"))


def test_a_mode_is_for_files_and_lets_readers_enter_folders(tree: Path) -> None:
    found = members(tree, step("data", mode="0640"))
    assert {found[name].mode for name in ("tree/a", "tree/b", "tree/inner/c")} == {0o640}
    assert oct(found["tree/inner"].mode) == "0o750"


def test_the_digest_is_of_names_contents_and_permissions(tree: Path) -> None:
    before = look_at(tree, step("data"))
    assert (before.files, before.bytes, before.is_folder) == (3, 11, True)

    os.utime(tree / "data" / "a", (1, 1))
    (tree / "unrelated").write_text("x")
    assert look_at(tree, step("data")) == before

    seen = {before.digest}
    for change in (
        lambda: (tree / "data" / "a").write_bytes(b"one!"),
        lambda: (tree / "data" / "a").chmod(0o700),
        lambda: (tree / "data" / "a").rename(tree / "data" / "z"),
        lambda: (tree / "data" / "inner").chmod(0o700),
        lambda: (tree / "data" / "empty").mkdir(),
    ):
        change()
        seen.add(look_at(tree, step("data")).digest)
    assert len(seen) == 6


def test_the_digest_knows_a_file_from_a_folder_with_one(tree: Path) -> None:
    (tree / "one").mkdir()
    (tree / "one" / "srv").write_bytes(b"x")
    (tree / "one" / "srv").chmod(0o644)
    (tree / "srv").write_bytes(b"x")
    (tree / "srv").chmod(0o644)
    assert look_at(tree, step("one")).digest != look_at(tree, step("srv")).digest


def test_the_archive_has_the_digest_of_the_look(tree: Path) -> None:
    for source in ("data", "data/a", "."):
        found = look_at(tree, step(source))
        assert write_archive(tree, step(source), b"", io.BytesIO()) == found.digest


def test_names_are_bytes(tree: Path) -> None:
    os.mkdir(tree / "odd")
    name = os.fsdecode(b"\xff \n'\"$")
    (tree / "odd" / name).write_bytes(b"x")
    assert look_at(tree, step("odd")).files == 1
    assert f"tree/{name}" in members(tree, step("odd"))


def links(tree: Path) -> dict[str, str]:
    """Sources that lead out, or could."""
    (tree / "file-link").symlink_to("../outside")
    (tree / "folder-link").symlink_to("..")
    (tree / "inside-link").symlink_to("data")
    (tree / "dangling").symlink_to("nothing")
    (tree / "deep").mkdir()
    (tree / "deep" / "link").symlink_to("/etc")
    return {
        "file-link": "symbolic link",
        "folder-link": "symbolic link",
        "folder-link/outside": "symbolic link",
        "inside-link/a": "symbolic link",
        "dangling": "symbolic link",
        "deep": "symbolic link",
        ".": "symbolic link",
    }


def test_symbolic_links_are_refused(tree: Path) -> None:
    for source, reason in links(tree).items():
        with pytest.raises(SpecInvalid, match=reason) as caught:
            look_at(tree, step(source))
        assert "put a copy there" in caught.value.hint


def test_what_is_neither_file_nor_folder_is_refused_and_not_waited_for(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "with-pipe").mkdir()
    os.mkfifo(tree / "with-pipe" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
        for source in ("pipe", "with-pipe", "socket"):
            with pytest.raises(SpecInvalid, match="neither a file nor a folder"):
                look_at(tree, step(source))


@pytest.mark.parametrize("source", ["missing", "missing/a", "data/a/b", "data/missing"])
def test_what_is_not_there(tree: Path, source: str) -> None:
    with pytest.raises(SpecInvalid, match=r"there is no such file|Not a directory"):
        look_at(tree, step(source))


def test_the_folder_of_the_spec_may_be_a_link(tree: Path) -> None:
    (tree.parent / "link").symlink_to(tree)
    assert look_at(tree.parent / "link", step("data")).files == 3


PARTS = st.sampled_from(
    ["", ".", "..", "...", "a", "data", "outside", "out", "in", "up", "loop", "etc", "\\..", "~"]
)


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(PARTS, max_size=6), absolute=st.booleans())
def test_no_path_leads_out(parts: list[str], absolute: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "spec"
        (folder / "data" / "a").mkdir(parents=True)
        (folder / "data" / "a" / "in").write_bytes(b"inside")
        (root / "outside").write_bytes(SECRET)
        (folder / "out").symlink_to("../outside")
        (folder / "up").symlink_to("..")
        (folder / "data" / "up").symlink_to(root)
        (folder / "loop").symlink_to("loop")
        source = ("/" if absolute else "") + "/".join(parts)
        target = io.BytesIO()
        with contextlib.suppress(ValidationError, SpecInvalid):
            write_archive(folder, step(source), b"", target)
        assert SECRET not in target.getvalue()


def test_what_is_swapped_under_way_leads_nowhere(tree: Path) -> None:
    """Somebody puts a link in the place of a folder and takes it away again, all the time."""
    (tree.parent / "else").mkdir()
    (tree.parent / "else" / "c").write_bytes(SECRET)
    inner, kept, link = tree / "data" / "inner", tree / "data" / "kept", tree / "link"
    link.symlink_to("../else")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            inner.rename(kept)
            link.rename(inner)
            inner.rename(link)
            kept.rename(inner)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for source in ("data/inner/c", "data") * 300:
            target = io.BytesIO()
            try:
                write_archive(tree, step(source), b"", target)
            except SpecInvalid:
                continue
            finally:
                assert SECRET not in target.getvalue()
    finally:
        over.set()
        thread.join()


class Meddling(io.BytesIO):
    """An archive: when a file's header has been written, something happens to the file."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self.meddle = meddle

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if data.startswith(b"tree/a"):
            self.meddle()
        return super().write(data)


def test_a_file_that_grows_while_it_is_read_is_read_to_its_former_end(tree: Path) -> None:
    def grow() -> None:
        with (tree / "data" / "a").open("ab") as file:
            file.write(b"more")

    before = look_at(tree, step("data")).digest
    assert write_archive(tree, step("data"), b"", Meddling(grow)) == before
    assert look_at(tree, step("data")).digest != before


def test_a_file_that_shrinks_is_said(tree: Path) -> None:
    file = tree / "data" / "a"
    file.write_bytes(bytes(3_000_000))
    with pytest.raises(SpecInvalid, match="unexpected end of data"):
        write_archive(tree, step("data"), b"", Meddling(lambda: os.truncate(file, 1)))
