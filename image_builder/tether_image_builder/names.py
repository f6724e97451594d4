"""Names of images: what is valid, and what a built image is called."""

from __future__ import annotations

import re
from hashlib import sha256

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*")
_REFERENCE = re.compile(
    rf"(?P<repository>{_REPOSITORY.pattern})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?"
)
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
_LIKE_AN_ID = re.compile(r"[0-9a-f]{64}|sha(?:256|384|512)(?::.*)?")

SUFFIX = "_tether"
_DEFAULT_REGISTRY = "docker.io"  # where an engine looks for a name without a registry
MAX_REPOSITORY = 255
FINGERPRINT_DIGITS = 16


def is_valid_tag(name: str) -> bool:
    """Whether `docker tag` takes it: a repository, with or without a tag, without a digest.

    What could be an image's id is no name: 64 hexadecimal digits, or a hash's name before them.
    """
    found = _REFERENCE.fullmatch(name)
    if not found or found["digest"] is not None or _LIKE_AN_ID.fullmatch(name):
        return False
    return len(found["repository"]) <= MAX_REPOSITORY


def is_pullable(name: str) -> bool:
    """Whether a registry can be asked for it (an image's id is none of a registry's names)."""
    return not name.startswith("sha256:") and _REFERENCE.fullmatch(name) is not None


def split(name: str) -> tuple[str, str]:
    """Repository and tag; a digest takes the tag's place."""
    if "@" in name:
        repository, digest = name.split("@", 1)
        return re.sub(r":[^/:]+$", "", repository), digest
    found = re.fullmatch(r"(.+?)(?::([^/:]+))?", name)
    return (found[1], found[2] or "latest") if found else (name, "latest")


def is_same_name(one: str, other: str) -> bool:
    """Whether two names mean the same image of the same registry, however much is left out."""
    return _whole(one) == _whole(other)


def _whole(name: str) -> tuple[str, str]:
    repository, tag = split(name)
    host, slash, rest = repository.partition("/")
    if not slash or not (re.search(r"[.:]", host) or host == "localhost"):
        host, rest = _DEFAULT_REGISTRY, repository
    if host in (_DEFAULT_REGISTRY, f"index.{_DEFAULT_REGISTRY}"):
        return f"{_DEFAULT_REGISTRY}/{rest if '/' in rest else f'library/{rest}'}", tag
    return f"{host}/{rest}", tag


def built_tag(image: str, image_id: str, fingerprint: str) -> str:
    """The name of what is made from an image: `<repository>_tether:<16 digits>`.

    A bare id and a name too long for the suffix give a name made of the id's first digits.
    """
    found = _REFERENCE.fullmatch(image)
    repository = f"{found['repository']}{SUFFIX}" if found else ""
    if not found or is_id_of(image, image_id) or len(repository) > MAX_REPOSITORY:
        repository = f"image-{_short_id(image_id)}{SUFFIX}"
    return f"{repository}:{fingerprint[:FINGERPRINT_DIGITS]}"


def is_id_of(image: str, image_id: str) -> bool:
    """Whether what the user wrote is the image's id or a beginning of it."""
    found = _ID.fullmatch(image)
    return bool(found and image_id.removeprefix("sha256:").startswith(found[1]))


def _short_id(image_id: str) -> str:
    found = re.fullmatch(r"sha256:([0-9a-f]{12,})", image_id)
    return (found[1] if found else sha256(image_id.encode()).hexdigest())[:12]
