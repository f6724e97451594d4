"""What a stage says, which a plugin's set-up may have written: it is bounded, and only words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tether_image_builder.engine import EngineRefusal, ImageFile
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.models import BuildProgress
from tether_image_builder.plugins.image import PluginRecipe
from tether_image_builder.plugins.needs import NeedsRecipe
from tether_image_builder.plugins.source import PluginSource
from tether_image_builder.plugins.stage import own_lines
from tether_runtime_client.protocol.errors import BuildFailed, EnvironmentUnavailable, PluginInvalid

GOOD: dict[str, Any] = {
    "installed": {"declaration": {"name": "lamp", "door": 1}, "version": "1.0"},
    "bytes": 5,
    "needs": True,
}
NEEDS: dict[str, Any] = {
    "name": "lamp",
    "folder": "lamp_package",
    "pip": ["pyzmq"],
    "apt": [],
    "files": {},
    "setup": "setup.sh",
    "whole": False,
    "package": {"name": "lamp", "version": "1.0", "extras": "", "requires": [], "provides": []},
}


class Files:
    """The files of an image."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def folder(self, path: str, *, largest: int) -> tuple[dict[str, bytes], set[str]]:
        """A folder that has it."""
        assert path == "/needs/lamp"
        given = {"site/lamp_package/setup.sh": b"true", "site/lamp_package/data": b"1"}
        return {"needs.json": self._content, **given}, {"site/lamp_package/data"}

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


def read(recipe: PluginRecipe, made: object) -> Any:
    content = made if isinstance(made, bytes) else json.dumps(made).encode()
    return recipe._read(Engine(content), "image")  # type: ignore[arg-type]


def needs(recipe: PluginRecipe, **fields: Any) -> NeedsRecipe:
    engine: Any = Engine(json.dumps({**NEEDS, **fields}).encode())
    return NeedsRecipe.read(engine, "image", "lamp", "the lamp", recipe.environment)


def told(recipe: PluginRecipe, made: object, said: list[BuildProgress] | None = None) -> Any:
    engine: Any = Engine(json.dumps(made).encode())
    return needs(recipe)._read(engine, "image", (said if said is not None else []).append)


def test_what_was_made(recipe: PluginRecipe) -> None:
    [plugin] = read(recipe, {"plugins": [GOOD]})
    assert (plugin.installed.declaration.name, plugin.bytes) == ("lamp", 5)
    said: list[BuildProgress] = []
    made = {"bytes": 5, "warnings": ["\x1b[31mred\x07"], "for_version": None}
    assert told(recipe, made, said).bytes == 5
    assert [str(step) for step in said] == ["[Warning] red", "what lamp needs has 0.0 MB"]


def changed(**fields: Any) -> dict[str, Any]:
    declaration: Mapping[str, Any] = fields.pop("declaration", {})
    installed = {**GOOD["installed"], **fields}
    installed["declaration"] = {**installed["declaration"], **declaration}
    return {"plugins": [{**GOOD, "installed": installed}]}


@pytest.mark.parametrize(
    "made",
    [
        b"",
        b"[" * 100_000,
        b" " * (2 << 20),
        [],
        {"plugins": 1},
        {"plugins": [{**GOOD, "bytes": "many"}]},
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
    "made",
    [
        {"name": "oven"},
        {"folder": "../bin"},
        {"setup": "/bin/sh"},
        {"pip": "pyzmq"},
        {"more": 1},
        {"package": {**NEEDS["package"], "version": "../1"}},
        {"package": {**NEEDS["package"], "requires": ["a\nRequires-Dist: b"]}},
    ],
)
def test_needs_that_cannot_be_believed(recipe: PluginRecipe, made: dict[str, Any]) -> None:
    with pytest.raises(PluginInvalid, match="left no account of what it needs, or a wrong one"):
        needs(recipe, **made)


@pytest.mark.parametrize(
    "made",
    [
        {"bytes": "many", "warnings": [], "for_version": None},
        {"bytes": 5, "warnings": [], "for_version": "2.0"},
    ],
)
def test_an_account_that_cannot_be_believed(recipe: PluginRecipe, made: object) -> None:
    with pytest.raises(PluginInvalid, match="left no list of what it did, or a wrong one"):
        told(recipe, made)


def test_what_decides_on_what_is_needed(recipe: PluginRecipe) -> None:
    """A package's version does not, nor what the plugin is called in errors."""
    package = NEEDS["package"]
    same = [
        needs(recipe),
        needs(recipe, package={**package, "version": "2.0"}),
        replace(needs(recipe), said="another lamp"),
    ]
    other = [
        needs(recipe, pip=["pyzmq", "more"]),
        needs(recipe, apt=["jq"]),
        needs(recipe, setup=None),
        needs(recipe, whole=True),
        needs(recipe, package={**package, "requires": ["more"]}),
        needs(recipe, package={**package, "extras": "[more]"}),
        needs(recipe, package=None),
        replace(needs(recipe), executable=frozenset()),
        replace(needs(recipe), files={"site/lamp_package/setup.sh": b"false"}),
        replace(needs(recipe), environment=EnvironmentRecipe.load("portable", "linux/arm64")),
    ]
    assert len({each.tag for each in same}) == 1
    assert len({each.tag for each in (*same, *other)}) == 1 + len(other)
    assert same[0].tag.startswith("tether-plugin-lamp-needs-portable:")


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
        raise recipe._stage.failure(EngineRefusal("engine", log))


def test_the_lines_of_what_failed() -> None:
    log = ["Step 1", "progress: a", "1", "progress: b", "2", "3", "plugin: why"]
    assert own_lines([*log, "Removing intermediate container 1"]) == ["2", "3"]
