"""What `spawn` is given, as an action."""

from __future__ import annotations

from typing import cast

import pytest

from tether_server.spawn_options import SpawnOptions, start_action


def test_every_option_goes_into_the_action() -> None:
    options: SpawnOptions = {
        **{"stdin": True, "tty": True, "detach": True, "env": {"A": "b"}, "cwd": "/srv"},
        **{"user": "1", "group": "2", "umask": 0o27, "nice": 3, "timeout_s": 4.5},
    }
    action = start_action(["ls", "-l"], {**options, "size": (7, 20)})
    assert action.argv == ("ls", "-l")
    assert (action.rows, action.cols) == (7, 20)
    for name, value in options.items():
        assert getattr(action, name) == value
    assert {*options, "size"} == SpawnOptions.__annotations__.keys()


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match=r"spawn\(\) got an unexpected keyword argument 'cdw'"):
        start_action(["ls"], cast(SpawnOptions, {"cdw": "/tmp"}))


def test_a_size_is_of_a_terminal() -> None:
    with pytest.raises(ValueError, match="needs tty=True"):
        start_action(["ls"], {"size": (24, 80)})
