"""What a sandbox can be asked to be: anything else is refused before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from tether_server import EventStreamRuntime


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"transport": "smoke"},
            "no transport 'smoke'; there are auto, unix, netns, tcp, exec, dial, ssh",
        ),
        ({"inject": "x"}, "no inject 'x'; there are build, mount"),
        ({"resources": {"memory": "1g"}}, "no resource 'memory'; there are .*mem_limit"),
        ({"resources": {"ports": {}}}, "no resource 'ports'"),
        ({"mounts": ["/tmp"]}, "'/tmp' is no mount: it has the form HOST:CONTAINER"),
        ({"mounts": ["/tmp:relative"]}, "is no mount"),
        ({"env": {"A": 1}}, r"env\['A'\] has to be a text without NUL, and is 1"),
        ({"env": {"A=B": "1"}}, "'A=B', which is no name of a variable"),
        ({"lease_s": -1}, "lease_s has to be a number of seconds above 0, and is -1"),
        ({"start_timeout_s": 0}, "start_timeout_s has to be a number of seconds above 0"),
        ({"start_timeout_s": float("nan")}, "start_timeout_s has to be"),
    ],
)
def test_what_there_is_not(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EventStreamRuntime("image", **options)


def test_an_image_without_a_name() -> None:
    with pytest.raises(ValueError, match="the image has no name"):
        EventStreamRuntime("")


def test_resources_that_there_are() -> None:
    resources = {"mem_limit": "1g", "cap_add": ["SYS_PTRACE"], "read_only": True}
    EventStreamRuntime("image", resources=resources, transport="exec")
