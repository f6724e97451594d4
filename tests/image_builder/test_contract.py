"""Every recipe's environment keeps the contract of docs/recipes.md, in the images that it suits."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tether_image_builder import ensure_environment
from tether_image_builder.recipes import recipes_folder

from .programs import output_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

MAKE_IMAGE = Path(__file__).parents[2] / "docker" / "images" / "make-image"
PREFIX = "/opt/tether"
PYTHON = f"{PREFIX}/bin/python3"
OF_GLIBC = ("ld-", "libc.", "libm.", "libdl.", "libpthread.", "librt.", "libutil.", "libresolv.")

Run = Callable[..., str]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("portable", "busybox"), id="portable-busybox"),
        pytest.param(("portable", "debian:bookworm"), id="portable-debian"),
        pytest.param(
            ("miniforge", "debian:bookworm"),
            id="miniforge-debian",
            marks=pytest.mark.xdist_group("miniforge"),
        ),
    ],
)
def case(request: pytest.FixtureRequest, engine: str) -> tuple[str, str]:
    """A recipe, and the name of an image with its environment and nothing else of ours."""
    recipe, base = request.param
    if recipe == "miniforge":
        environment = request.getfixturevalue("miniforge")
    else:
        environment = ensure_environment(recipe)
    return recipe, request.getfixturevalue("image_with")(base, environment.image)


@pytest.fixture(scope="module")
def image_with(engine: str) -> Iterator[Callable[[str, str], str]]:
    """Makes an image out of a plain one and an environment."""
    client = docker.from_env(version="auto")
    made: list[str] = []

    def image_with(base: str, environment: str) -> str:
        subprocess.run([MAKE_IMAGE, base], check=True, capture_output=True)
        plain = f"tether-test/{base}"
        tag = f"tether-test/contract:{len(made)}-{os.getpid()}"
        text = f"FROM {plain}\nCOPY --from={environment} {PREFIX} {PREFIX}\n"
        client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True)
        made.append(tag)
        return tag

    yield image_with
    for tag in made:
        client.images.remove(tag, force=True)
    client.close()


@pytest.fixture
def run(client: docker.DockerClient, case: tuple[str, str]) -> Run:
    """Runs a program in the image, as nobody in particular, with nothing to write to."""

    def run(*argv: str, **environment: str) -> str:
        output = output_of(
            client,
            case[1],
            list(argv[1:]),
            entrypoint=[argv[0]],
            environment=environment,
            network_mode="none",
            read_only=True,
            user="1234:1234",
        )
        return output.decode()

    return run


def python(run: Run, program: str, **environment: str) -> Any:
    return json.loads(run(PYTHON, "-I", "-c", program, **environment))


def test_the_environment_says_itself_that_it_keeps_the_contract(run: Run) -> None:
    program = (recipes_folder() / "common" / "check.py").read_text()
    found = json.loads(run(PYTHON, "-I", "-c", program))
    assert found["problems"] == []
    assert sum(found["parts"].values()) < 90e6


def test_a_stop_in_its_first_moments_is_not_lost(
    client: docker.DockerClient, case: tuple[str, str]
) -> None:
    """A container's first process loses what it neither handles nor blocks."""
    command = [f"{PREFIX}/bin/tether-runtime-client", "supervise", "--", "--unix", "/s"]
    waiting = client.containers.create(case[1], entrypoint=command, stdin_open=True)
    try:
        waiting.start()
        waiting.kill("SIGTERM")
        assert waiting.wait(timeout=30)["StatusCode"] == 143
    finally:
        waiting.remove(force=True)


USED = """
import asyncio, bz2, ctypes, curses, hashlib, json, lzma, pexpect, pydantic, readline, socket
import sqlite3, ssl, sys, uuid, websockets, zlib, zoneinfo
import tether_runtime_client.cli, tether_runtime_client.protocol
ssl.create_default_context(); sqlite3.connect(":memory:"); socket.getaddrinfo("127.0.0.1", 80)
zoneinfo.ZoneInfo("Europe/Berlin")
files = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "/" in line}
modules = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
paths = ssl.get_default_verify_paths()
settings = [paths.openssl_cafile, paths.openssl_capath, *zoneinfo.TZPATH, *sys.path, sys.prefix]
print(json.dumps(sorted({*files, *modules, *settings} - {None})))
"""


def is_of_glibc(path: Path) -> bool:
    """A library of glibc's, or what that reads by itself: locales, conversions."""
    return path.name.startswith(OF_GLIBC) or bool({"locale", "gconv"} & set(path.parts))


def test_nothing_outside_of_the_prefix_is_used(run: Run, case: tuple[str, str]) -> None:
    outside = [path for path in python(run, USED) if not path.startswith(PREFIX)]
    if case[0] == "miniforge":  # but for the image's own glibc, which the recipe says it needs
        outside = [path for path in outside if not is_of_glibc(Path(path))]
    assert outside == []


def test_the_certificate_roots_are_known_without_a_variable(run: Run) -> None:
    program = (
        "import json, os, ssl; context = ssl.create_default_context();"
        "names = [name for name in os.environ if name.startswith('SSL')];"
        "print(json.dumps([len(context.get_ca_certs()), names]))"
    )
    count, variables = python(run, program)
    assert count > 100
    assert variables == []


def test_time_zones(run: Run) -> None:
    program = (
        "import json, zoneinfo, datetime as d; moment = d.datetime(2026, 7, 1, 12, tzinfo=d.UTC);"
        "local = moment.astimezone(zoneinfo.ZoneInfo('Asia/Kolkata'));"
        "print(json.dumps([local.isoformat(), len(zoneinfo.available_timezones())]))"
    )
    local, count = python(run, program)
    assert local == "2026-07-01T17:30:00+05:30"
    assert count > 400


def test_the_local_time_of_the_client(run: Run, case: tuple[str, str]) -> None:
    program = "import json, time; print(json.dumps(time.strftime('%z', time.localtime(0))))"
    if case[0] == "portable":  # whose libc is its own
        assert python(run, program, TZ="Asia/Kolkata") == "+0530"


def test_bash_and_the_descriptions_of_terminals(run: Run) -> None:
    script = "LC_ALL=C.UTF-8; word=žluť; echo ${#word} ${word^}"
    assert run(f"{PREFIX}/bin/bash", "-c", script + " 2>&1") == "4 Žluť\n"
    assert int(run(f"{PREFIX}/bin/bash", "-c", "echo ${BASH_VERSINFO[0]}")) >= 5
    program = (
        "import curses, json; curses.setupterm('xterm-256color', 1);"
        "print(json.dumps(curses.tigetnum('colors')))"
    )
    assert python(run, program, TERMINFO=f"{PREFIX}/share/terminfo") == 256


def test_every_module_is_compiled_whatever_its_time_stamp(run: Run) -> None:
    program = (
        "import json, pathlib, importlib.util as u;"
        f"files = [*pathlib.Path('{PREFIX}').rglob('*.py')];"
        "compiled = [pathlib.Path(u.cache_from_source(str(path))) for path in files];"
        "missing = [str(path) for path in compiled if not path.exists()];"
        "modes = {path.read_bytes()[4] for path in compiled if path.exists()};"
        "print(json.dumps([missing, *modes]))"  # 1: by hash, and never checked
    )
    assert python(run, program) == [[], 1]


def test_the_launcher_needs_nothing_of_the_image(run: Run) -> None:
    output = run(
        f"{PREFIX}/bin/tether-runtime-client",
        "--version",
        LD_PRELOAD="/nonsense.so",
        LD_LIBRARY_PATH="/nonsense",
        PYTHONHOME="/nonsense",
        PYTHONPATH="/nonsense",
    )
    assert output.split()[-1][0].isdigit()
