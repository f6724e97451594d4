"""The container engine as this package needs it: look up, pull, push, build and name images."""

from __future__ import annotations

import io
import socket
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import classic, transfer
from .classic import KEPT_LINES
from .errors import engine_failed, engine_host, engine_unavailable
from .exchange import EngineRefusal
from .models import Image, Phase, ProgressReport, Step
from .names import split

if TYPE_CHECKING:
    import docker

    from .stopping import Stop

__all__ = ["Engine", "EngineRefusal", "ImageFile", "ImageFiles", "connected", "probe"]

REQUEST_TIMEOUT_S = 120


@contextmanager
def connected(
    client: docker.DockerClient | None, *, timeout_s: int = REQUEST_TIMEOUT_S
) -> Iterator[Engine]:
    """An engine that answers. A client that the caller brought stays open.

    Raises:
        EngineUnavailable: no engine answers.
    """
    import docker
    import docker.errors
    import requests.exceptions

    failures = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
    own = None
    try:
        if client is None:
            probe(engine_host())
            client = own = docker.from_env(version="auto", timeout=timeout_s)
        version = client.version()
    except failures as problem:
        if own is not None:
            own.close()
        raise engine_unavailable(problem) from None
    try:
        yield Engine(client, f"{version['Os']}/{version['Arch']}")
    except docker.errors.APIError as problem:  # first: it is one of the next kind too
        raise engine_failed(problem.explanation or str(problem)) from None
    except requests.exceptions.RequestException as problem:  # it went away
        raise engine_unavailable(problem) from None
    finally:
        if own is not None:
            own.close()


def probe(host: str) -> None:
    """Fails where nothing listens on a local socket; the SDK would leave its own one open."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(host.removeprefix("unix://"))


@dataclass(frozen=True)
class ImageFile:
    """A file of an image; `path` is where it is once every symbolic link is followed."""

    path: str
    content: bytes


class ImageFiles:
    """The files of a container that was never started."""

    def __init__(self, client: docker.DockerClient, container: str) -> None:
        self._client = client
        self._container = container

    def read(self, path: str, *, largest: int | None = None) -> ImageFile | None:
        """A regular file, as the image's own programs would find it; None where there is none, or
        one of more than `largest` bytes.
        """
        import docker.errors

        try:
            chunks, facts = self._client.api.get_archive(self._container, path or "/")
            if largest is not None and facts["size"] > largest:
                return None
            archive = io.BytesIO(b"".join(chunks))
        except docker.errors.NotFound:
            return None
        if target := facts["linkTarget"]:
            return self.read(target, largest=largest) if target != path else None
        with tarfile.open(fileobj=archive) as members:
            file = members.extractfile(members.next() or tarfile.TarInfo())
            return ImageFile(path, file.read()) if file is not None else None

    def folder(self, path: str, *, largest: int) -> tuple[dict[str, bytes], set[str]] | None:
        """The regular files of a folder by their paths in it, and which can be executed.

        None where they have more than `largest` bytes; nothing where there is no such folder.
        """
        import docker.errors

        files: dict[str, bytes] = {}
        try:
            chunks, _ = self._client.api.get_archive(self._container, path)
        except docker.errors.NotFound:
            return files, set()
        archive = bytearray()
        for chunk in chunks:
            archive += chunk
            if len(archive) > largest:
                return None
        executable = set()
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                if (file := members.extractfile(member)) is not None and member.isreg():
                    name = member.name.partition("/")[2]
                    files[name] = file.read()
                    executable |= {name} if member.mode & 0o100 else set()
        return files, executable


class Engine:
    """One engine; `platform` is what it runs, as in `linux/amd64`.

    Where it has a `stop`, that ends its builds: for those in other threads than the first, which
    no signal interrupts.
    """

    def __init__(
        self, client: docker.DockerClient, platform: str, stop: Stop | None = None
    ) -> None:
        self._client = client
        self.platform = platform
        self.stop = stop

    def stopped_by(self, stop: Stop) -> Engine:
        """The same engine, whose builds this ends."""
        return Engine(self._client, self.platform, stop)

    @property
    def api(self) -> docker.APIClient:
        """The engine as the SDK has it, one call for each request."""
        return self._client.api

    def find(self, name: str) -> Image | None:
        """An image on this engine, by any name or id of it; None where there is none."""
        import docker.errors

        if not name:
            return None
        try:
            return Image.from_engine(self._client.images.get(name).attrs)
        except docker.errors.NotFound:
            return None
        except docker.errors.APIError as problem:  # a name that is no name
            if problem.status_code == 400:
                return None
            raise

    def pull(
        self,
        name: str,
        report: ProgressReport,
        *,
        phase: Phase,
        platform: str | None = None,
        silence_s: float | None = None,
    ) -> None:
        """Pulls an image.

        Args:
            name: the image; without a tag it is `latest`.
            report: is told how many bytes have come.
            phase: what it is told to be a part of.
            platform: which of its variants, None for the engine's own.
            silence_s: how long the registry may say nothing, None for however long it takes.

        Raises:
            EngineRefusal: it could not be pulled.
        """
        options = {"phase": phase, "platform": platform, "silence_s": silence_s}
        transfer.pull(self._client.api, name, report, **options)  # type: ignore[arg-type]

    def push(self, name: str, report: ProgressReport) -> str | None:
        """Pushes an image to the registry of its name; gives its digest reference there.

        Raises:
            EngineRefusal: the registry did not take it.
        """
        return transfer.push(self._client.api, name, report)

    def build(
        self,
        context: bytes,
        *,
        tag: str,
        report: ProgressReport,
        phase: Phase,
        dockerfile: str = "Dockerfile",
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        no_cache: bool = False,
        keep_steps: bool = False,
    ) -> tuple[Step, ...]:
        """Builds a context with the classic builder; gives the steps, as `classic.Order` has them.

        Where it fails or is interrupted, it has ended when this returns.

        Raises:
            EngineRefusal: with the end of the output.
        """
        order = classic.Order(
            context=context,
            tag=tag,
            dockerfile=dockerfile,
            arguments=arguments or {},
            labels=labels or {},
            platform=platform,
            no_cache=no_cache,
            keep_steps=keep_steps,
        )
        return classic.build(self._client.api, order, report, phase=phase, stop=self.stop)

    def tag(self, image_id: str, name: str) -> None:
        """Gives an image one more name.

        Raises:
            EngineRefusal: it takes no such name.
        """
        import docker.errors

        repository, tag = split(name)
        try:
            self._client.api.tag(image_id, repository, tag=tag)
        except docker.errors.APIError as problem:
            raise EngineRefusal(problem.explanation or str(problem)) from None

    def history(self, image_id: str) -> list[dict[str, Any]]:
        """The engine's account of how an image was made, the newest entry first.

        Empty for one that is gone: somebody else may remove it at any moment.
        """
        import docker.errors

        try:
            return list(self._client.api.history(image_id))  # type: ignore[no-untyped-call]
        except docker.errors.NotFound:
            return []

    def discard(self, image_id: str) -> None:
        """Removes an image that nothing has a name or a use for; any other one stays."""
        import docker.errors

        found = self.find(image_id)
        if found is None or found.names:
            return
        try:
            self._client.api.remove_image(image_id)
        except docker.errors.APIError as problem:
            if problem.status_code not in (404, 409):  # gone, or in use
                raise

    def without_triggers(self, image_id: str) -> str:
        """A copy of an image's description without its ONBUILD instructions; gives its id.

        They are meant for builds of the user's own and would run in ours.
        """
        api = self._client.api
        container = api.create_container(image_id, command=["-"])
        try:
            return str(api.commit(container["Id"])["Id"])
        finally:
            api.remove_container(container["Id"], v=True)

    @contextmanager
    def files(self, image_id: str) -> Iterator[ImageFiles]:
        """A look at the files of an image, in which nothing runs."""
        api = self._client.api
        container = api.create_container(image_id, command=["-"])["Id"]
        try:
            yield ImageFiles(self._client, container)
        finally:
            api.remove_container(container, force=True, v=True)

    def run(self, image: str, command: Sequence[str]) -> str:
        """Standard output of a program of an image, run without a network as root.

        Raises:
            EngineRefusal: it could not be started or failed; `log` has the end of its output.
        """
        import docker.errors

        api = self._client.api
        container = api.create_container(
            image,
            list(command[1:]),
            entrypoint=list(command[:1]),
            user="0",
            host_config=api.create_host_config(network_mode="none"),
        )["Id"]
        try:
            api.start(container)
            code = api.wait(container)["StatusCode"]
            output, errors = api.logs(container, stderr=False), api.logs(container, stdout=False)
        except docker.errors.APIError as problem:
            raise EngineRefusal(problem.explanation or str(problem)) from None
        finally:
            api.remove_container(container, force=True, v=True)
        if code:
            lines = _text(errors).splitlines()[-KEPT_LINES:]
            raise EngineRefusal(f"{command[0]} failed with exit code {code}", lines)
        return _text(output)

    def untag(self, name: str) -> None:
        """Takes a name from an image; the last one takes the image with it."""
        import docker.errors

        with suppress(docker.errors.ImageNotFound):
            self._client.api.remove_image(name)

    def remove_unnamed(self, label: str) -> None:
        """Removes images without a name that carry a label: what a build leaves of its stages."""
        import docker.errors

        for image in self._client.api.images(filters={"dangling": True, "label": label}):
            try:
                self._client.api.remove_image(image["Id"])
            except docker.errors.APIError as problem:
                if problem.status_code not in (404, 409):  # gone, or in use by another build
                    raise


def _text(output: bytes | str) -> str:
    return output if isinstance(output, str) else output.decode(errors="replace")
