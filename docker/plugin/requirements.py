"""What a package says that it depends on, read with pip's own library."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Need:
    """A requirement; `text` is as the package has it."""

    text: str

    @property
    def name(self) -> str:
        """As an index has it."""
        return canonicalize_name(Requirement(self.text).name)

    def applies(self, extras: Sequence[str]) -> bool:
        """Whether it counts here, with these extras of its package."""
        marker = Requirement(self.text).marker
        return marker is None or any(marker.evaluate({"extra": one}) for one in ("", *extras))

    def takes(self, version: str) -> bool:
        """Whether a version is one of those."""
        return Requirement(self.text).specifier.contains(version, prereleases=True)


def parsed(distribution: Distribution) -> list[Need]:
    return [Need(text) for text in distribution.requires or ()]


def that_apply(distribution: Distribution, extras: Sequence[str]) -> list[Need]:
    """Those that count; all of them where the package names itself, as for more of its extras."""
    needs = parsed(distribution)
    found = [need for need in needs if need.applies(extras)]
    own = canonicalize_name(distribution.name)
    return needs if any(need.name == own for need in found) else found
