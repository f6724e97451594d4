"""How much of what a page says is taken. Sizes are characters of text, or bytes."""

import re

TEXT = 64 * 1024
"""Of the tree and of the visible text an observation has so much; a file has the rest."""

WHOLE_TEXT = 16 * 1024 * 1024
"""The most of either that is taken from a page at all."""

ENTRIES = 100
"""Console messages, failed requests, dialogs and downloads that an observation has, of each."""

ENTRY = 2000
"""The longest text of one of them."""

URL = 4096
NAME = 256
TITLE = 1000

RESULT = 64 * 1024
"""The longest value of an `evaluate` step, as JSON."""

RESULTS = 256 * 1024
"""All of them together."""

FRAMES = 50
"""Frames whose visible text is taken."""

MARKS = 300
"""Numbers on a screenshot."""

UNSWEPT = 512 * 1024
"""So much of trees has been made of a page when the garbage of it, some hundred times as much, is
collected."""

MESSAGE = 2000
"""The longest text of an error."""

OBSERVATIONS = 500
"""Observations whose files are kept."""


VIDEO_SIDE = 1280
"""The longer side of a recording, in pixels; a larger viewport is scaled down."""

VIDEO_BITRATE = 1_000_000
"""Bits per second of pictures that change without end."""


FLOOD = 5000
"""Console messages of one page within `FLOOD_S` seconds that end it; a request counts as 3 of them,
a download as 50, a dialog or a window that is refused as 100."""

FLOOD_S = 5.0

OFTEN = 5
"""Dialogs of a page that lets none come in its place."""

PICTURE_SIDE = 16_384
PICTURE = 24_000_000
"""Pixels of a screenshot: what is right of it or below is cut off."""

_UNSPEAKABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What moves a terminal's cursor, ends lines for some readers and not for others, or is no text."""


def clean(text: str) -> str:
    """A page's text without control characters but tabs and newlines."""
    return _UNSPEAKABLE.sub("\ufffd", text)


def cut(text: object, most: int) -> str:
    """A page's text, clean, of no more than so many characters; it says that it was cut."""
    whole = text if isinstance(text, str) else repr(text)
    return clean(whole if len(whole) <= most else f"{whole[: most - 1]}…")
