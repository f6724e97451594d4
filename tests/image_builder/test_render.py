from __future__ import annotations

from dataclasses import replace

from tether_image_builder.render import (
    COMMAND_LABEL,
    ENTRYPOINT_LABEL,
    Source,
    render,
    words_in_label,
)

SOURCE = Source(
    base="sha256:aaaa",
    environment="portable",
    environment_fingerprint="ffff",
    environment_base_image="tether-env-portable-base:1",
    environment_image="tether-env-portable:2",
    entrypoint=("/bin/sh", "-c", 'echo "$HOME" \\ done'),
    command=None,
)

GOLDEN = r"""FROM sha256:aaaa
COPY --from=tether-env-portable-base:1 /opt/tether /opt/tether
COPY --from=tether-env-portable:2 /opt/tether/code /opt/tether/code
LABEL \
    "tether.base"="sha256:aaaa" \
    "tether.cmd"="null" \
    "tether.entrypoint"="[\"/bin/sh\", \"-c\", \"echo \\\"\$HOME\\\" \\\\ done\"]" \
    "tether.environment"="portable" \
    "tether.environment.fingerprint"="ffff" \
    "tether.fingerprint"="1234"
ENTRYPOINT ["/opt/tether/bin/tether-runtime-client", "supervise"]
CMD []
"""


def test_the_whole_text() -> None:
    assert render(SOURCE, fingerprint="1234") == GOLDEN


def test_without_a_fingerprint_the_text_is_what_it_is_taken_over() -> None:
    assert "tether.fingerprint" not in render(SOURCE)


def test_another_base_is_built_from_and_the_label_names_the_image() -> None:
    text = render(SOURCE, base="sha256:bbbb")
    assert text.startswith("FROM sha256:bbbb\n")
    assert '"tether.base"="sha256:aaaa"' in text


def test_a_newline_stays_within_its_line() -> None:
    text = render(replace(SOURCE, command=("a\nb", "ü")))
    assert r'"tether.cmd"="[\"a\\nb\", \"\\u00fc\"]" \ '[:-1] in text


def test_words_come_back_out_of_labels() -> None:
    labels = {ENTRYPOINT_LABEL: '["a", "b"]', COMMAND_LABEL: "null"}
    assert words_in_label(labels, ENTRYPOINT_LABEL) == ("a", "b")
    assert words_in_label(labels, COMMAND_LABEL) is None
    assert words_in_label({}, COMMAND_LABEL) is None
