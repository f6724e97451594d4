from __future__ import annotations

from dataclasses import replace

from tether_image_builder.render import (
    FORMER_COMMAND_LABEL,
    FORMER_ENTRYPOINT,
    FORMER_ENTRYPOINT_LABEL,
    Source,
    own_command,
    render,
)

SOURCE = Source(
    base="sha256:aaaa",
    environment="portable",
    environment_fingerprint="ffff",
    environment_base_image="tether-env-portable-base:1",
    environment_image="tether-env-portable:2",
)

GOLDEN = r"""FROM sha256:aaaa
COPY --from=tether-env-portable-base:1 /opt/tether /opt/tether
COPY --from=tether-env-portable:2 /opt/tether/code /opt/tether/code
LABEL \
    "tether.base"="sha256:aaaa" \
    "tether.environment"="portable" \
    "tether.environment.fingerprint"="ffff" \
    "tether.fingerprint"="1234"
"""


def test_the_whole_text() -> None:
    assert render(SOURCE, fingerprint="1234") == GOLDEN


def test_without_a_fingerprint_the_text_is_what_it_is_taken_over() -> None:
    assert "tether.fingerprint" not in render(SOURCE)


def test_another_base_is_built_from_and_the_label_names_the_image() -> None:
    text = render(SOURCE, base="sha256:bbbb")
    assert text.startswith("FROM sha256:bbbb\n")
    assert '"tether.base"="sha256:aaaa"' in text


def test_a_label_s_value_is_quoted() -> None:
    text = render(replace(SOURCE, environment='a "b" $c \\ d'))
    assert (
        r"""    "tether.environment"="a \"b\" \$c \\ d" \
"""[:-3]
        in text
    )


def test_what_an_earlier_version_replaced_is_written_back() -> None:
    text = render(replace(SOURCE, restored=(("/run", "a\nb", "ü"), None)))
    assert text.endswith('\nENTRYPOINT ["/run", "a\\nb", "\\u00fc"]\nCMD []\n')


def test_an_earlier_client_is_removed_first_and_the_user_stays() -> None:
    lines = render(replace(SOURCE, cleared_as='a"b')).splitlines()
    assert lines[1] == "USER 0"
    assert lines[2].startswith('RUN ["/opt/tether/bin/bash", "-p", "-c", "unset')
    assert lines[3] == r'USER "a\"b"'
    assert lines[4].startswith("COPY")
    assert 'USER ""' in render(replace(SOURCE, cleared_as="")).splitlines()


def test_an_image_s_own_words() -> None:
    assert own_command(("/run",), ("x",), {}) == (("/run",), ("x",))
    labels = {FORMER_ENTRYPOINT_LABEL: '["a", "b"]', FORMER_COMMAND_LABEL: "null"}
    assert own_command(FORMER_ENTRYPOINT, None, labels) == (("a", "b"), None)
    assert own_command(FORMER_ENTRYPOINT, ("later",), labels) == (("a", "b"), ("later",))
    assert own_command(FORMER_ENTRYPOINT, None, {}) == (None, None)
