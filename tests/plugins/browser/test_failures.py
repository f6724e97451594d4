"""What Playwright says, in an agent's words."""

from __future__ import annotations

import time

import pytest

from tether_plugins.browser.failures import in_words, reason_of

HIDDEN = """Locator.click: Timeout 10000ms exceeded.
Call log:
  - waiting for locator("#h")
    - locator resolved to <button id="h">Hid</button>
  - attempting click action
    2 \N{MULTIPLICATION SIGN} waiting for element to be visible, enabled and stable
      - element is not visible
    - retrying click action
    - waiting 20ms
    19 \N{MULTIPLICATION SIGN} waiting for element to be visible, enabled and stable
       - element is not visible
     - retrying click action
       - waiting 500ms
"""
NO_INPUT = """Locator.fill: Error: Element is not an <input>
Call log:
  - waiting for locator("#u")
    - locator resolved to <button id="u">Under</button>
    - fill("a password")
  - attempting fill action
    - waiting for element to be visible, enabled and editable
"""
SEVERAL = """Locator.click: Error: strict mode violation: locator("a") resolved to 2 elements:
    1) <a></a> aka locator("a").first
    2) <a></a> aka locator("a").nth(1)

Call log:
  - waiting for locator("a")
"""
REFUSED = """Page.goto: net::ERR_CONNECTION_REFUSED at http://127.0.0.1:4/
Call log:
  - navigating to "http://127.0.0.1:4/", waiting until "commit"
"""
NO_NAVIGATION = """Timeout 10000ms exceeded.
=========================== logs ===========================
waiting for navigation to "**/x" until "commit"
============================================================"""
RAISED = """Page.evaluate: Error: hm
    at eval (eval at evaluate (:370:30), <anonymous>:1:15)
    at work (http://127.0.0.1/app.js:3:5)
    at UtilityScript.evaluate (<anonymous>:370:30)"""


@pytest.mark.parametrize(
    ("kind", "problem", "reason", "words"),
    [
        (
            *("click", HIDDEN, "hidden"),
            'Timeout 10000ms exceeded: waiting for locator("#h"); locator resolved to '
            '<button id="h">Hid</button>; element is not visible',
        ),
        (
            *("fill", NO_INPUT, "other"),
            'Element is not an <input>: waiting for locator("#u"); locator resolved to '
            '<button id="u">Under</button>',
        ),
        (
            *("click", SEVERAL, "several"),
            'strict mode violation: locator("a") resolved to 2 elements:\n'
            '    1) <a></a> aka locator("a").first\n    2) <a></a> aka locator("a").nth(1)',
        ),
        ("goto", REFUSED, "network", "net::ERR_CONNECTION_REFUSED at http://127.0.0.1:4/"),
        (
            *("wait_for", NO_NAVIGATION, "timeout"),
            'Timeout 10000ms exceeded: waiting for navigation to "**/x" until "commit"',
        ),
        ("evaluate", RAISED, "script", "hm\n    at work (http://127.0.0.1/app.js:3:5)"),
        ("press", 'Keyboard.press: Unknown key: "Ctrl"', "other", 'Unknown key: "Ctrl"'),
    ],
)
def test_what_went_wrong_and_no_log_of_tries(
    kind: str, problem: str, reason: str, words: str
) -> None:
    assert in_words(Exception(problem)) == words
    assert reason_of(Exception(problem), kind) == reason


@pytest.mark.parametrize(
    "words", ["\n", "\nCall log:\n", "\nCall log:\n- a", "\n   at ", "\n=", "- \n", "waiting for "]
)
def test_a_page_s_own_words_take_no_time(words: str) -> None:
    began = time.monotonic()
    in_words(Exception("Page.evaluate: Error: " + words * 300_000))
    assert time.monotonic() - began < 5
