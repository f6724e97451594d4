"""The image of what a plugin needs: its dependencies and what its set-up leaves.

It is made anew only when something changes that it may depend on, and a change of the plugin's own
code is none of that. What it depends on is told by the stage in which that code was unpacked, and
the fingerprint is taken here, over all that this stage will be given: no package can make it that
of another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

from tether_runtime_client.plugin.declaration import DOOR, InnerPath
from tether_runtime_client.protocol.message import Message
from tether_runtime_client.protocol.plugin_actions import PluginName

from .. import recipes
from ..classic import plain
from ..engine import Engine
from ..environment import EnvironmentRecipe
from ..errors import plugin_invalid
from ..fingerprint import fingerprint
from ..locks import held
from ..models import Image, ProgressReport
from ..names import FINGERPRINT_DIGITS
from .beginnings import REPOSITORY, Beginnings
from .source import links
from .stage import PluginStage, say
from .wheels import stand_in, wheel_name

NEEDS_LABEL = "tether.needs"
BASE_LABEL = "tether.needs.base"
_FOR_VERSION_LABEL = "tether.needs.version"
_BYTES_LABEL = "tether.needs.bytes"
_NOT_FOR_NEEDS = ("Dockerfile", "recipe/package.py", "recipe/requirements.py")
_TOLD = "/made.json"
LARGEST = 1 << 20
_LARGEST_PACKAGE = 1 << 30

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]


class PackageNeeds(Message):
    """What a package says that it depends on, in its own words."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}$")]
    extras: Annotated[str, Field(pattern=r"^(\[[A-Za-z0-9._,-]*\])?$")]
    requires: tuple[Line, ...]
    provides: tuple[Line, ...]


class Needs(Message):
    """What a stage says that a plugin needs.

    Attributes:
        name: the plugin's.
        folder: its package's, in the folder of Python's packages.
        pip, apt, files, setup: of its declaration.
        whole: the result has all of the package, because any of it may be needed for it.
        package: what the package depends on, if anything.
    """

    name: PluginName
    folder: Annotated[str, Field(pattern=r"^\w+(/\w+)*$")]
    pip: tuple[str, ...]
    apt: tuple[str, ...]
    files: dict[InnerPath, InnerPath]
    setup: InnerPath | None
    whole: bool
    package: PackageNeeds | None


class _Told(Message):
    """What the stage says that it did."""

    bytes: int
    warnings: tuple[str, ...]
    for_version: str | None


@dataclass(frozen=True)
class NeedsImage:
    """What a plugin needs, as an image."""

    tag: str
    bytes: int
    reused: bool


@dataclass(frozen=True)
class NeedsRecipe:
    """All that such an image is made of; `said` is what the plugin is called in errors."""

    needs: Needs
    files: Mapping[str, bytes]
    executable: frozenset[str]
    said: str
    environment: EnvironmentRecipe

    @classmethod
    def read(
        cls, engine: Engine, image: str, name: str, said: str, environment: EnvironmentRecipe
    ) -> NeedsRecipe:
        """Takes what a stage left in an image; it may have left anything.

        Raises:
            PluginInvalid: it is not what such a stage leaves.
        """
        with engine.files(image) as there:
            found = there.folder(f"/needs/{name}", largest=_LARGEST_PACKAGE)
        if found is None:
            raise plugin_invalid(said, f"its package has more than {_LARGEST_PACKAGE >> 30} GiB")
        files, executable = found
        try:
            needs = Needs.model_validate_json(files.pop("needs.json", b""), strict=True)
            if needs.name != name:
                raise ValueError(f"it is of {needs.name!r}")
        except ValueError as problem:
            reason = f"its stage left no account of what it needs, or a wrong one ({problem})"
            raise plugin_invalid(said, reason) from None
        return cls(needs, files, frozenset(executable), said, environment)

    @cached_property
    def fingerprint(self) -> str:
        """Over all that the stage is given; a package's version decides on nothing there."""
        package = self.needs.package
        unversioned = package and package.model_copy(update={"version": "0"})
        needs = self.needs.model_copy(update={"package": unversioned})
        parts: dict[str, bytes | str] = {
            "needs": needs.model_dump_json(),
            "executable": json.dumps(sorted(self.executable)),
            "environment": self.environment.described.base_image,
            "platform": self.environment.platform,
            "door": str(DOOR),
        }
        given = {f"/{name}": content for name, content in {**self.files, **links()}.items()}
        recipe = recipes.plugin_recipe_files().items()
        made_by = {name: content for name, content in recipe if name not in _NOT_FOR_NEEDS}
        return fingerprint({**parts, **given, **made_by})

    @property
    def tag(self) -> str:
        """What the image is called."""
        name, environment = self.needs.name.replace("_", "-"), self.environment.described.name
        return (
            f"{REPOSITORY}-{name.strip('-')}-needs-{environment}"
            f":{self.fingerprint[:FINGERPRINT_DIGITS]}"
        )

    @property
    def _stage(self) -> PluginStage:
        return PluginStage(self.tag, self.said, self.environment)

    def find(self, engine: Engine) -> NeedsImage | None:
        """The image, if it is there.

        Raises:
            PluginInvalid: an image of this name was made for something else.
        """
        found = engine.find(self.tag)
        if found is None:
            return None
        self._stage.check(found.labels, found.platform, self.fingerprint)
        return self._described(found) if self._is_for_this(found) else None

    def _is_for_this(self, image: Image) -> bool:
        """A package that what it depends on depends on is chosen with by its version."""
        version = image.labels.get(_FOR_VERSION_LABEL, "")
        return not version or (
            self.needs.package is not None and version == self.needs.package.version
        )

    def _described(self, image: Image) -> NeedsImage:
        size = image.labels.get(_BYTES_LABEL, "")
        return NeedsImage(self.tag, int(size) if size.isdecimal() else image.size, True)

    def ensure(self, engine: Engine, report: ProgressReport, beginnings: Beginnings) -> NeedsImage:
        """Builds the image where it is missing, or `no_cache` asks for it. Two at once build once.

        Raises:
            PluginInvalid: it leads out of its folder, or is not for this environment.
            BuildFailed: pip, apt or its set-up failed.
            EnvironmentUnavailable: the stage for it cannot be had.
        """
        made = None if beginnings.options.no_cache else self.find(engine)
        if made is not None:
            return made

        def waiting() -> None:
            say(report, f"waiting for another build of what {self.needs.name} needs")

        with held(self.tag, on_wait=waiting, stop=engine.stop):
            made = None if beginnings.options.no_cache else self.find(engine)
            return made if made is not None else self._build(engine, report, beginnings)

    def _build(self, engine: Engine, report: ProgressReport, beginnings: Beginnings) -> NeedsImage:
        say(report, f"making an image of what {self.needs.name} needs, once for this engine")
        stage = self._stage.built(
            engine,
            self._given(),
            self.executable,
            report,
            beginnings,
            dockerfile="recipe/Dockerfile.needs",
            arguments={"PLUGIN": self.needs.name},
        )
        with stage as unchecked:
            told = self._read(engine, unchecked, report)
            labels = {
                NEEDS_LABEL: self.needs.name,
                BASE_LABEL: self.environment.described.base_image,
                _BYTES_LABEL: str(told.bytes),
                **({_FOR_VERSION_LABEL: told.for_version} if told.for_version else {}),
            }
            text = f"FROM {unchecked}\n"
            self._stage.named(engine, text, self.fingerprint, labels, report)
        return NeedsImage(self.tag, told.bytes, False)

    def _given(self) -> dict[str, bytes]:
        package = self.needs.package
        given = {**self.files, **links(), "needs.json": self.needs.model_dump_json().encode()}
        if package is not None:
            name = f"stand-in/{wheel_name(package.name, package.version)}"
            given[name] = stand_in(
                package.name, package.version, package.requires, package.provides
            )
        return given

    def _read(self, engine: Engine, image: str, report: ProgressReport) -> _Told:
        with engine.files(image) as files:
            found = files.read(_TOLD, largest=LARGEST)
        try:
            told = _Told.model_validate_json(found.content if found is not None else b"")
            package = self.needs.package
            if told.for_version not in (None, package and package.version):
                raise ValueError(f"it is for the version {told.for_version!r:.100}")
        except ValueError as problem:
            reason = f"its stage left no list of what it did, or a wrong one ({problem})"
            raise plugin_invalid(self.said, reason) from None
        for line in told.warnings:
            say(report, f"[Warning] {plain(line)}")
        say(report, f"what {self.needs.name} needs has {told.bytes / 1e6:.1f} MB")
        return told
