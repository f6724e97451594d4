"""Each step, on pages that want it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol.errors import BrowserStepFailed

from .in_process import Reader

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

NOTHING = ("screenshot", "tree", "text", "console", "timings", "focused", "tabs", "downloads")
Fields = dict[str, Any]


def ref(tree: str, line: str) -> str:
    """The id of the first element whose line in a tree begins so."""
    found = re.search(rf"- '?{re.escape(line)}.*?\[ref=((?:f\d+)?e\d+)\]", tree)
    assert found is not None, tree
    return found[1]


@pytest.fixture
async def page(browser: Reader) -> Reader:
    return browser.at("steps")


async def test_a_form_is_filled_by_every_kind_of_address(page: Reader, file: Path) -> None:
    seen = await page.go("/form")
    assert (seen.title, seen.status, seen.loading) == ("Form", 200, False)
    seen = await page.do(
        {"step": "fill", "element": ref(seen.tree, 'textbox "Name"'), "text": "Ada"},
        {"step": "select", "role": "combobox", "name": "Colour", "options": ["blue"]},
        {"step": "check", "css": "input[name=agree]"},
        {"step": "upload", "css": "#file", "paths": [str(file)]},
        {"step": "wait_for", "css": "#chosen", "text": "note.txt:a note"},
        {"step": "type", "css": "#keys", "text": "ab"},
        {"step": "press", "key": "Enter"},
        {"step": "dblclick", "role": "button", "name": "Twice"},
        {"step": "evaluate", "expression": "[document.title, log.textContent]"},
        {"step": "hover", "css": "#hover"},
        {"step": "evaluate", "expression": "e => [e.id, document.title]", "css": "#hover"},
        {"step": "upload", "css": "#choose", "paths": [str(file), str(file)][:1]},
        {"step": "click", "role": "button", "name": "Send"},
    )
    assert seen.results == (["twice", "a b Enter "], ["hover", "hovered"])
    assert seen.title == "Done"
    assert "name=Ada&colour=b&agree=on" in seen.text
    assert seen.timings is not None
    assert len(seen.timings.steps) == 13
    seen = await page.do({"step": "back"}, {"step": "forward"}, {"step": "reload"})
    assert (seen.title, seen.status) == ("Done", 200)


async def test_points_are_where_the_picture_shows_them(page: Reader) -> None:
    await page.go("/form")
    where = "e => { const r = e.getBoundingClientRect(); return [r.x + 4, r.y + 4]; }"
    seen = await page.do(
        *({"step": "evaluate", "expression": where, "css": css} for css in ("#keys", "#twice")),
        {"step": "evaluate", "expression": where, "css": "select"},
        {"step": "evaluate", "expression": where, "css": "[type=checkbox]"},
    )
    keys, twice, colour, box = (dict(zip("xy", at, strict=True)) for at in seen.results)  # type: ignore[arg-type]
    seen = await page.do(
        {"step": "fill", **keys, "text": "filled"},
        {"step": "type", **keys, "text": "z"},
        {"step": "dblclick", **twice},
        {"step": "select", **colour, "options": ["blue"]},
        {"step": "check", **box},
        {"step": "click", **keys, "modifiers": ["Shift"]},
        {
            "step": "evaluate",
            "expression": "[keys.value, document.title, document.querySelector('select').value,"
            " document.querySelector('[type=checkbox]').checked]",
        },
        {"step": "check", **box, "checked": False},
        {"step": "hover", "css": "#hover"},
    )
    [[value, *others]] = seen.results  # type: ignore[misc]
    assert (sorted(str(value)), others) == (sorted("filledz"), ["twice", "b", True])
    assert seen.title == "hovered"


async def test_dragging_and_scrolling(page: Reader) -> None:
    await page.go("/drag")
    seen = await page.do({"step": "drag", "css": "#here", "to": {"css": "#there"}}, omit=NOTHING)
    assert seen.title == "dropped"
    await page.go("/drag")
    seen = await page.do({"step": "drag", "x": 20, "y": 20, "to": {"css": "#there"}}, omit=NOTHING)
    assert seen.title == "dropped"
    await page.go("/endless")
    seen = await page.do(
        {"step": "scroll", "dy": 5000},
        {"step": "wait_for", "expression": "list.children.length > 40"},
        {"step": "scroll", "css": "p >> nth=0"},
        {"step": "evaluate", "expression": "scrollY < 100"},
    )
    assert seen.results == (True,)
    assert "item 45" in seen.text


async def test_frames_and_shadow_roots(page: Reader) -> None:
    seen = await page.go("/frames")
    assert "in the frame" in seen.text
    inner, shadow = ref(seen.tree, 'button "Inside"'), ref(seen.tree, 'button "Shadow"')
    assert inner.startswith("f")
    assert (await page.do({"step": "click", "element": inner})).title == "inside"
    assert (await page.do({"step": "click", "element": shadow})).title == "shadow"
    framed = {"role": "button", "name": "inside", "frame": "iframe"}
    assert (await page.do({"step": "click", **framed})).title == "inside"


async def test_frames_of_strangers_and_shadow_roots_in_each_other(page: Reader) -> None:
    seen = await page.go("/strangers", wait_until="networkidle")
    assert "in the frame" in seen.text
    inner, deep = ref(seen.tree, 'button "Inside"'), ref(seen.tree, 'textbox "Deep"')
    seen = await page.do(
        {"step": "fill", "element": deep, "text": "by its id"},
        {"step": "type", "css": "input", "text": " and by css"},
        {"step": "click", "element": inner},
        {"step": "wait_for", "expression": "document.title === 'told'"},
        {"step": "evaluate", "expression": "document.title = 'again'"},
        {"step": "click", "role": "button", "name": "Inside", "frame": "iframe"},
        {"step": "wait_for", "expression": "document.title === 'told'"},
        screenshot={"marks": True},
    )
    assert "by its id" in seen.tree
    assert seen.screenshot is not None
    assert {inner, deep} <= set(seen.screenshot.marked)
    seen = await page.go("/")  # though it asks whether it may be left
    assert (seen.title, [one.kind for one in seen.dialogs]) == ("Home", ["beforeunload"])


async def test_an_app_that_loads_nothing_anew(page: Reader) -> None:
    await page.go("/spa")
    seen = await page.do(
        {"step": "click", "role": "button", "name": "B", "exact": True},
        {"step": "wait_for", "text": "slow b"},
        {"step": "wait_for", "url": "**/spa/b", "load": "load"},
    )
    assert seen.url == f"{page.site}/spa/b"
    assert "slow b" in seen.text


async def test_tabs_and_popups(browser: Reader) -> None:
    page = browser.at("tabs")
    await page.go("/popup")
    seen = await page.do(
        {"step": "click", "role": "link", "name": "New"},
        {"step": "click", "role": "button", "name": "Open"},
    )
    assert (seen.tab, seen.title) == (0, "Popups")
    while len(seen.tabs) < 3:  # a popup is told of when it has come up
        seen = await page.do(omit=[part for part in NOTHING if part != "tabs"])
    seen = await page.do({"step": "new_tab", "url": f"{page.site}/noise"})
    assert (seen.tab, seen.title) == (3, "Noise")
    assert [(tab.tab, tab.opened_by_page) for tab in seen.tabs] == [
        (0, False),
        (1, True),
        (2, True),
        (3, False),
    ]
    seen = await page.do({"step": "switch_tab", "tab": 1}, {"step": "close_tab", "tab": 3})
    assert (seen.tab, {tab.tab for tab in seen.tabs}) == (2, {0, 1, 2})
    seen = await page.do(*({"step": "close_tab"} for _ in range(3)))
    assert (seen.url, len(seen.tabs)) == ("about:blank", 1)


async def test_a_popup_is_told_with_the_click_that_opened_it(
    browser: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late Playwright tells it, and though it asks for nothing."""
    page = browser.at("popup")
    await page.go("data:text/html,<button onclick='window.open()'>Open</button>")
    session = page.plugin._contexts.slot(page.context).session
    assert session is not None
    playwrights = session.context._impl_obj
    tell, later = playwrights._on_page, asyncio.get_running_loop().call_later
    monkeypatch.setattr(playwrights, "_on_page", lambda page: later(0.3, tell, page))
    seen = await page.do({"step": "click", "css": "button"})
    assert [(tab.tab, tab.opened_by_page) for tab in seen.tabs] == [(0, False), (1, True)]


@pytest.mark.parametrize(
    ("path", "step", "reason"),
    [
        ("/same", {"step": "click", "role": "button", "name": "One"}, "several"),
        ("/same", {"step": "click", "element": "e99"}, "not_found"),
        ("/same", {"step": "click", "css": "#absent", "timeout_s": 0.2}, "not_found"),
        ("/hidden", {"step": "click", "css": "button", "timeout_s": 2}, "hidden"),
        ("/same", {"step": "evaluate", "expression": "absent()"}, "script"),
        ("/same", {"step": "evaluate", "expression": "'x'.repeat(1e6)"}, "other"),
        ("/same", {"step": "goto", "url": "http://127.0.0.1:1/"}, "network"),
        ("/same", {"step": "wait_for", "expression": "false", "timeout_s": 0.2}, "timeout"),
        ("/same", {"step": "wait_for", "text": "absent", "timeout_s": 0.2}, "not_found"),
        ("/same", {"step": "switch_tab", "tab": 77}, "not_found"),
        ("/form", {"step": "upload", "css": "#file", "paths": ["/absent"]}, "other"),
        ("/same", {"step": "press", "key": "Nonsense"}, "other"),
    ],
)
async def test_a_step_that_fails_is_named_and_the_page_stays(
    page: Reader, path: str, step: Fields, reason: str
) -> None:
    await page.go(path, omit=NOTHING)
    good: Fields = {"step": "evaluate", "expression": "1 + 1"}
    with pytest.raises(BrowserStepFailed) as failed:
        await page.do(good, {**{"timeout_s": 0.5}, **step}, {"step": "goto", "url": "about:blank"})
    data = failed.value.data
    assert (data["step"], data["kind"], data["results"]) == (1, step["step"], [2])
    assert data["reason"] == reason, failed.value.message
    assert f"step 1 ({step['step']}) failed: " in failed.value.message
    seen = await page.do(good, omit=NOTHING)
    assert seen.results == (2,)
    if reason != "network":
        assert seen.url == page.site + path
