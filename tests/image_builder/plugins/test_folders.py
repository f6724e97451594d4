"""Which files of a package's folder go into a build stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_image_builder.plugins import folders
from tether_image_builder.plugins.folders import read_folder
from tether_runtime_client.protocol.errors import PluginInvalid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "package" / "build").mkdir(parents=True)
    (tmp_path / "package" / "build" / "a.py").write_text("A = 1\n")
    return tmp_path


def test_sources_and_nothing_else(folder: Path) -> None:
    for name in (".git", "build", "dist", ".ruff_cache", "package/__pycache__", "mine"):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name)
    (folder / "mine" / "pyvenv.cfg").write_text("")
    (folder / "package" / "a.pyc").write_bytes(b"")
    assert set(read_folder(folder).files) == {"pyproject.toml", "package/build/a.py"}


def test_links_within_are_followed(folder: Path) -> None:
    (folder / "package" / "b.py").symlink_to("build/a.py")
    assert read_folder(folder).files["package/b.py"] == b"A = 1\n"


def test_links_that_lead_out_are_refused(folder: Path) -> None:
    (folder / "package" / "b.py").symlink_to("/etc/passwd")
    with pytest.raises(PluginInvalid, match=r"b\.py is a link that leads out"):
        read_folder(folder)


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginInvalid, match=r"no pyproject\.toml"):
        read_folder(tmp_path)


def test_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LARGEST_BYTES", 10)
    with pytest.raises(PluginInvalid, match="more than 0 MiB"):
        read_folder(folder)
