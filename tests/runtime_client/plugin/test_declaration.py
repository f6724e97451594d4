"""What is wrong with a declaration is said by its field and the form that it has to have."""

from __future__ import annotations

import pytest

from tether_runtime_client.plugin.declaration import parse_declaration
from tether_runtime_client.protocol.errors import PluginInvalid

SIDECAR = '[sidecar]\ncommand = ["{}"]\nready = "up"\nconfig = "at"\naddress = "{}"'
HEAD = 'name = "tides"\ndoor = 1\nentry = "a.b:C"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "is no TOML"),
        ("foo = 1", "foo: no such field"),
        ('[ports]\nweb = "4455"', "ports.web: Input should be a valid integer"),
        ("[ports]\nweb = 70000", "ports.web: Input should be less than or equal to 65535"),
        ('skills = ["a b"]', "skills.0: 'a b' is not the name of a module, as in package.module"),
        ('[commands]\nx = "a"', "x: 'a' is not a name in a module, as in package.module:Name"),
        ('[commands]\n"-x" = "a:b"', "without a hyphen in front"),
        ('[image]\nsetup = "/bin/sh"', "image.setup: '/bin/sh' is not a relative path"),
        ('[image.files]\n"../a" = "b"', "paths stay below"),
        ('[events]\n"moon.up" = "a:B"', "moon.up is not of this plugin, as tides.something is"),
        (SIDECAR.format("/bin/sh", "a"), "paths stay below"),
        (
            SIDECAR.format("a", "{pid}"),
            "{pid} stands for nothing; there are {port}, {token}, {prefix}",
        ),
        (SIDECAR.format("a", "b"), "who has a `sidecar` needs a `config`"),
        ('start = "now"', "start: Input should be 'first_use' or 'sandbox'"),
    ],
)
def test_a_wrong_field_is_named(text: str, said: str) -> None:
    with pytest.raises(PluginInvalid) as refusal:
        parse_declaration(HEAD + text, "some/tether-plugin.toml")
    assert refusal.value.message.startswith("some/tether-plugin.toml")
    assert said in refusal.value.message


def test_whole_numbers_are_times_and_lists_are_there() -> None:
    found = parse_declaration(HEAD + 'start_timeout_s = 30\nskills = ["a.b"]', "x")
    assert (found.start_timeout_s, found.skills) == (30.0, ("a.b",))


def test_what_a_sidecar_is_told() -> None:
    text = SIDECAR.format("a", "{prefix}:{port}/{token}{}")
    found = parse_declaration(f'config = "a.b:C"\n{HEAD}{text}', "x").sidecar
    assert found is not None
    told = found.filled(found.address, port=7, token="t", prefix="/p")
    assert told == "/p:7/t{}"
