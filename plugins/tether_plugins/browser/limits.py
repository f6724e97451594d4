"""How much of what a page says is taken. Sizes are characters of text, or bytes."""

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

MESSAGE = 2000
"""The longest text of an error."""

OBSERVATIONS = 500
"""Observations whose files are kept."""


VIDEO_SIDE = 1280
"""The longer side of a recording, in pixels; a larger viewport is scaled down."""

VIDEO_BITRATE = 1_000_000
"""Bits per second of pictures that change without end."""


def cut(text: object, most: int) -> str:
    """A text of no more than so many characters, which says that it was cut."""
    whole = text if isinstance(text, str) else repr(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"
