"""Whether something can be downloaded by this machine: a quick look that is remembered."""

from __future__ import annotations

import base64
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request

from .memory import recall, remember

LIMIT_S = 2.0
MAX_AGE_S = 24 * 3600.0
KIND = "reached"


def why_unreachable(url: str) -> str | None:
    """What keeps a URL from being downloaded, None where nothing does.

    It takes two seconds at the most, and the answer is good for a day.
    """
    known = recall(KIND, url, max_age_s=MAX_AGE_S)
    if known is None:
        known = {"problem": _ask(url)}
        remember(KIND, url, known)
    return str(known["problem"]) if known["problem"] else None


def note_unreachable(url: str, problem: str) -> None:
    """Remembers that a URL's download failed, whatever the look at it said."""
    remember(KIND, url, {"problem": problem})


def shown(url: str) -> str:
    """A URL for people, without the name and password that may be in it."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _ask(url: str) -> str | None:
    """Asks in a thread: the library limits no look-up of a name."""
    if not url.startswith(("http://", "https://")):
        return "it is no http or https address"
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_answer(url)), daemon=True).start()
    try:
        return answers.get(timeout=LIMIT_S)
    except queue.Empty:
        return f"no answer in {LIMIT_S:g} seconds"


def _answer(url: str) -> str | None:
    """The headers are enough: what follows them is not read."""
    try:
        with urllib.request.urlopen(_request(url), timeout=LIMIT_S):
            return None
    except urllib.error.HTTPError as problem:
        problem.close()
        return f"the server answers {problem.code} {problem.reason}"
    except urllib.error.URLError as problem:
        return str(problem.reason)
    except (OSError, ValueError) as problem:
        return str(problem) or type(problem).__name__


def _request(url: str) -> urllib.request.Request:
    """A name and password in the URL go into a header: the library does not look for them there."""
    parts = urllib.parse.urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=place).geturl())
    if login:
        token = base64.b64encode(urllib.parse.unquote_to_bytes(login)).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request
