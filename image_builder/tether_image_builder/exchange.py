"""Long answers of an engine: a line of JSON for each thing that happens, until it is done.

The SDK reads such answers too, and cannot let go of one in the middle: an engine whose caller is
still connected goes on with a build that nobody wants any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import docker
    import requests

Line = dict[str, Any]


class EngineRefusal(Exception):
    """The engine said no; `reason` is its own wording, `log` the end of a build's output."""

    def __init__(self, reason: str, log: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.log = list(log)


@contextmanager
def exchanged(
    api: docker.APIClient,
    path: str,
    parameters: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | BinaryIO = b"",
    silence_s: float | None = None,
) -> Iterator[Iterator[Line]]:
    """Asks the engine for something long and gives the lines of its answer.

    Leaving the block lets go of the connection, on which the engine ends what it was at.

    Args:
        api: the engine.
        path: below the version, as in `/build`.
        parameters: of the address; those that are None are left out.
        headers: more of them.
        body: what is sent.
        silence_s: how long nothing may come, None for however long it takes.

    Raises:
        EngineRefusal: it was refused, or was silent for too long.
    """
    import requests

    url = f"{api.base_url}/v{api.api_version}{path}"
    wanted = {name: value for name, value in parameters.items() if value is not None}
    try:
        response = api.post(
            url,
            params=wanted,
            headers=dict(headers or {}),
            data=body,
            stream=True,
            timeout=silence_s,
        )
        try:
            _raise_refusal(response)
            yield _lines(response)
        finally:
            response.close()
    except requests.RequestException as problem:
        if silence_s is None or "timed out" not in str(problem):
            raise
        raise EngineRefusal(f"no answer for {silence_s:g} seconds") from None


def _raise_refusal(response: requests.Response) -> None:
    if response.status_code < 400:
        return
    try:
        reason = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        reason = response.text or f"status {response.status_code}"
    raise EngineRefusal(reason.strip())


def _lines(response: requests.Response) -> Iterator[Line]:
    for line in response.iter_lines(chunk_size=None):
        if line:
            yield json.loads(line)
