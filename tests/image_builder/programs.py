"""Programs of images and what they write. Not collected."""

from __future__ import annotations

from typing import Any

import docker


def output_of(client: docker.DockerClient, image: str, command: list[str], **options: Any) -> bytes:
    """What a program of an image writes, on both streams; it has to end well.

    Asked for once it has ended: the engine loses the end of what is followed, on a busy machine.
    """
    container = client.containers.create(image, command, **options)
    try:
        container.start()
        code = container.wait()["StatusCode"]
        output = bytes(container.logs())
    finally:
        container.remove(force=True, v=True)
    assert code == 0, output
    return output
