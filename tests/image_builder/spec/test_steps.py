"""Steps on a real engine: what is done again and what is not, and what an image keeps."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.images import Image

from tether_image_builder import BuildProgress
from tether_image_builder.context import context_archive
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.errors import SpecInvalid, StepFailed
from tether_image_builder.spec import FileStep, ShellStep, Spec
from tether_image_builder.spec.plan import plan_steps
from tether_image_builder.spec.steps import Prepared

pytestmark = pytest.mark.engine

Steps = Callable[..., Prepared]
MakeImage = Callable[..., Image]


def shell(*commands: str, **fields: Any) -> ShellStep:
    return ShellStep(commands=commands, **fields)


def run(client: docker.DockerClient, image: str, command: str) -> str:
    """What it writes. The SDK's own `run` leaves the volumes of an image's VOLUME behind."""
    container = client.containers.create(
        image, ["-c", command], entrypoint=["/bin/sh"], user="0", network_mode="none"
    )
    try:
        container.start()
        code = container.wait()["StatusCode"]
        assert code == 0, container.logs().decode()
        return bytes(container.logs(stderr=False)).decode()
    finally:
        container.remove(force=True, v=True)


def reused(prepared: Prepared) -> list[bool]:
    return [result.reused for result in prepared.results]


def test_files_and_commands_in_order(
    client: docker.DockerClient, carried_out: Steps, busybox: str, folder: Path
) -> None:
    (folder / "data" / "inner").mkdir(parents=True)
    (folder / "data" / "inner" / "a").write_text("one\n")
    (folder / "data" / "inner" / "a").chmod(0o640)
    prepared = carried_out(
        busybox,
        shell("mkdir -m 700 /srv", "echo before >/srv/before"),
        FileStep(source="data", destination="/srv", owner="nobody:nogroup"),
        FileStep(source="data/inner/a", destination="/etc/deep/b.conf", mode="0600"),
        shell("cat /srv/inner/a /srv/before >/result", "test $(id -u) = 0"),
    )
    told = "cat /result; stat -c '%a %u:%g %Y' /srv /srv/inner/a /etc/deep /etc/deep/b.conf"
    lines = run(client, prepared.image_id, told).splitlines()
    assert lines[:2] == ["one", "before"]
    places = [line.split()[:2] for line in lines[2:]]
    assert places[0] == ["700", "0:0"]  # what was there keeps its own
    assert places[1] == ["640", "65534:65534"]
    assert places[2:] == [["755", "0:0"], ["600", "0:0"]]
    assert [line.split()[2] for line in lines[2:]][1] == "315532800"
    assert [result.kind for result in prepared.results] == ["shell", "file", "file", "shell"]
    assert all(result.seconds > 0 for result in prepared.results)
    sizes = [result.bytes for result in prepared.results]
    assert sizes == [7, 4, 4, 11]


ODD = "/srv/a 'b\" $HOME ${X} \\ [c]*"


def test_names_that_mean_something_to_others(
    client: docker.DockerClient, carried_out: Steps, busybox: str, folder: Path
) -> None:
    (folder / "$a* 'b'").write_text("odd")
    prepared = carried_out(
        busybox,
        FileStep(source="$a* 'b'", destination=f"{ODD}/"),
        FileStep(source="$a* 'b'", destination=f"{ODD}/{{x}}"),
    )
    assert run(client, prepared.image_id, "find /srv -type f").splitlines() == [
        f"{ODD}/$a* 'b'",
        f"{ODD}/{{x}}",
    ]


@pytest.fixture
def steps(folder: Path) -> list[FileStep | ShellStep]:
    (folder / "data").mkdir()
    (folder / "data" / "a").write_text("one")
    (folder / "data" / "a").chmod(0o644)
    return [
        shell("echo 1 >/one"),
        FileStep(source="data", destination="/srv"),
        shell("echo 3 >/three"),
    ]


def test_a_changed_source_is_built_from_its_step_on(
    carried_out: Steps, busybox: str, folder: Path, steps: list[FileStep | ShellStep]
) -> None:
    data = folder / "data"
    first = carried_out(busybox, *steps)
    assert reused(first) == [False] * 3

    os.utime(data / "a", (1, 1))
    os.utime(data, (1, 1))
    (folder / "unrelated").write_text("x")
    second = carried_out(busybox, *steps)
    assert (reused(second), second.image_id) == ([True] * 3, first.image_id)

    (data / "a").write_text("two")
    assert reused(carried_out(busybox, *steps)) == [True, False, False]
    (data / "a").chmod(0o600)
    assert reused(carried_out(busybox, *steps)) == [True, False, False]
    (data / "a").rename(data / "b")
    assert reused(carried_out(busybox, *steps)) == [True, False, False]
    (data / "b").rename(data / "a")
    (data / "a").chmod(0o644)
    (data / "a").write_text("one")
    assert carried_out(busybox, *steps).image_id == first.image_id


def test_order_and_options_count(
    carried_out: Steps, busybox: str, steps: list[FileStep | ShellStep]
) -> None:
    carried_out(busybox, *steps)
    assert reused(carried_out(busybox, steps[0], steps[2], steps[1])) == [True, False, False]
    slower = shell("echo 3 >/three", user="nobody", workdir="/srv", env={"A": "1"})
    with pytest.raises(StepFailed):  # nobody may not write there: so it was run
        carried_out(busybox, *steps[:2], slower)
    assert reused(carried_out(busybox, *steps, shell("echo 4 >/four"))) == [True] * 3 + [False]
    assert reused(carried_out(busybox, *steps[:1])) == [True]


def test_without_a_cache_all_is_done_again(
    client: docker.DockerClient,
    carried_out: Steps,
    busybox: str,
    steps: list[FileStep | ShellStep],
) -> None:
    first = carried_out(busybox, *steps)
    second = carried_out(busybox, *steps, no_cache=True)
    assert reused(second) == [False] * 3
    assert first.image_id != second.image_id
    assert reused(carried_out(busybox, *steps)) == [True] * 3


def test_two_at_once_do_a_step_once(carried_out: Steps, busybox: str) -> None:
    results: list[Prepared] = []

    def work() -> None:
        results.append(carried_out(busybox, shell("cat /proc/sys/kernel/random/uuid >/id")))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result.image_id for result in results}) == 1
    assert sorted(found for result in results for found in reused(result)) == [False, True, True]


def test_a_fingerprint_is_the_same_everywhere(
    folder: Path, tmp_path: Path, steps: list[FileStep | ShellStep]
) -> None:
    copy = tmp_path / "checkout"
    (copy / "data").mkdir(parents=True)
    (copy / "data" / "a").write_text("one")
    (copy / "data" / "a").chmod(0o644)
    spec = Spec(steps=tuple(steps), folder=folder)
    elsewhere = Spec(steps=tuple(steps), folder=copy)
    first = plan_steps(spec, "sha256:1")
    assert plan_steps(elsewhere, "sha256:1").fingerprint == first.fingerprint
    assert plan_steps(spec, "sha256:2").fingerprint != first.fingerprint


NASTY = r"""
FROM {base}
ENV GREETING="a b" PATH=/own:/bin
WORKDIR /work
USER nobody
EXPOSE 80
LABEL mine="a label"
VOLUME /volume
STOPSIGNAL SIGINT
SHELL ["/bin/ash", "-c"]
HEALTHCHECK --interval=1s CMD ["/bin/sh", "-c", "touch /health"]
ONBUILD COPY missing /
ENTRYPOINT ["e"]
CMD ["a"]
"""


def test_what_an_image_says_of_itself_stays(
    client: docker.DockerClient,
    carried_out: Steps,
    make_image: MakeImage,
    busybox: str,
    folder: Path,
) -> None:
    base = make_image(NASTY.format(base=busybox)).tags[0]
    (folder / "a").write_text("x")
    said = shell("env >/said", "pwd >>/said", "id -u >>/said", env={"EXTRA": "1"})
    other = shell("id -u >/tmp/other", user="nobody", workdir="/tmp")
    prepared = carried_out(base, said, FileStep(source="a", destination="/a"), other)
    before = client.images.get(base).attrs["Config"]
    after = client.images.get(prepared.image_id).attrs["Config"]
    for name in ("Env", "User", "WorkingDir", "ExposedPorts", "Volumes", "StopSignal", "Shell"):
        assert after.get(name) == before.get(name), name
    assert (after["Entrypoint"], after["Cmd"]) == (["e"], ["a"])
    assert after["Healthcheck"] == before["Healthcheck"]
    assert not after["OnBuild"]
    assert after["Labels"]["mine"] == "a label"
    lines = run(client, prepared.image_id, "cat /said /tmp/other").splitlines()
    given = {"GREETING=a b", "EXTRA=1", "PATH=/own:/bin", "DEBIAN_FRONTEND=noninteractive"}
    assert given <= set(lines)
    assert lines[-3:] == ["/work", "0", "65534"]
    assert "No such" in run(client, prepared.image_id, "ls /health 2>&1 || :")


@pytest.mark.parametrize("command", ["CMD []", 'CMD ["a"]', 'ENTRYPOINT ["e"]'])
def test_entrypoint_and_cmd_stay(
    client: docker.DockerClient,
    carried_out: Steps,
    make_image: MakeImage,
    busybox: str,
    command: str,
) -> None:
    base = make_image(f"FROM {busybox}\nCMD []\n{command}").tags[0]
    made = carried_out(base, shell("true")).image_id
    before, after = (client.images.get(name).attrs["Config"] for name in (base, made))
    for name in ("Entrypoint", "Cmd", "User", "WorkingDir"):
        assert (after[name] or []) == (before[name] or [])


def test_a_step_writes_only_what_it_says(
    client: docker.DockerClient, carried_out: Steps, busybox: str
) -> None:
    prepared = carried_out(busybox, shell("true"), shell("echo x >/x"))
    container = client.containers.create(prepared.image_id, ["true"])
    base = client.containers.create(busybox, ["true"])
    try:
        names = [set(files(found)) for found in (container, base)]
    finally:
        container.remove()
        base.remove()
    assert names[0] - names[1] == {"x"}


def files(container: Any) -> list[str]:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as archive:
        return archive.getnames()


def test_a_failure_says_where_and_what_to_do(
    carried_out: Steps, busybox: str, said: list[BuildProgress]
) -> None:
    with pytest.raises(StepFailed) as caught:
        carried_out(
            busybox,
            shell("echo fine >/fine"),
            shell("cd /etc", "echo to the log; echo other >&2; cat missing", "echo never"),
        )
    error = caught.value
    assert error.message.startswith("step 2 failed with exit code 1 at `echo to the log;")
    assert error.data["log"][:2] == ["to the log", "other"]
    assert "missing" in error.message
    assert "never" not in error.message
    assert (error.data["step"], error.data["exit_code"]) == (2, 1)
    assert "the steps before it are kept" in error.hint
    assert "to the log" in [step.message for step in said]
    assert reused(carried_out(busybox, shell("echo fine >/fine"))) == [True]


@pytest.mark.parametrize(
    ("step", "message", "hint"),
    [
        (
            shell("no-such-program"),
            r"exit code 127 at `no-such-program`.*not found",
            "was not found",
        ),
        (shell("kill -9 $$"), "exit code 137", "memory"),
        (shell("echo 'open"), "step 1 .* failed: .*[Ss]yntax error|unterminated", ""),
        (shell("true", user="stranger"), "step 1 .*unable to find user stranger", ""),
        (shell("true", workdir="/nowhere"), "step 1 .*/nowhere", ""),
        (shell("true", shell="/bin/zsh"), "step 1 .*/bin/zsh", ""),
        (shell("read line"), "exit code 1 at `read line`", ""),
        (FileStep(source="a", destination="/bin/sh/x"), r"step 1 \(a -> /bin/sh/x\) failed", ""),
        (
            FileStep(source="a", destination="/a", owner="stranger"),
            "the image has no user 'stranger'",
            "",
        ),
    ],
)
def test_steps_that_cannot_be(
    client: docker.DockerClient,
    carried_out: Steps,
    busybox: str,
    folder: Path,
    step: FileStep | ShellStep,
    message: str,
    hint: str,
) -> None:
    (folder / "a").write_text("x")
    with pytest.raises(StepFailed, match=f"(?s){message}") as caught:
        carried_out(busybox, step)
    assert hint in caught.value.hint
    assert waiting(client, busybox) == []


def test_a_source_that_changes_under_way_is_not_taken_for_another(
    carried_out: Steps, busybox: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether_image_builder.spec import steps

    (folder / "a").write_text("one")
    copy = steps.copy_order

    def meddling(*arguments: Any) -> Any:
        (folder / "a").write_text("two")
        return copy(*arguments)

    monkeypatch.setattr(steps, "copy_order", meddling)
    with pytest.raises(SpecInvalid, match="of step 1 changed while the image was built"):
        carried_out(busybox, FileStep(source="a", destination="/a"))


def test_an_image_without_a_shell_is_lent_ours(
    client: docker.DockerClient,
    carried_out: Steps,
    make_image: MakeImage,
    busybox: str,
    own_engine: Any,
    still_code: dict[str, bytes],
) -> None:
    from tether_image_builder.models import ignore_progress
    from tether_image_builder.volume import ensure_volume

    base = make_image(
        f"FROM {busybox} AS all\nFROM scratch\nCOPY --from=all /bin/busybox /busybox"
    ).tags[0]
    recipe = EnvironmentRecipe.load("portable", own_engine.platform)
    recipe.ensure(own_engine, ignore_progress)

    def own_environment() -> str:
        return ensure_volume(own_engine, recipe.described, ignore_progress)

    prepared = carried_out(
        base,
        shell("x=(1 2)", 'echo "${x[1]}" >/made', "/busybox ls /opt/tether/bin >/seen"),
        own_environment=own_environment,
    )
    container = client.containers.create(prepared.image_id, ["-"])
    try:
        names = set(files(container))
    finally:
        container.remove()
    assert {"made", "seen", "busybox"} <= names
    assert not [name for name in names if name.startswith("opt/tether/")]


def test_files_go_into_an_image_for_another_platform(
    client: docker.DockerClient, carried_out: Steps, names: list[str], folder: Path
) -> None:
    layer = context_archive({"there": b"x"})
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]}
    config = {"architecture": "s390x", "os": "linux", "rootfs": rootfs}
    name = "tether-test/spec-elsewhere:1"
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    parts = {"manifest.json": manifest, "config.json": config}
    image = {name: json.dumps(part).encode() for name, part in parts.items()}
    client.images.load(context_archive({**image, "layer.tar": layer}))
    names.append(name)
    (folder / "a").write_text("x")
    prepared = carried_out(name, FileStep(source="a", destination="/a"))
    assert client.images.get(prepared.image_id).attrs["Architecture"] == "s390x"


def waiting(client: docker.DockerClient, image: str) -> list[Any]:
    """Containers of steps on an image."""
    wanted = {"label": "tether.step=running", "ancestor": image}
    return list(client.containers.list(all=True, filters=wanted))


def test_a_container_ends_when_whoever_made_it_is_gone(
    client: docker.DockerClient, busybox: str, carried_out: Steps
) -> None:
    """The engine closes its standard input, and the next step takes it away."""
    from tether_image_builder.spec import container

    made = container._create(client.api, container.described(client.api, busybox), "/bin/sh", {})
    try:
        attached = client.api.attach_socket(made, params={"stdin": 1, "stream": 1})
        with container._opened(attached):
            client.api.start(made)
            assert client.api.inspect_container(made)["State"]["Running"]
        assert client.api.wait(made, timeout=60)["StatusCode"] == container.ABANDONED
        carried_out(busybox, shell("true"))
        assert waiting(client, busybox) == []
    finally:
        for left in waiting(client, busybox):
            left.remove(force=True)


def test_an_interruption_leaves_no_container(
    client: docker.DockerClient, busybox: str, carried_out: Steps
) -> None:
    def interrupt(step: BuildProgress) -> None:
        if step.message == "now":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(busybox, shell("echo now; sleep 600"), report=interrupt)
    assert waiting(client, busybox) == []


@pytest.mark.parametrize(
    ("before", "destination", "place"),
    [
        ("true", "/etc", "/etc"),
        ("mkdir /etc/a", "/etc/", "/etc/a"),
        ("ln -s etc /linked", "/linked", "/linked"),
        ("ln -s /up/etc /one; ln -s / /up; ln -s one /two", "/two", "/two"),
        ("ln -s /etc /one; mkdir /etc/in", "/one/in", "/one/in"),
    ],
)
def test_a_file_takes_no_folder_s_place(
    carried_out: Steps, busybox: str, folder: Path, before: str, destination: str, place: str
) -> None:
    (folder / "a").write_text("one\n")
    with pytest.raises(SpecInvalid) as caught:
        carried_out(busybox, shell(before), FileStep(source="a", destination=destination))
    assert f"step 2, field `destination`: {place} is a folder" in caught.value.message
    assert f"`{place}/`" in caught.value.hint


def test_a_file_takes_a_file_s_or_a_link_s_place(
    client: docker.DockerClient, carried_out: Steps, busybox: str, folder: Path
) -> None:
    (folder / "a").write_text("one\n")
    prepared = carried_out(
        busybox,
        shell("echo two >/b; ln -s nowhere /c; rm -rf /var; mkdir /d"),
        *(FileStep(source="a", destination=place) for place in ("/b", "/c", "/var", "/d/")),
    )
    assert run(client, prepared.image_id, "cat /b /c /var /d/a") == "one\n" * 4
