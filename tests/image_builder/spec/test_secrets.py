"""Secrets: where they come from, and how they stay out of what is shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_image_builder.errors import SpecInvalid
from tether_image_builder.spec import Secret, Spec
from tether_image_builder.spec.secrets import (
    MAX_SECRET,
    Redactor,
    base64_forms,
    read_secret,
    where,
)


def spec(folder: Path, **fields: str) -> Spec:
    return Spec(secrets={"token": Secret(**fields)}, folder=folder)


def test_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2 ü")
    assert read_secret(spec(tmp_path, env="TOKEN"), "token") == "hunter2 ü".encode()
    assert where(Secret(env="TOKEN")) == "the variable TOKEN"


def test_a_file_beside_the_spec_elsewhere_and_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(b"\0one")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("key", str(tmp_path / "key"), "~/key"):
        assert read_secret(spec(tmp_path, file=name), "token") == b"\0one"
    assert where(Secret(file="key")) == "the file key"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"env": "TETHER_NO_SUCH_VARIABLE"}, "TETHER_NO_SUCH_VARIABLE is not set"),
        ({"env": "TETHER_EMPTY"}, "it is empty"),
        ({"file": "missing"}, "missing: No such file"),
        ({"file": "."}, "Is a directory"),
        ({"file": "large"}, "has more than 1,048,576 bytes"),
    ],
)
def test_what_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("TETHER_EMPTY", "")
    (tmp_path / "large").write_bytes(b"hunter2" * MAX_SECRET)
    with pytest.raises(SpecInvalid, match=said) as caught:
        read_secret(spec(tmp_path, **fields), "token")
    assert caught.value.data["secret"] == "token"
    assert "hunter2" not in str(caught.value)


KEY = b"-----BEGIN-----\nQUJDREVG\nR0hJSktM\n-----END-----\n"


@pytest.mark.parametrize(
    "text",
    [
        "a hunter2 b",
        "https://user:hunter2@host/",
        base64.b64encode(b"hunter2").decode(),
        base64.b64encode(b"hunter2").decode().rstrip("="),
        base64.b64encode(b"me:hunter2").decode(),
        base64.b64encode(b"a:hunter2 and more").decode(),
        b"hunter2".hex(),
        "user%3Ap%40ss%2Fword",
        'said "user:p@ss/word"',
        "QUJDREVG",
        '{"key": "' + KEY.decode().strip().replace("\n", "\\n") + '"}',
    ],
)
def test_secrets_are_taken_out_in_every_form_that_programs_print(text: str) -> None:
    redact = Redactor([b"hunter2", b"user:p@ss/word", KEY])
    shown = redact(text)
    assert "[secret]" in shown
    for secret in ("hunter2", "p@ss", "p%40ss", "QUJD", b"hunter2".hex(), "aHVudGVyM"):
        assert secret not in shown


@given(
    before=st.binary(max_size=5),
    value=st.binary(min_size=8, max_size=40),
    after=st.binary(max_size=5),
)
def test_base64_is_seen_through_wherever_a_value_stands(
    before: bytes, value: bytes, after: bytes
) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + value + after)
        assert any(form in text for form in base64_forms(value))


def test_what_is_not_secret_stays() -> None:
    redact = Redactor([b"hunter2\n\n  a\n"])
    assert redact("a hunt for a hunter") == "a hunt for a hunter"
    assert Redactor([])("anything") == "anything"
