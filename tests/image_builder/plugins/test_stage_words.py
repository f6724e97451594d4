"""What a stage says, which a plugin's set-up may have written: it is bounded, and only words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tether_image_builder.engine import EngineRefusal, ImageFile
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.models import BuildProgress
from tether_image_builder.plugins.image import PluginRecipe, own_lines
from tether_image_builder.plugins.source import PluginSource
from tether_runtime_client.protocol.errors import BuildFailed, EnvironmentUnavailable, PluginInvalid

GOOD: dict[str, Any] = {
    "installed": {"declaration": {"name": "lamp", "door": 1}, "version": "1.0"},
    "bytes": 5,
}


class Files:
    """The files of an image."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, path: str, *, largest: int) -> ImageFile | None:
        """Its only one."""
        return None if len(self._content) > largest else ImageFile(path, self._content)


class Engine:
    """Has one image with one file."""

    def __init__(self, content: bytes) -> None:
        self._files = Files(content)

    @contextmanager
    def files(self, _: str) -> Iterator[Files]:
        """A look at it."""
        yield self._files


@pytest.fixture(scope="module")
def recipe() -> PluginRecipe:
    order = {"kind": "requirement", "requirement": "lamp", "plugin": "lamp"}
    environment = EnvironmentRecipe.load("portable", "linux/amd64")
    return PluginRecipe(PluginSource("lamp", "the lamp", order), environment)


def read(recipe: PluginRecipe, made: object, said: list[BuildProgress] | None = None) -> Any:
    content = made if isinstance(made, bytes) else json.dumps(made).encode()
    report = (said if said is not None else []).append
    return recipe._read(Engine(content), "image", report)  # type: ignore[arg-type]


def test_what_was_made(recipe: PluginRecipe) -> None:
    said: list[BuildProgress] = []
    [plugin] = read(recipe, {"plugins": [GOOD], "warnings": ["\x1b[31mred\x07"]}, said)
    assert (plugin.name, plugin.image, plugin.bytes) == ("lamp", recipe.tag, 5)
    assert [str(step) for step in said] == ["[Warning] red", "the plugin 'lamp' 1.0 has 0.0 MB"]


def changed(**fields: Any) -> dict[str, Any]:
    declaration: Mapping[str, Any] = fields.pop("declaration", {})
    installed = {**GOOD["installed"], **fields}
    installed["declaration"] = {**installed["declaration"], **declaration}
    return {"plugins": [{**GOOD, "installed": installed}], "warnings": []}


@pytest.mark.parametrize(
    "made",
    [
        b"",
        b"[" * 100_000,
        b" " * (2 << 20),
        [],
        {"plugins": 1, "warnings": []},
        {"plugins": [{**GOOD, "bytes": "many"}], "warnings": []},
        changed(version='1"\nRUN rm -rf /'),
        changed(declaration={"name": "../x"}),
        changed(declaration={"name": "oven"}),
        changed(declaration={"ports": {f"p{n}": 8000 for n in range(5000)}}),
        changed(other=1),
    ],
)
def test_what_cannot_be_believed(recipe: PluginRecipe, made: object) -> None:
    with pytest.raises(PluginInvalid, match="left no list of what it did, or a wrong one"):
        read(recipe, made)


@pytest.mark.parametrize(
    ("log", "error", "said"),
    [
        (['plugin invalid: ["\\u001b[1mbad", "do this"]'], PluginInvalid, "image: bad. do this"),
        (["plugin invalid: not JSON"], PluginInvalid, "image: not JSON"),
        (["plugin invalid: [1, 2, 3]"], PluginInvalid, r"image: \[1, 2, 3\]"),
        (["progress: a", "line", "plugin: why"], BuildFailed, "installed: why\n  line\n"),
        (["recipe: no archive"], EnvironmentUnavailable, "could not be installed: no archive"),
        (["anything"], BuildFailed, "installed: engine\n  anything\n"),
    ],
)
def test_why_it_failed(
    recipe: PluginRecipe, log: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        raise recipe._failure(EngineRefusal("engine", log))


def test_the_lines_of_what_failed() -> None:
    log = ["Step 1", "progress: a", "1", "progress: b", "2", "3", "plugin: why"]
    assert own_lines([*log, "Removing intermediate container 1"]) == ["2", "3"]
