"""Something is wrong with a connection."""

from __future__ import annotations

from .base import TetherError


class ProtocolError(TetherError):
    """Something is wrong with the connection itself; it is closed."""

    code = "protocol_error"


class VersionMismatch(ProtocolError):
    """The two ends speak different protocol versions."""

    code = "version_mismatch"
    default_hint = "Build the image again with the server's version of Tether (`runtime-build`)"


class Unauthorized(ProtocolError):
    """The other end does not know the secret of this sandbox."""

    code = "unauthorized"
    default_hint = "Attach by the sandbox's name, so that its own secret is used"


class SecretExpired(Unauthorized):
    """The secret is right, and its time is over: no connection is taken by it any more."""

    code = "secret_expired"
    default_hint = (
        "`docker restart tether-NAME` hands a container its secret anew: attach then. A local"
        " sandbox can be removed (`tether rm NAME`). A server that stays changes it in time"
    )


class SecretChanged(Unauthorized):
    """The sandbox has another secret now than the one this connection was made by."""

    code = "secret_changed"
    default_hint = "Attach by the sandbox's name, so that the new secret is used"


class RotationFailed(ProtocolError):
    """The secret was not changed, or it is not known yet that the former is refused."""

    code = "rotation_failed"
    default_hint = "Ask for it again; until then the secret that is stored here goes on to hold"


class MalformedFrame(ProtocolError):
    """A frame that is not of the protocol."""

    code = "malformed_frame"
    default_hint = (
        "Build the image again with the server's version of Tether, or do not trust the sandbox"
    )


class UnexpectedFrame(ProtocolError):
    """A frame that is well-formed and out of order."""

    code = "unexpected_frame"
    default_hint = (
        "Build the image again with the server's version of Tether, or do not trust the sandbox"
    )


class FrameTooLarge(ProtocolError):
    """A message over the limit."""

    code = "frame_too_large"
    default_hint = "Send long content as an upload, and commands of that size as a script file"


class ControllerBusy(ProtocolError):
    """Another server controls this sandbox and answers."""

    code = "controller_busy"
    default_hint = "Attach with takeover=True to replace it, or as an operator beside it"


class Fenced(ProtocolError):
    """Another server has taken this sandbox over."""

    code = "fenced"
    default_hint = "This process no longer controls the sandbox; attach again to take it back"


class TicketInvalid(ProtocolError):
    """A bulk connection whose ticket is unknown, used or too old."""

    code = "ticket_invalid"
    default_hint = "Begin the transfer again"
