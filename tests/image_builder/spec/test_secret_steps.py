"""A secret is there while a step runs, and nowhere in anything that is left of it."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import pytest

from tether_image_builder import BuildProgress, build_image
from tether_image_builder.errors import SpecInvalid, StepFailed
from tether_image_builder.spec import FileStep, Secret, ShellStep, Spec
from tether_image_builder.spec.access import Access
from tether_image_builder.spec.steps import Prepared

from ..programs import output_of

pytestmark = pytest.mark.engine

Steps = Callable[..., Prepared]

TOKEN = "tok-3f9a71c2e5-Zq"
KEY = b"-----BEGIN KEY-----\nMIIEowIBAAKCAQEA7+/xyz\n-----END KEY-----\n\0\xff"
SECRETS = {"token": Secret(env="TETHER_TEST_TOKEN"), "key": Secret(file="../key")}


@pytest.fixture(autouse=True)
def secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TETHER_TEST_TOKEN", TOKEN)
    (folder.parent / "key").write_bytes(KEY)


def forms(secret: bytes) -> list[bytes]:
    """As it is, and in the disguises that programs put it in."""
    line = max(secret.splitlines(), key=len)
    plain = [secret, line]
    return [
        *plain,
        *(each[::-1] for each in plain),
        *(each.hex().encode() for each in plain),
        *(base64.b64encode(each).rstrip(b"=")[:-1] for each in plain),
        *(base64.urlsafe_b64encode(each).rstrip(b"=")[:-1] for each in plain),
    ]


def assert_absent(data: bytes) -> None:
    for secret in (TOKEN.encode(), KEY):
        for form in forms(secret):
            assert form not in data


def saved(client: docker.DockerClient, image: str) -> bytes:
    return b"".join(client.api.get_image(image))


def unpacked(archive: bytes) -> Iterator[bytes]:
    """What lies in an archive, and in the archives in it."""
    yield archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            yield member.name.encode()
            file = members.extractfile(member)
            content = file.read() if file is not None else b""
            if content.startswith(b"\x1f\x8b"):
                content = zlib.decompress(content, wbits=31)
            if member.name.endswith((".tar", "/layer")) and content:
                yield from unpacked(content)


def chain(client: docker.DockerClient, image: str) -> list[str]:
    """An image and all that it was built from on this engine."""
    entries = client.api.history(image)  # type: ignore[no-untyped-call]
    return [entry["Id"] for entry in entries if entry["Id"] != "<missing>"]


USE = (
    'cat "$TETHER_SECRETS/token"; base64 "$TETHER_SECRETS/token"',
    'wc -c <"$TETHER_SECRETS/key" >size; sha256sum "$TETHER_SECRETS/key" | cut -c1-8 >sum',
    'stat -c %a:%u "$TETHER_SECRETS/key" >mode; cat "$TETHER_SECRETS/key"; ls -R /dev >list',
)


def test_nothing_that_is_left_has_it(
    client: docker.DockerClient,
    busybox: str,
    folder: Path,
    names: list[str],
    still_code: dict[str, bytes],
) -> None:
    (folder / "a").write_text("x")
    use = ShellStep(commands=USE, secrets=("token", "key"), user="nobody", workdir="/tmp")
    spec = Spec(
        image=busybox,
        steps=(
            use,
            FileStep(source="a", destination="/a"),
            ShellStep(commands="ls /dev/tether/secrets >/later"),
        ),
        secrets=SECRETS,
        folder=folder,
    )
    said: list[BuildProgress] = []
    result = build_image(spec=spec, client=client, progress=said.append)
    names += [result.tag, *(step.image for step in result.steps)]

    seen = "cat /tmp/size /tmp/sum /tmp/mode /tmp/list; echo end; cat /later"
    told = output_of(client, result.tag, ["-c", seen], entrypoint=["/bin/sh"])
    lines = told.decode().splitlines()
    assert lines[:2] == [str(len(KEY)), sha256(KEY).hexdigest()[:8]]
    assert lines[2] == "600:65534"
    assert {"token", "key"} <= set(lines)
    assert lines[-1] == "end"  # a later step has none of them

    for image in chain(client, result.tag):
        if image == client.images.get(busybox).id:
            break
        if image == result.image_id or client.images.get(image).attrs["Size"] < 10e6:
            for part in unpacked(saved(client, image)):  # those between have layers of the result
                assert_absent(part)
        described = client.api.inspect_image(image), client.api.history(image)  # type: ignore[no-untyped-call]
        assert_absent(json.dumps(described).encode())
    assert_absent(repr((result, said)).encode())
    assert any("[secret]" in step.message for step in said)
    assert any(step.message == "given the secret key from the file ../key" for step in said)


def test_a_failure_does_not_show_it(carried_out: Steps, busybox: str) -> None:
    command = 'cat "$TETHER_SECRETS/token" "$TETHER_SECRETS/key" >&2; false'
    step = ShellStep(commands=(command,), secrets=("token", "key"))
    with pytest.raises(StepFailed) as caught:
        carried_out(busybox, step, secrets=SECRETS)
    assert_absent(f"{caught.value}{caught.value.data}".encode())
    assert "[secret]" in str(caught.value)


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ('cp "$TETHER_SECRETS/token" /token', "/token"),
        ('mkdir -p /a/b; echo "x $(cat "$TETHER_SECRETS/token") y" >/a/b/c', "/a/b/c"),
        ('cat "$TETHER_SECRETS/token" >>/etc/passwd', "/etc/passwd"),
        ('echo "me:$(cat "$TETHER_SECRETS/token")" | base64 >/etc/auth', "/etc/auth"),
        ('ln -s "http://$(cat "$TETHER_SECRETS/token")@host.example" /link', "/link"),
        ('(yes | head -c 3000000; cat "$TETHER_SECRETS/token") >/large', "/large"),
    ],
)
def test_a_step_that_writes_it_into_the_image_fails(
    carried_out: Steps, busybox: str, command: str, path: str
) -> None:
    step = ShellStep(commands=("true", command), secrets=("token", "key"))
    with pytest.raises(StepFailed, match="step 1 leaves a secret in the image: 'token'") as caught:
        carried_out(busybox, step, secrets=SECRETS)
    assert caught.value.data["secrets"] == {"token": path}
    assert_absent(str(caught.value).encode())


def test_a_secret_that_is_removed_again_or_too_short_to_tell_is_no_trace(
    carried_out: Steps, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHER_TEST_SHORT", "root")
    command = 'cp "$TETHER_SECRETS"/* /etc; chmod 700 /etc /bin; rm /etc/token; echo >>/etc/passwd'
    step = ShellStep(commands=command, secrets=("token", "short"))
    secrets = {**SECRETS, "short": Secret(env="TETHER_TEST_SHORT")}
    assert carried_out(busybox, step, secrets=secrets).results[0].seconds > 0


def test_its_value_decides_nothing_and_its_version_does(
    carried_out: Steps, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ShellStep(commands='wc -c <"$TETHER_SECRETS/token" >/size', secrets=("token",))
    first = carried_out(busybox, step, secrets=SECRETS)
    monkeypatch.setenv("TETHER_TEST_TOKEN", "another one")
    assert carried_out(busybox, step, secrets=SECRETS).image_id == first.image_id
    monkeypatch.delenv("TETHER_TEST_TOKEN")
    assert carried_out(busybox, step, secrets=SECRETS).image_id == first.image_id
    newer = {**SECRETS, "token": Secret(env="TETHER_TEST_TOKEN", version="2")}
    with pytest.raises(SpecInvalid, match="TETHER_TEST_TOKEN is not set"):
        carried_out(busybox, step, secrets=newer)


def test_a_step_has_only_the_secrets_that_it_names(carried_out: Steps, busybox: str) -> None:
    carried_out(
        busybox,
        ShellStep(commands='test "$(ls "$TETHER_SECRETS")" = token', secrets=("token",)),
        ShellStep(commands='test -z "${TETHER_SECRETS-}"; test -z "$(ls /dev/tether/secrets)"'),
        secrets=SECRETS,
    )


def test_proxies_and_certificates_are_lent(
    client: docker.DockerClient, carried_out: Steps, make_image: Callable[..., Any], busybox: str
) -> None:
    base = make_image(
        f"FROM {busybox}\nRUN mkdir -p /etc/ssl/certs; echo own >/etc/ssl/certs/ca-certificates.crt"
    ).tags[0]
    lent = Access(
        certificates=b"-----BEGIN CERTIFICATE-----\nlent-authority\n",
        proxies={"https_proxy": f"http://me:{TOKEN}@proxy.example:3128"},
        apt_settings='Acquire::Retries "3";\n',
    )
    prepared = carried_out(
        base,
        ShellStep(
            commands=(
                'test "$(tail -n 1 "$SSL_CERT_FILE")" = own',
                'grep -q lent-[a]uthority "$CURL_CA_BUNDLE"',
                'grep -q Retries "$APT_CONFIG"; grep -q Lock::Timeout "$APT_CONFIG"',
                'echo "$https_proxy"; test -n "$https_proxy"',
            ),
            user="nobody",
        ),
        access=lent,
    )
    for part in unpacked(saved(client, prepared.image_id)):
        assert_absent(part)
        assert b"lent-authority" not in part
        assert b"proxy.example" not in part


def test_the_engine_keeps_no_log_of_a_step(
    client: docker.DockerClient, carried_out: Steps, busybox: str
) -> None:
    """Nor a container: whoever may list them finds none."""
    if os.geteuid() != 0:
        pytest.skip("only root may look into the engine's folder")
    step = ShellStep(commands='cat "$TETHER_SECRETS/token"', secrets=("token",))
    carried_out(busybox, step, secrets=SECRETS)
    root = Path(client.api.info()["DockerRootDir"])
    for path in (root / "containers").rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes()
