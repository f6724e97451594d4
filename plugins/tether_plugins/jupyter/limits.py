"""How much of what a kernel says is taken. Sizes are bytes, times seconds."""

CONTENT = 256 * 1024
"""Of its streams a cell's observation has the first and the last half of this, and of `content`."""

OUTPUTS = 500
"""Outputs that an observation has, half of them the first."""

PLAIN = 256 * 1024
"""The longest plain text of a display; of a longer one the middle is left out."""

FORM = 2 * 1024 * 1024
"""The largest other form of a display, as it travels."""

ROOM = 5 * 512 * 1024
"""All that an observation has of displays and errors, as they travel. Together with streams and
content, of which JSON may make six times their bytes, one frame holds it.
"""

PART = 512
"""What is said of a form that is left out."""

SHORT = 1024
"""The longest text of an error for which there is no room."""

FORMS = 24
"""Forms that one display may have."""

DEPTH = 40
"""How deep JSON may be nested."""

METADATA = 16 * 1024

TRACEBACK = 64 * 1024
"""The longest traceback, in each of its two forms, and other texts of an error."""

DELTA = 64 * 1024
"""The longest text of one delta."""

TOLD = 4 * 1024 * 1024
"""What a cell's events may take in all; then one says that there are no more."""

EVENTS = 5000
"""How many events a cell may have."""

NAME = 256
"""The longest display id, type of an error, and the like; of prompts it is sixteen times that."""

BACKGROUND = 16 * 1024
"""Output of earlier cells that is kept for the next observation."""

MESSAGE = 160 * 1024 * 1024
"""The largest message that is taken from a kernel; it ends the connection that one comes by."""

QUEUED_MESSAGES = 8
"""Messages that are taken in advance. The kernel waits while there are as many."""

STDERR = 16 * 1024
"""What is kept of what a kernel's process writes past Jupyter."""

MATCHES = 1000
"""Completions that are told."""
