"""What images say of the plugins in them: one label with all of it, and one for each for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter, ValidationError

from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.protocol.errors import PluginInvalid
from tether_runtime_client.protocol.message import Message

from ..models import PluginLayer
from ..render import PLUGIN_LABEL, PLUGINS_LABEL


class LabelledPlugin(Message):
    """A plugin in an image.

    Attributes:
        installed: what its `plugin.json` says.
        image: the image of the plugin's code, by the name that it had when it was copied.
        fingerprint: of that image.
        bytes: what its files take, with those that it needs.
        needs: the image of what it needs, None where that is nothing.
        needs_bytes: what the files in that take.
    """

    installed: InstalledPlugin
    image: str
    fingerprint: str
    bytes: int
    needs: str | None = None
    needs_bytes: int = 0

    @property
    def name(self) -> str:
        """The plugin's."""
        return self.installed.declaration.name

    def layer(
        self, *, reused: bool, needs_reused: bool = True, seconds: float = 0.0
    ) -> PluginLayer:
        """The same as it is told to callers."""
        return PluginLayer(
            name=self.name,
            version=self.installed.version,
            declaration=self.installed.declaration,
            image=self.image,
            bytes=self.bytes,
            reused=reused,
            seconds=seconds,
            needs_image=self.needs,
            needs_bytes=self.needs_bytes,
            needs_reused=needs_reused,
        )


_LIST = TypeAdapter(tuple[LabelledPlugin, ...])


def plugin_labels(plugins: Iterable[LabelledPlugin]) -> dict[str, str]:
    """The labels of an image that has these plugins; none without any."""
    ordered = sorted(plugins, key=lambda plugin: plugin.name)
    if not ordered:
        return {}
    versions = {f"{PLUGIN_LABEL}{each.name}": each.installed.version for each in ordered}
    return {**versions, PLUGINS_LABEL: _LIST.dump_json(tuple(ordered)).decode()}


def plugins_in(labels: Mapping[str, str]) -> tuple[LabelledPlugin, ...]:
    """The plugins that an image's labels tell of, by name.

    Raises:
        PluginInvalid: that label was written by something else.
    """
    try:
        return _LIST.validate_json(labels.get(PLUGINS_LABEL, "[]"))
    except ValidationError as problem:
        reason = problem.errors(include_url=False)[0]["msg"]
        raise PluginInvalid(
            f"an image's label {PLUGINS_LABEL} cannot be read: {reason}",
            hint="It is of another version of Tether: build the image again with --no-cache",
        ) from None


def readable_plugins(labels: Mapping[str, str]) -> tuple[LabelledPlugin, ...]:
    """The same, and none where its labels cannot be read."""
    try:
        return plugins_in(labels)
    except PluginInvalid:
        return ()
