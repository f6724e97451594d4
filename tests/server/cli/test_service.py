"""An image's own program that ends beside the client is heard of."""

from __future__ import annotations

import pytest

from tether_server import EntrypointEnded
from tether_server.cli.service import SHOWN_LINES, SHOWN_WIDTH, in_words

from .conftest import Tether, said


def test_its_end_in_words() -> None:
    output = "".join(f"line {n}\n" for n in range(100)) + "\x1b[2J" + "x" * 5000
    message, shown = in_words(EntrypointEnded(reason="exit code 3", exit_code=3, output=output))
    assert message == "the image's own program has ended: exit code 3"
    lines = shown.split("\n")
    assert (len(lines), lines[0]) == (SHOWN_LINES, "line 91")
    assert lines[-1].strip().startswith("\\e[2Jxxx")
    assert all(len(line.strip()) <= SHOWN_WIDTH for line in lines)
    assert in_words(EntrypointEnded(reason="signal 9"))[1] == "it wrote nothing"


@pytest.mark.engine
def test_its_end_is_said(tether: Tether, debian: str) -> None:
    beside = ("run", "--inject", "mount", "--entrypoint", "beside", debian, "--")
    done = tether(*beside, "sh", "-c", "sleep 2; echo done")  # its CMD is a shell without input
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert "the image's own program has ended: exit code 0" in said(done.stderr)
