from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_image_builder.names import built_tag, is_pullable, is_same_name, is_valid_tag

IMAGE_ID = "sha256:" + "0123456789abcdef" * 4
FINGERPRINT = "fedcba9876543210" * 4
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("debian", "debian_tether"),
        ("python:3.12-slim", "python_tether"),
        ("library/python:3.12", "library/python_tether"),
        ("registry.example:5000/team/app:1", "registry.example:5000/team/app_tether"),
        ("registry.example:5000/app", "registry.example:5000/app_tether"),
        ("[::1]:5000/app", "[::1]:5000/app_tether"),
        ("Registry.example/app", "Registry.example/app_tether"),
        (f"debian@{DIGEST}", "debian_tether"),
        (f"debian:{'a' * 128}", "debian_tether"),
        (
            f"registry.example:5000/team/app:{'A' * 128}@{DIGEST}",
            "registry.example:5000/team/app_tether",
        ),
        ("REGISTRY.EXAMPLE:443/team/app:1", "REGISTRY.EXAMPLE:443/team/app_tether"),
        ("localhost/app", "localhost/app_tether"),
        (f"registry.example:5000/app:1@{DIGEST}", "registry.example:5000/app_tether"),
        (IMAGE_ID, "image-0123456789ab_tether"),
        (IMAGE_ID.removeprefix("sha256:"), "image-0123456789ab_tether"),
        ("0123456789ab", "image-0123456789ab_tether"),
        ("0123", "image-0123456789ab_tether"),
        ("abcd", "abcd_tether"),  # looks like an id, and is none of this image
        ("a/" * 124 + "app", "image-0123456789ab_tether"),  # too long with the suffix
    ],
)
def test_the_name_of_what_is_made(image: str, expected: str) -> None:
    tag = built_tag(image, IMAGE_ID, FINGERPRINT)
    assert tag == f"{expected}:fedcba9876543210"
    assert is_valid_tag(tag)


@given(st.text(max_size=300))
def test_whatever_an_image_is_called_the_tag_is_valid(image: str) -> None:
    assert is_valid_tag(built_tag(image, IMAGE_ID, FINGERPRINT))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "App",
        "team//app",
        "app:",
        "app:a b",
        "-app",
        "app_",
        "a" * 256,
        "a" * 64,
        IMAGE_ID,
        "sha256",
        f"app@{DIGEST}",
        f"app:{'a' * 129}",
    ],
)
def test_no_valid_tag(name: str) -> None:
    assert not is_valid_tag(name)


@pytest.mark.parametrize(
    "name", ["app", "team/app:1", "localhost:5000/a.b-c__d:A.1_x", f"app:{'a' * 128}"]
)
def test_valid_tag(name: str) -> None:
    assert is_valid_tag(name)


def test_what_a_registry_can_be_asked_for() -> None:
    assert is_pullable("debian:bookworm")
    assert is_pullable(f"debian@{DIGEST}")
    assert not is_pullable(IMAGE_ID)
    assert not is_pullable("not a name")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("app", "app:latest", True),
        ("docker.io/library/app", "app", True),
        ("index.docker.io/team/app:1", "team/app:1", True),
        ("localhost/app", "app", False),
        ("host.example:5000/app", "host.example:5000/app:latest", True),
        ("app:1", "app:2", False),
        ("app", f"app@{DIGEST}", False),
    ],
)
def test_names_of_the_same_image(one: str, other: str, expected: bool) -> None:
    assert is_same_name(one, other) is expected
