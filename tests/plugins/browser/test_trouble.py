"""Pages and browsers that go wrong: told as what it is, and the next action goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from tether_runtime_client.protocol.errors import (
    BrowserLost,
    BrowserNotStarted,
    BrowserStepFailed,
)

from ...server.ports.certificates import Authority
from .in_process import Reader, process, reader
from .site import serve

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("browser")]

LITTLE = ("console", "failed_requests", "downloads", "timings")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def short(
    chromium: str, site: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reader]:
    """A browser with little patience."""
    folder = tmp_path_factory.mktemp("trouble")
    patience = {"observe_timeout_s": 1, "settle_s": 0.5}
    context = {"credentials": {"username": "me", "password": "secret"}}
    async with reader(folder, site, context=context, **patience) as one:
        yield one


@pytest.fixture(scope="module")
def secure_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site with a certificate that nobody trusts."""
    server = serve(*Authority(tmp_path_factory.mktemp("authority")).issue("127.0.0.1"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_page_that_never_finishes_is_told_as_it_is(short: Reader) -> None:
    page = short.at("never")
    seen = await page.go("/waits", timeout_s=0.5, omit=LITTLE)
    assert (seen.loading, seen.text) == (True, "shown")
    with pytest.raises(BrowserStepFailed) as failed:
        await page.go("/never", timeout_s=0.3)
    assert failed.value.data["reason"] == "timeout"
    assert (await page.do(omit=LITTLE)).text == "shown"


async def test_a_page_that_hangs_leaves_an_address_and_is_replaced(short: Reader) -> None:
    page = short.at("hang")
    await page.go("/hang")
    with pytest.raises(BrowserStepFailed) as failed:
        await page.do(
            {"step": "evaluate", "expression": "(() => { for (;;); })()"}, step_timeout_s=0.2
        )
    assert failed.value.data["reason"] == "timeout"
    seen = await page.do(omit=LITTLE)
    assert seen.url == f"{page.site}/hang"
    assert {"tree", "screenshot"} <= seen.missing.keys()
    assert seen.tabs[0].problem == "it does not answer"
    seen = await page.go("/")
    assert (seen.title, seen.tab, seen.missing) == ("Home", 0, {})


async def test_a_page_that_begins_to_hang_is_replaced_by_the_next_goto(short: Reader) -> None:
    page = short.at("clicked")
    await page.go("/hang")
    with pytest.raises(BrowserStepFailed, match="a goto takes a new page in its place"):
        await page.do({"step": "click", "css": "button"}, step_timeout_s=0.2)
    assert (await page.go("/")).title == "Home"
    await page.go("/hang")
    async with running(page, "for (;;);"):  # which nothing has told
        assert (await page.do({"step": "reload"})).title == "Hang"


async def test_a_page_that_was_busy_is_back(short: Reader) -> None:
    page = short.at("busy")
    await page.go("/")
    async with running(page, "const end = Date.now() + 2000; while (Date.now() < end);") as script:
        assert (await page.do(omit=LITTLE)).tabs[0].problem == "it does not answer"
        await script
    seen = await page.do(omit=LITTLE)
    assert (seen.title, seen.tabs[0].problem, seen.missing) == ("Home", None, {})


@asynccontextmanager
async def running(page: Reader, script: str) -> AsyncIterator[asyncio.Future[object]]:
    """Something that the shown page is at."""
    session = page.plugin._contexts.slot(page.context).session
    assert session is not None
    task = asyncio.ensure_future(session.tab.page.evaluate(f"() => {{ {script} }}"))
    await asyncio.sleep(0)  # it is asked for before all else
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_page_that_goes_where_no_answer_comes_from_says_so(short: Reader) -> None:
    """By itself Chromium answers nothing about it, and each part would take its whole time."""
    page = short.at("going")
    await page.go(f"data:text/html,<title>Link</title><a href='{page.site}/never'>x</a>")
    seen = await page.do({"step": "click", "css": "a"}, step_timeout_s=0.2)
    said = f"no answer has come yet from {page.site}/never, where the page goes to"
    assert seen.missing == dict.fromkeys(("tree", "text", "screenshot"), said)
    assert (seen.loading, seen.tabs[0].problem) == (True, None)
    assert (await page.do()).missing == seen.missing
    assert (await page.go("/")).missing == {}


async def test_a_page_that_hangs_whoever_reads_it_is_replaced(short: Reader) -> None:
    script = "Object.defineProperty(HTMLElement.prototype, 'innerText', {get() { for (;;); }})"
    page = short.at("reading")
    seen = await page.go(f"data:text/html,<title>Slow</title><p>x<script>{script}</script>")
    assert "text" in seen.missing
    assert seen.tabs[0].problem == "it does not answer"
    assert (await page.go("/")).title == "Home"


async def test_a_page_that_crashes_is_told_and_replaced(short: Reader) -> None:
    page = short.at("crash")
    await page.go("/")
    with pytest.raises(BrowserStepFailed) as failed:
        await page.do({"step": "goto", "url": "chrome://crash"})
    assert failed.value.data["reason"] == "crashed"
    seen = await page.do()
    assert seen.tabs[0].problem == "its page has crashed"
    assert seen.missing["tree"] == "its page has crashed"
    assert (await page.go("/")).title == "Home"


async def test_a_popup_that_opens_popups_has_an_end(short: Reader) -> None:
    page = short.at("popups")
    await page.go("/popup")
    opening = "for (let i = 0; i < 40; i++) window.open('about:blank?' + i)"
    await page.do({"step": "evaluate", "expression": opening}, omit=LITTLE, step_timeout_s=20)
    seen = await page.do(omit=("tree", "text", "screenshot", *LITTLE))
    assert len(seen.tabs) <= 32


async def test_names_and_passwords(short: Reader) -> None:
    seen = await short.at("named").go("/private")
    assert (seen.status, seen.text) == (200, "let in")


async def test_a_certificate_of_nobody_is_an_error_unless_it_may_be(
    short: Reader, secure_site: str, site: str, tmp_path: Path
) -> None:
    with pytest.raises(BrowserStepFailed) as failed:
        await short.at("strict").go(secure_site)
    assert "ERR_CERT_AUTHORITY_INVALID" in failed.value.message
    async with reader(tmp_path, site, context={"ignore_https_errors": True}) as lenient:
        assert (await lenient.go(secure_site)).title == "Home"
        seen = await lenient.go("/private")  # and this one has no name and password
        assert (seen.status, seen.title) == (401, "")


async def test_files_that_cannot_be_written_are_missing_parts(
    chromium: str, site: str, tmp_path: Path
) -> None:
    async with reader(tmp_path, site) as page:
        await page.go("/")
        folder = page.plugin.places.state / "files"
        folder.rename(folder.with_name("moved"))
        folder.write_text("")  # in its place: as root nothing else is refused
        seen = await page.go("/large?1150")
    assert seen.screenshot is None
    assert "screenshot" in seen.missing
    assert seen.truncated == ("tree",)
    assert (len(seen.tree), seen.tree_path) == (64 * 1024, None)


async def test_a_browser_that_died_is_started_again_and_told(short: Reader) -> None:
    page = short.at("dead")
    await page.go("/cookie")
    ended = asyncio.Event()
    (await page.plugin._engine.ready()).on("disconnected", lambda _: ended.set())
    os.kill(process(page, "--remote-debugging-pipe"), signal.SIGKILL)
    await ended.wait()
    seen = await page.go("/shown")
    assert seen.text.strip() == "null"
    assert seen.browser.state_lost is not None
    assert (await page.do()).browser.state_lost is None
    waiting = asyncio.create_task(
        page.do({"step": "wait_for", "expression": "window.never"}, step_timeout_s=20)
    )
    await page.at("other").go("/")
    os.kill(process(page, "--remote-debugging-pipe"), signal.SIGKILL)
    with pytest.raises(BrowserLost, match=r"while step 0 \(wait_for\) was done"):
        await waiting
    assert (await page.go("/")).browser.starts == 3


async def test_its_driver_may_die_too(short: Reader) -> None:
    page = short.at("driver")
    await page.go("/")
    before = (await page.do()).browser.starts
    os.kill(process(page, "run-driver"), signal.SIGKILL)
    with suppress(BrowserLost):  # its end may not have been seen yet
        await page.go("/")
    seen = await page.go("/")
    assert (seen.title, seen.browser.starts) == ("Home", before + 1)


async def test_a_sidecar_that_stands_still_is_told(site: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}/word"
        async with reader(tmp_path, site, sidecar_url=url, start_timeout_s=1) as page:
            with pytest.raises(BrowserNotStarted, match="gave no browser within 1 s") as failed:
                await page.go("/")
    assert "docker kill" in failed.value.hint
    assert "word" not in failed.value.message


@pytest.mark.slow
async def test_a_browser_that_stands_still_is_replaced(short: Reader) -> None:
    page = short.at("still")
    before = (await page.go("/")).browser.starts
    stopped = process(page, "--remote-debugging-pipe")
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(BrowserLost, match=r"did not answer any more while step 0 \(goto\)"):
        await page.go("/", timeout_s=0.5)
    seen = await page.go("/")
    assert (seen.title, seen.browser.starts) == ("Home", before + 1)
    assert not Path(f"/proc/{stopped}/root").exists()
