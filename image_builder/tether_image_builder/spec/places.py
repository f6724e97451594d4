"""What an image has at a path, seen without its content and without starting anything."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

_GO_FOLDER = 1 << 31  # the engine tells modes as Go has them


class Places:
    """The paths of a container that was never started."""

    def __init__(self, api: docker.APIClient, container: str) -> None:
        self._api = api
        self._url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at a path, or a link that leads to one."""
        facts = self._facts(path)
        if facts is not None and (target := facts["linkTarget"]):
            facts = self._facts(target)  # the engine has followed the links to their end
        return facts is not None and bool(facts["mode"] & _GO_FOLDER)

    def _facts(self, path: str) -> dict[str, Any] | None:
        answer = self._api.head(self._url, params={"path": path}, timeout=self._api.timeout)
        if not answer.ok:  # below a file, say: it is no folder, and the builder says what is wrong
            return None
        found: dict[str, Any] = json.loads(
            b64decode(answer.headers["X-Docker-Container-Path-Stat"])
        )
        return found


@contextmanager
def places(api: docker.APIClient, image_id: str) -> Iterator[Places]:
    """A look at the paths of an image."""
    container = api.create_container(image_id, command=["-"])["Id"]
    try:
        yield Places(api, container)
    finally:
        api.remove_container(container, force=True, v=True)
