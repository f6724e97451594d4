"""What a spec may say, and what is said of one that may not."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from tether_image_builder.errors import SpecInvalid
from tether_image_builder.spec import FileStep, Secret, ShellStep, Spec, load_spec

WHOLE = """
image = "debian:bookworm"
env = "portable"
tag = "team/task:1"
platform = "amd64"

[secrets]
token = { env = "TOKEN", version = "2" }
key = { file = "key.pem" }

[[steps]]
kind = "file"
source = "data"
destination = "/srv/data/"
mode = "0640"
owner = "agent:agent"

[[steps]]
kind = "shell"
commands = ["make", "make install"]
user = "agent"
workdir = "/srv/data"
env = { CFLAGS = "-O2" }
shell = "/bin/bash"
secrets = ["token"]

[[steps]]
kind = "shell"
commands = "true"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "task.toml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, WHOLE))
    assert spec == Spec(
        image="debian:bookworm",
        env="portable",
        tag="team/task:1",
        platform="linux/amd64",
        secrets={"token": Secret(env="TOKEN", version="2"), "key": Secret(file="key.pem")},
        steps=(
            FileStep(source="data", destination="/srv/data/", mode="0640", owner="agent:agent"),
            ShellStep(
                commands=("make", "make install"),
                user="agent",
                workdir="/srv/data",
                env={"CFLAGS": "-O2"},
                shell="/bin/bash",
                secrets=("token",),
            ),
            ShellStep(commands="true"),
        ),
        folder=tmp_path,
    )


def test_nothing_is_a_spec_too(tmp_path: Path) -> None:
    assert load_spec(written(tmp_path, "")) == Spec(folder=tmp_path)


def step(**fields: str) -> str:
    lines = "\n".join(f"{name} = {value}" for name, value in fields.items())
    return f'[[steps]]\nkind = "shell"\ncommands = "true"\n[[steps]]\n{lines}\n'


FILE = {"kind": '"file"', "source": '"a"', "destination": '"/a"'}
SHELL = {"kind": '"shell"', "commands": '"true"'}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image = ", "it is no TOML"),
        ("image = ''", "field `image`"),
        ("images = 'a'", "field `images`: there is no such field; did you mean `image`?"),
        ("x = 'a'", "field `x`: there is no such field; there are env, image, platform, plugin_"),
        ("image = 1", "field `image`: it has to be a string"),
        ("steps = 1", "field `steps`: it has to be a list"),
        ("steps = [1]", "step 1: it has to be a table"),
        ("[[step]]", "field `step`: there is no such field; did you mean `steps`?"),
        ("[secrets]\na = { evn = 'A' }", "did you mean `env`?"),
        ("tag = 'No Name'", "field `tag`: no valid name"),
        ("platform = 'PDP 11'", "field `platform`"),
        ("env = 'conda'", "field `env`: there is no environment 'conda'"),
        ("folder = '/'", "field `folder`"),
        ("[secrets]\n'a b' = { env = 'A' }", "field `secrets.a b"),
        ("[secrets]\na = { env = 'A', file = 'b' }", "field `secrets.a`: a secret has either"),
        ("[secrets]\na = {}", "field `secrets.a`: a secret has either"),
        (step(kind='"copy"'), "step 2: there is no kind 'copy'; there are `file` and `shell`"),
        (step(commands='"true"'), "step 2: it has no `kind`; there are `file` and `shell`"),
        (step(**SHELL, command='"a"'), "step 2, field `command`: there is no such field; did you"),
        (step(**{**FILE, "source": '"/etc/passwd"'}), "step 2, field `source`: a source is"),
        (step(**{**FILE, "source": '"a/../../b"'}), "step 2, field `source`: a source is"),
        (step(**{**FILE, "source": '""'}), "step 2, field `source`: a source is"),
        (step(**{**FILE, "source": '"a\\u0000"'}), "step 2, field `source`: a path has no NUL"),
        (step(**{**FILE, "destination": '"srv"'}), "step 2, field `destination`: a path in"),
        (step(**{**FILE, "destination": '"/srv/../x"'}), "step 2, field `destination`"),
        (step(**{**FILE, "destination": '"/srv\\nRUN x"'}), "step 2, field `destination`"),
        (step(**{**FILE, "destination": '"/opt/tether/x"'}), "is the runtime client's own"),
        (step(**FILE, mode='"u+x"'), "step 2, field `mode`: it has to be a string of octal"),
        (step(**FILE, mode='"4755"'), "step 2, field `mode`: it has to be a string of octal"),
        (step(**FILE, mode="420"), "step 2, field `mode`: it has to be a string of octal"),
        (step(**FILE, owner='"a b"'), "step 2, field `owner`: it is a user, or user:group"),
        (step(kind='"shell"'), "step 2, field `commands`: it has to be there"),
        (step(**{**SHELL, "commands": "[]"}), "step 2, field `commands`: there is no command"),
        (step(**{**SHELL, "commands": '["true", " "]'}), "step 2, field `commands`: there is no"),
        (step(**{**SHELL, "commands": '"a\\u0000"'}), "step 2, field `commands`: a command has"),
        (step(**SHELL, workdir='"srv"'), "step 2, field `workdir`: a path in the image"),
        (step(**SHELL, env='{ "A=B" = "1" }'), "step 2, field `env`"),
        (step(**SHELL, env="{ A = 1 }"), "step 2, field `env.A`"),
        (step(**SHELL, secrets='["x"]'), "step 2, field `secrets`: [secrets] does not say"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecInvalid) as caught:
        load_spec(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message
    assert "docs/build-steps.md" in caught.value.hint
    assert caught.value.code == "spec_invalid"


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid) as caught:
        load_spec(written(tmp_path, "image = 1\ntag = 'No Name'"))
    assert len(caught.value.data["problems"]) == 2
    assert "\n  field `tag`" in caught.value.message


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecInvalid, match=r"No such file|Is a directory"):
        load_spec(tmp_path / name)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_bytes(b"image = '\xff'")
    with pytest.raises(SpecInvalid, match="it is no TOML"):
        load_spec(path)


def test_values_stay_out_of_the_models_own_errors() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        ShellStep(commands="true", env={"A=hunter2": "hunter2"}, user="hunter2 !")
    assert "input_value" not in str(caught.value)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError):
        Spec().image = "other"  # type: ignore[misc]
