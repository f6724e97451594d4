"""What is said between a server and this plugin."""

from typing import Literal

from tether_runtime_client.plugin import Message, PluginAction, PluginEvent, PluginObservation


class PreviewConfig(Message):
    """`plugins={"preview": PreviewConfig(title="Notes")}`."""

    title: str = "Pages"


class BrokenLink(Message):
    """A link in a page that leads to no file."""

    line: int
    target: str


class PageObservation(PluginObservation):
    """A page as it is now; `url` is its path on the port `pages`."""

    observation: Literal["preview.page"] = "preview.page"
    url: str
    title: str
    words: int
    broken_links: tuple[BrokenLink, ...]


class ShowAction(PluginAction[PageObservation]):
    """Show a Markdown file; a relative path begins in the session's directory."""

    action: Literal["preview.show"] = "preview.show"
    path: str
    session: str = "default"


class BrokenLinkFound(PluginEvent):
    """Told for each broken link while a page is looked at."""

    event: Literal["preview.broken_link"] = "preview.broken_link"
    path: str
    line: int
    target: str
