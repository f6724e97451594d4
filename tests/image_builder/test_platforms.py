from __future__ import annotations

import pytest

from tether_image_builder.platforms import normal_platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("Linux/ARM64/v8", "linux/arm64"),
        (" aarch64 ", "linux/arm64"),
        ("linux/arm/v7", "linux/arm"),
        ("s390x", "linux/s390x"),
    ],
)
def test_platforms_in_the_engine_s_words(text: str, expected: str) -> None:
    assert normal_platform(text) == expected


@pytest.mark.parametrize(
    "text", ["", "linux/", "a/b/c", "linux amd64", "linux/amd64\n--x", "ü", "windows", "Linux"]
)
def test_no_platform(text: str) -> None:
    with pytest.raises(ValueError, match="is no platform; one is linux/amd64"):
        normal_platform(text)
