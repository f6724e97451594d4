"""Images that come from a registry and go to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exchange import EngineRefusal, exchanged
from .models import Phase, ProgressReport
from .names import split
from .stream import TransferProgress

if TYPE_CHECKING:
    import docker


def pull(
    api: docker.APIClient,
    name: str,
    report: ProgressReport,
    *,
    phase: Phase,
    platform: str | None,
    silence_s: float | None,
) -> None:
    """Pulls an image; see `Engine.pull`."""
    repository, tag = split(name)
    parameters = {"fromImage": repository, "tag": tag, "platform": platform}
    progress = TransferProgress(f"pulling {name}", phase, report)
    with exchanged(
        api,
        "/images/create",
        parameters,
        headers=_credentials(api, repository),
        silence_s=silence_s,
    ) as lines:
        for line in lines:
            _raise_problem(line)
            progress.take(line)


def push(api: docker.APIClient, name: str, report: ProgressReport) -> str | None:
    """Pushes an image; see `Engine.push`."""
    repository, tag = split(name)
    progress = TransferProgress(f"pushing {name}", "push", report)
    digest = None
    # The engine insists on the header, also where there is nothing to say in it.
    headers = {"X-Registry-Auth": "e30=", **_credentials(api, repository)}
    with exchanged(api, f"/images/{repository}/push", {"tag": tag}, headers=headers) as lines:
        for line in lines:
            _raise_problem(line)
            progress.take(line)
            digest = (line.get("aux") or {}).get("Digest", digest)
    return f"{repository}@{digest}" if digest else None


def _raise_problem(line: dict[str, Any]) -> None:
    if "error" in line:
        raise EngineRefusal(str(line["error"]).strip())


def _credentials(api: docker.APIClient, repository: str) -> dict[str, str]:
    """What the user's Docker configuration has for a registry.

    Raises:
        EngineRefusal: it has something, and that cannot be read.
    """
    from docker import auth
    from docker.errors import DockerException

    registry, _ = auth.resolve_repository_name(repository)
    try:
        header = auth.get_config_header(api, registry)
    except DockerException as problem:
        raise EngineRefusal(f"the login that is kept for it cannot be read: {problem}") from None
    return {"X-Registry-Auth": header.decode()} if header else {}
