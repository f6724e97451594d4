"""The options of a transfer, and what each side is told of them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol.attributes import FileAttributes, Receiving
from tether_runtime_client.protocol.errors import FileError, InvalidAction, UnknownUser
from tether_server import EventStreamRuntime, FileReadAction
from tether_server.transfer_rules import Rules, find_owner


def test_the_defaults_ask_for_nothing() -> None:
    rules = Rules.of()
    assert rules.receiving() == Receiving("on this machine", "refuse", None, False)
    assert rules.download_action("/x").model_dump(exclude_defaults=True) == {"path": "/x"}
    action = rules.upload_action("/x", "file", FileAttributes(mode=0o644))
    assert action.attributes == FileAttributes(mode=0o644)
    assert (action.links, action.owner, action.xattrs) == ("refuse", None, False)


def test_links_that_are_followed_are_not_expected() -> None:
    rules = Rules.of(links="follow")
    assert rules.packing().follow_links
    assert rules.download_action("/x").follow_links
    assert rules.receiving().links == "refuse"
    assert rules.upload_action("/x", "tree", None).links == "refuse"


def test_one_pattern_needs_no_list() -> None:
    rules = Rules.of(include="*.py", exclude=["a", "b"])
    assert (rules.include, rules.exclude) == (("*.py",), ("a", "b"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"links": "perhaps"}, "is none of refuse, keep, follow, skip"),
        ({"owner": ""}, "names nobody"),
        ({"include": [""]}, "can match nothing"),
        ({"exclude": "../up"}, "can match nothing"),
    ],
)
def test_what_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidAction, match=message) as caught:
        Rules.of(**options)
    assert caught.value.hint


async def test_what_is_refused_says_what_to_do(tmp_path: Path) -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        with pytest.raises(TypeError, match=r"a transfer has no option 'link': it has .*links"):
            await runtime.upload(tmp_path, "/tmp/x", link="skip")  # type: ignore[call-arg]
        with pytest.raises(FileError, match=r"neither file nor folder.*`head -c`"):
            await runtime.download("/dev/null", tmp_path / "x")
        with pytest.raises(InvalidAction, match=r"are no range\. Lines count from 1"):
            await runtime.run(FileReadAction(path="/etc/passwd", start_line=3, end_line=2))


def test_owners_of_this_machine() -> None:
    me = pwd.getpwuid(os.getuid())
    assert find_owner(me.pw_name) == (me.pw_uid, me.pw_gid)
    assert find_owner(f"{me.pw_uid}") == (me.pw_uid, me.pw_gid)
    assert find_owner("1234:5678") == (1234, 5678)
    assert find_owner(f"{me.pw_name}:root") == (me.pw_uid, 0)
    for unknown in ("no such", "0:no such", "4000000000", ":", "9" * 30):
        with pytest.raises(UnknownUser, match="on this machine"):
            find_owner(unknown)
