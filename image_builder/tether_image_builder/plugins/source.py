"""What an image of a plugin is made of: what its build stage is given, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata

from tether_runtime_client.plugin.declaration import Declaration

from .. import recipes
from ..fingerprint import fingerprint
from .wheels import stand_in, wheel_name

# No version of an index: pip takes this one, and nothing else, for Tether itself.
_STAND_IN = "+sandbox"


@dataclass(frozen=True)
class PluginSource:
    """A package with plugins, or one plugin of it.

    Attributes:
        slug: a part of the image's name.
        said: what it is called in progress and errors.
        order: what the build stage is told of it; see docker/plugin/package.py.
        files: what it is given, by path.
        executable: which of these can be executed.
        declarations: those that can be read beforehand.
    """

    slug: str
    said: str
    order: Mapping[str, str | None]
    files: Mapping[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()
    declarations: tuple[Declaration, ...] = ()

    @property
    def context(self) -> dict[str, bytes]:
        """The folder `plugin` of the build context, by path in it."""
        order = {**self.order, "said": self.said}
        return {**self.files, **links(), "order.json": json.dumps(order, sort_keys=True).encode()}

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits over all that decides on what is installed."""
        said = [declaration.model_dump(mode="json") for declaration in self.declarations]
        others: dict[str, bytes | str] = {
            "executable": json.dumps(sorted(self.executable)),
            "declarations": json.dumps(said, sort_keys=True),
        }
        return fingerprint({**others, **{f"/{name}": data for name, data in self.context.items()}})


def links() -> dict[str, bytes]:
    """What meets a package's dependency on Tether: the sandbox has the client already."""
    version = f"{metadata.version(recipes.DISTRIBUTION)}{_STAND_IN}"
    return {
        f"links/{wheel_name(recipes.DISTRIBUTION, version)}": stand_in(
            recipes.DISTRIBUTION, version
        ),
        "links/constraints.txt": f"{recipes.DISTRIBUTION}=={version}\n".encode(),
    }
