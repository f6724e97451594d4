"""Scores only go up: what an action starts is taken before the client."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tether_runtime_client.oom_score import CHILD_OOM_SCORE, raise_oom_score


def test_a_score_is_raised_and_never_lowered() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        score = Path(f"/proc/{child.pid}/oom_score_adj")
        raise_oom_score(child.pid)
        assert int(score.read_text()) >= CHILD_OOM_SCORE
        raise_oom_score(child.pid, 900)
        raise_oom_score(child.pid)
        assert int(score.read_text()) == 900
        child.kill()


def test_a_process_that_is_gone() -> None:
    raise_oom_score(2**22 + 1)
