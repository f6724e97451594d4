"""The base of everything that crosses the wire: closed, frozen, tagged."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A value that is never changed and never holds a field it does not declare.

    Bytes travel as URL-safe base64 inside JSON.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="constants",
        defer_build=True,
    )
