"""The guide's table of options says what the signature says."""

from __future__ import annotations

import inspect
import re

from tether_server import EventStreamRuntime
from tether_server.sync import RuntimeOptions

from ..conftest import ROOT

ROW = re.compile(r"\| `(\w+)` \| .+ \| (.+) \|")


def test_the_table_of_options() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text()
    table = guide.split("\n## Options\n")[1].split("\n## ")[0]
    described = dict(ROW.findall(table))
    parameters = list(inspect.signature(EventStreamRuntime).parameters.values())
    assert list(described) == [parameter.name for parameter in parameters]
    for parameter in parameters:
        shown = "does nothing" if callable(parameter.default) else f"`{parameter.default!r}`"
        assert described[parameter.name] == shown
    assert set(described) == {"image", *RuntimeOptions.__annotations__}
