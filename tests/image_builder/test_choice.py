"""Which environment an image gets, and why: decided without building anything."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
from docker.models.images import Image as EngineImage

from tether_image_builder import BuildResult, memory
from tether_image_builder.choice import Choice, choose, said
from tether_image_builder.engine import connected
from tether_image_builder.errors import EnvironmentUnavailable
from tether_image_builder.models import BuildOptions

pytestmark = pytest.mark.engine

Choose = Callable[..., Choice]
LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture(autouse=True)
def no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that this machine found out before, and no wish of its user's."""
    monkeypatch.setattr(memory, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("TETHER_RECIPE", raising=False)


class Server:
    """Answers every request with a status, and counts them."""

    def __init__(self) -> None:
        self.status, self.count = 200, 0
        self.login: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/installer.sh"

    def serve(self) -> Iterator[Server]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.count += 1
                owner.login = self.headers["Authorization"]
                self.send_response(owner.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield self
            server.shutdown()
            thread.join()


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Where the Miniforge installer is said to be."""
    for server in Server().serve():
        monkeypatch.setenv("TETHER_MINIFORGE_URL", server.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server


@pytest.fixture
def take(client: docker.DockerClient) -> Choose:
    def take(image: str | None, env: str = "auto") -> Choice:
        with connected(client) as engine:
            found = engine.find(image) if image else None
            return choose(engine, image or "any", found, BuildOptions(env=env))

    return take


def named(choice: Choice) -> str:
    return choice.recipe.described.name


def test_what_is_asked_for_is_taken(take: Choose, busybox: str) -> None:
    choice = take(busybox, "portable")
    assert said(choice) == "the runtime environment 'portable': it was asked for"


def test_a_glibc_image_gets_miniforge_where_its_installer_can_be_had(
    take: Choose, installer: Server, debian: str
) -> None:
    choice = take(debian)
    assert (named(choice), choice.reason) == ("miniforge", f"it can be had from {installer.url}")
    assert choice.can_fall_back
    installer.status = 404
    assert named(take(debian)) == "miniforge"
    assert installer.count == 1  # asked once a day


def test_a_mirror_may_want_a_password(
    take: Choose, installer: Server, debian: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = installer.url.replace("127.0.0.1", "user:p%40ss@127.0.0.1")
    monkeypatch.setenv("TETHER_MINIFORGE_URL", url)
    choice = take(debian)
    assert choice.reason == f"it can be had from {installer.url}"
    assert installer.login == "Basic " + b64encode(b"user:p@ss").decode()


def test_elsewhere_it_gets_portable(take: Choose, installer: Server, debian: str) -> None:
    installer.status = 404
    choice = take(debian)
    reason = f"miniforge cannot be had from {installer.url}: the server answers 404 Not Found"
    assert (named(choice), choice.reason) == ("portable", reason)
    installer.status = 200
    assert named(take(debian)) == "portable"
    assert installer.count == 1


def test_nobody_listens(
    take: Choose, debian: str, installer: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHER_MINIFORGE_URL", "http://user:secret@127.0.0.1:9/x.sh?token=1")
    choice = take(debian)
    assert named(choice) == "portable"
    shown = "http://127.0.0.1:9/x.sh"
    assert choice.reason.startswith(f"miniforge cannot be had from {shown}: [Errno 111]")
    monkeypatch.setenv("TETHER_MINIFORGE_URL", "file:///x.sh")
    assert take(debian).reason.endswith("it is no http or https address")


def test_an_image_without_glibc_gets_portable(
    take: Choose, installer: Server, busybox: str
) -> None:
    choice = take(busybox)
    assert named(choice) == "portable"
    assert choice.reason == "the image has no glibc, and miniforge needs one"
    with pytest.raises(EnvironmentUnavailable) as caught:
        take(busybox, "miniforge")
    assert caught.value.message == (
        f"the runtime environment 'miniforge' does not suit {busybox!r}: the image has no glibc,"
        " and miniforge needs one"
    )


def test_neither_an_empty_loader_nor_musls_is_a_glibc(
    take: Choose, installer: Server, make_image: Callable[[str], EngineImage], busybox: str
) -> None:
    loader = "mkdir -p /lib /lib64 && printf '%s' > /lib/ld && ln -s /lib/ld " + LOADER
    for content in ("", "musl libc (x86_64)"):
        image = make_image(f"FROM {busybox}\nRUN {loader % content}")
        assert take(str(image.id)).reason == "the image has no glibc, and miniforge needs one"


def test_an_old_glibc(
    take: Choose,
    installer: Server,
    make_image: Callable[[str], EngineImage],
    busybox: str,
) -> None:
    folder = "/usr/lib/x86_64-linux-gnu"
    image = make_image(
        f"FROM {busybox}\nRUN mkdir -p {folder} /lib64"
        rf" && printf 'x\0GLIBC_2.2.5\0GLIBC_2.17\0' | tee {folder}/ld-2.17.so > {folder}/libc.so.6"
        f" && ln -s {folder}/ld-2.17.so {LOADER}"
    )
    choice = take(str(image.id))
    assert named(choice) == "portable"
    assert choice.reason == "the image's glibc is 2.17, and miniforge needs 2.28"


def test_whatever_image(take: Choose, installer: Server) -> None:
    assert said(take(None)) == "the runtime environment 'portable': it suits any image"


def test_a_variable_names_the_recipe(
    take: Choose, installer: Server, busybox: str, debian: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHER_RECIPE", "miniforge")
    assert take(debian).reason == "TETHER_RECIPE names it"
    assert not take(debian).can_fall_back
    with pytest.raises(EnvironmentUnavailable, match="has no glibc"):
        take(busybox)
    assert named(take(busybox, "portable")) == "portable"
    monkeypatch.setenv("TETHER_RECIPE", "nosuch")
    with pytest.raises(EnvironmentUnavailable, match="TETHER_RECIPE=nosuch is no recipe"):
        take(busybox)
    monkeypatch.setenv("TETHER_RECIPE", "")
    assert named(take(busybox)) == "portable"


def test_what_failed_is_not_tried_again_today(take: Choose, installer: Server, debian: str) -> None:
    other = take(debian).instead(EnvironmentUnavailable("it broke\n  log", hint="mend it"))
    assert other is not None
    assert (named(other), other.reason) == ("portable", "it broke")
    assert named(take(debian)) == "portable"
    assert take(debian, "miniforge").instead(EnvironmentUnavailable("x", hint="y")) is None


def test_the_environment_of_an_image_stays(
    take: Choose, installer: Server, build: Callable[..., BuildResult], debian: str
) -> None:
    built = build(debian, env="portable")
    choice = take(built.tag)
    assert (named(choice), choice.reason) == ("portable", "the image has it already")
    assert installer.count == 0


def test_what_is_remembered_needs_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "cache_folder", lambda: Path("/proc/nowhere"))
    memory.remember("kind", "key", 1)
    assert memory.recall("kind", "key") is None


def test_what_is_remembered_gets_old(tmp_path: Path) -> None:
    memory.remember("kind", "key", [1])
    assert memory.recall("kind", "key", max_age_s=60) == [1]
    assert memory.recall("kind", "key", max_age_s=0) is None
    next((tmp_path / "cache/kind").iterdir()).write_text("{")
    assert memory.recall("kind", "key") is None
