"""Numbers both ends agree on. Sizes are bytes, times are seconds."""

PROTOCOL_VERSION = 1
"""Raised whenever a frame, action or observation changes shape; both ends must have the same."""

PLUGIN_DOOR = 1
"""The version of the interface between plugins and the client. A plugin names the one that it was
written for; it is raised when a plugin written for the one before would not work."""

MAX_FRAME = 8 * 1024 * 1024
"""The longest websocket message either end takes. Longer content travels as an upload."""

MAX_HANDSHAKE_FRAME = 320 * 1024
"""The same for a peer that has not shown yet that it knows the secret, or a ticket. The first
bytes of a transfer may come right behind its ticket: they fit too."""

MAX_EPOCHS = 1024
"""The most client lives one side tells the other about. Each has at least one event."""

MAX_SEQUENCE = 2**53 - 1
"""The highest number of an event; exact in every JSON reader."""

MAX_TEXT = 4000
"""The most characters of an error's message or hint on a connection."""

DELTA_SIZE = 256 * 1024
"""The most output one delta carries. As JSON a byte can become six: still one frame."""

BULK_CHUNK = 256 * 1024
"""The size of one binary frame on a bulk connection."""

BULK_WINDOW = 8 * 1024 * 1024
"""The most bytes of a transfer that its sender keeps, for the next connection, until the receiver
has confirmed them. It sends no more before that."""

MAX_HOLE = 256 * 1024 * 1024
"""The most zeros that one message on a bulk connection stands for."""

MAX_HOLES = 1024**4
"""The most zeros that come as holes in one transfer: they cost the sender nothing, and the receiver
their checksum."""

CONTENT_LIMIT = 256 * 1024
"""The most output an observation shows; the middle of what is longer is left out."""

EXEC_INLINE_LIMIT = 256 * 1024
"""The most of each stream an exec observation carries; the whole is in the sandbox's file."""

EXEC_WINDOW = 512 * 1024
"""The most bytes of one stream of an exec that are on their way to whoever is connected to it."""

HANDSHAKE_TIMEOUT_S = 10.0
"""A connection that is not authenticated by then is closed."""

TICKET_TIMEOUT_S = 60.0
"""A bulk ticket nobody used by then is void."""

RESUME_TIMEOUT_S = 600.0
"""How long a transfer whose connection was lost waits for the next."""
