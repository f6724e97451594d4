"""What is wrong with a declaration is said by its field and the form that it has to have."""

from __future__ import annotations

import pytest

from tether_runtime_client.plugin.declaration import parse_declaration
from tether_runtime_client.protocol.errors import PluginInvalid

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
