"""Which observation answers which action."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from tether_runtime_client.protocol import actions as a
from tether_runtime_client.protocol import observations as o
from tether_runtime_client.protocol.answers import ANSWERS, check_answer
from tether_runtime_client.protocol.errors import UnexpectedFrame

EVERY_ACTION = get_args(get_args(a.AnyAction)[0])


@pytest.mark.parametrize("action", EVERY_ACTION)
def test_it_is_the_one_that_the_action_names(action: type[a.Action]) -> None:
    named = re.search(r"→ `(\w+)`", action.__doc__ or "")
    assert named is not None
    answer = ANSWERS[action]
    classes = answer if isinstance(answer, tuple) else (answer,)
    assert named[1] in {each.__name__ for each in classes}


def test_there_is_no_other_action() -> None:
    assert set(ANSWERS) == set(EVERY_ACTION)


def test_no_other_observation_is_an_answer() -> None:
    done = o.DoneObservation()
    assert check_answer(a.SetEnvAction(env={}), done) is done
    with pytest.raises(UnexpectedFrame, match="for FileReadAction is a DoneObservation"):
        check_answer(a.FileReadAction(path="x"), done)
