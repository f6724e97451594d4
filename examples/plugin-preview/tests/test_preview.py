"""The plugin as its users have it: in a sandbox on this machine, which needs no image."""

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from tether_preview.messages import (
    BrokenLink,
    BrokenLinkFound,
    PageObservation,
    PreviewConfig,
    ShowAction,
)
from tether_preview.skills import check_links

from tether_server import ActionError, CmdRunAction, SyncEventStreamRuntime

PAGE = "# Report\n\nSee [the plan](plan.md), [numbers](data/none.csv) and [more](https://x.test).\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "report.md").write_text(PAGE)
    (tmp_path / "plan.md").write_text("Everything.\n")
    return tmp_path


@pytest.fixture
def runtime(folder: Path) -> Iterator[SyncEventStreamRuntime]:
    with SyncEventStreamRuntime(
        None,
        backend="local",
        workdir=str(folder),
        plugins={"agent_skills": {}, "preview": PreviewConfig(title="Notes & more")},
    ) as runtime:
        yield runtime


def test_skill_is_a_plain_function(folder: Path) -> None:
    page = str(folder / "report.md")
    assert check_links(page) == [f"{page}:3: data/none.csv"]


def test_plugin_in_a_sandbox(runtime: SyncEventStreamRuntime, folder: Path) -> None:
    shown = runtime.run(ShowAction(path="report.md"))
    assert isinstance(shown, PageObservation)
    assert (shown.title, shown.words) == ("Report", 8)
    assert shown.broken_links == (BrokenLink(line=3, target="data/none.csv"),)

    told = [event for event in runtime.events.since(0) if isinstance(event, BrokenLinkFound)]
    assert [(event.path, event.line) for event in told] == [(str(folder / "report.md"), 3)]

    pages = runtime.forward("preview.pages")
    with urlopen(f"{pages}{shown.url}") as page:
        text = page.read().decode()
    assert "<title>Notes &amp; more</title>" in text
    assert "Report" in text

    called = runtime.run(CmdRunAction(command="skill check-links report.md"))
    assert "report.md:3: data/none.csv" in called.content

    with pytest.raises(ActionError, match="cannot be shown"):
        runtime.run(ShowAction(path="nothing.md"))
    [plugin] = [one for one in runtime.plugins(health=True) if one.name == "preview"]
    assert (plugin.state, plugin.problem) == ("running", None)
