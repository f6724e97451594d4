from __future__ import annotations

import pytest

from tether_runtime_client.shell import UnknownKey
from tether_runtime_client.shell.keys import key_bytes


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("C-c", b"\x03"),
        ("c-C", b"\x03"),
        ("^C", b"\x03"),
        ("^", b"^"),
        ("C-d", b"\x04"),
        ("C-z", b"\x1a"),
        ("C-\\", b"\x1c"),
        ("C-]", b"\x1d"),
        ("C-_", b"\x1f"),
        ("C-@", b"\0"),
        ("C-Space", b"\0"),
        ("C-?", b"\x7f"),
        ("Enter", b"\r"),
        ("enter", b"\r"),
        ("Tab", b"\t"),
        ("Escape", b"\x1b"),
        ("Up", b"\x1b[A"),
        ("PageDown", b"\x1b[6~"),
        ("F12", b"\x1b[24~"),
        ("M-x", b"\x1bx"),
        ("M-C-c", b"\x1b\x03"),
        ("C-M-c", b"\x1b\x03"),
        ("Ctrl+C", b"\x03"),
        ("ctrl-c", b"\x03"),
        ("Control+Alt+x", b"\x1b\x18"),
        ("M--", b"\x1b-"),
        ("ArrowUp", b"\x1b[A"),
        ("Return", b"\r"),
        ("PgDn", b"\x1b[6~"),
        ("C-Left", b"\x1b[1;5D"),
        ("M-Right", b"\x1b[1;3C"),
        ("Ctrl+Shift+End", b"\x1b[1;6F"),
        ("C-Delete", b"\x1b[3;5~"),
        ("S-F1", b"\x1b[1;2P"),
        ("S-F5", b"\x1b[15;2~"),
        ("Shift+Tab", b"\x1b[Z"),
        ("Backtab", b"\x1b[Z"),
        ("M-Enter", b"\x1b\r"),
        ("Shift+Enter", b"\r"),
        ("Alt+Backspace", b"\x1b\x7f"),
        ("Shift+a", b"A"),
        ("S", b"S"),
        ("+", b"+"),
        ("a", b"a"),
        ("-", b"-"),
        ("é", "é".encode()),
    ],
)
def test_known(key: str, sent: bytes) -> None:
    assert key_bytes(key) == sent


@pytest.mark.parametrize(
    "key",
    ["", "C-", "M-", "C-1", "C-é", "C-cc", "Nonsense", "\0", "ab", "C--", "S-1", "C-Tab", "Ctrl+"],
)
def test_unknown(key: str) -> None:
    with pytest.raises(UnknownKey) as caught:
        key_bytes(key)
    assert "C-c" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("Up", b"\x1bOA"),
        ("end", b"\x1bOF"),
        ("M-Left", b"\x1b[1;3D"),
        ("PageUp", b"\x1b[5~"),
        ("F1", b"\x1bOP"),
        ("Enter", b"\r"),
        ("C-c", b"\x03"),
    ],
)
def test_cursor_keys_as_screen_programs_ask_for_them(key: str, sent: bytes) -> None:
    assert key_bytes(key, application=True) == sent
