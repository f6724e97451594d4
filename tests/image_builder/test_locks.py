from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tether_image_builder.locks import cache_folder, held


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TETHER_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/tether")
    monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path


def test_threads_exclude_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path))
    order: list[str] = []

    def work() -> None:
        with held("a/name:1"):
            order.append("second")

    with held("a/name:1"), held("another"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_without_a_home_the_temporary_folder_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with held("x"):
        assert [path.name for path in tmp_path.glob("tether-locks-*/*")] == ["x.lock"]


def test_somebody_elses_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / f"tether-locks-{os.getuid()}").symlink_to(tmp_path)
    monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(PermissionError, match="TETHER_CACHE_DIR"), held("x"):
        pass
