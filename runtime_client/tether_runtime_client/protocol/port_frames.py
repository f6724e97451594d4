"""What goes over the connections of ports, beside the bytes.

A lease's own connection has `TicketsFrame`s towards the server and `WantFrame`s towards the
sandbox. Each ticket opens a connection for one stream: whoever the stream comes from says `begin`
there, and either end `eof` once it has nothing more to send. A connection that ends before both
have said it was broken, and what it belongs to is reset.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .message import Message

MAX_TICKETS = 128
"""The most tickets in one frame."""

TicketText = Annotated[str, Field(min_length=16, max_length=64)]


class TicketsFrame(Message):
    """Tickets for one stream each. Of a reverse lease: somebody waits behind each of them."""

    type: Literal["tickets"] = "tickets"
    tickets: Annotated[tuple[TicketText, ...], Field(min_length=1, max_length=MAX_TICKETS)]


class WantFrame(Message):
    """The server wants so many more tickets of a forward lease."""

    type: Literal["want"] = "want"
    count: Annotated[int, Field(ge=1, le=MAX_TICKETS)]


class BeginFrame(Message):
    """There is somebody: connect. It is answered with the same by whoever has connected; of a
    reverse stream the ticket says the first, and this the second.
    """

    type: Literal["begin"] = "begin"


class EofFrame(Message):
    """That was all that comes from this end; what comes from the other goes on. On the connection
    of a lease: the server gives it up.
    """

    type: Literal["eof"] = "eof"
