"""This machine's way to package archives, for the build stage of an environment.

Certificates, mirrors and proxies go into the folder `host` of a build context. They serve the
stage that downloads, and are no part of what it makes.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CA_IN_STAGE = "/host/ca.crt"
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")

_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_PIP_ALIASES = {"default-timeout": "timeout"}
_APT_OPTION = re.compile(
    r'Acquire::(?:https?::(?:Proxy(?:::[^\s:]+)?|Timeout)|Retries|Check-Valid-Until|Check-Date)\s".+";'
)


def host_files(suite: str, certificate: bytes | None = None) -> dict[str, bytes]:
    """The folder `host` for a stage of that Debian suite: what this machine has of it.

    `certificate`, in PEM form, is trusted beside what this machine trusts.
    """
    files: dict[str, bytes] = {}
    authority = Path(os.environ.get("SSL_CERT_FILE") or SYSTEM_CA)
    own = authority.read_bytes() if authority.is_file() else None
    if has_ca := bool(own or certificate):
        files["host/ca.crt"] = b"\n".join(part for part in (own, certificate) if part)
    files["host/pip.conf"] = pip_settings(_pip_config(), has_ca=has_ca).encode()
    files["host/apt.conf"] = apt_settings(_output(["apt-config", "dump"]), has_ca=has_ca).encode()
    for name, text in apt_sources(_source_files(), suite).items():
        files[f"host/sources/{name}"] = text.encode()
    return files


def proxy_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """Build arguments that every builder knows and keeps out of the image's history."""
    names = [*PROXIES, *(name.upper() for name in PROXIES)]
    return {name: environment[name] for name in names if environment.get(name)}


def pip_settings(listing: str, *, has_ca: bool) -> str:
    """A pip.conf out of `pip config list`; what only this machine can reach is left out.

    Later lines of the listing win, as with pip: files first, then `install`, then variables.
    """
    chosen: dict[str, str] = {"cert": CA_IN_STAGE} if has_ca else {}
    for section in ("global", "install", ":env:"):
        for found in re.finditer(rf"^{section}\.(\S+?)=(.*)$", listing, re.MULTILINE):
            name = _PIP_ALIASES.get(found[1], found[1])
            value = _reachable(name, _literal(found[2]))
            if name in _PIP_OPTIONS and value:
                chosen[name] = value
    return "\n".join(["[global]", *(f"{name} = {chosen[name]}" for name in sorted(chosen)), ""])


def _literal(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text


def _reachable(name: str, value: str) -> str:
    if not name.endswith("index-url"):
        return value.strip()
    return " ".join(url for url in value.split() if url.startswith(("http://", "https://")))


def apt_settings(dump: str, *, has_ca: bool) -> str:
    """Proxies and limits out of `apt-config dump`, and the certificates of the stage."""
    lines = [line for line in dump.splitlines() if _APT_OPTION.fullmatch(line)]
    if has_ca:
        lines.append(f'Acquire::https::CaInfo "{CA_IN_STAGE}";')
    return "\n".join([*lines, ""])


def apt_network_settings() -> str:
    """Proxies and limits of this machine's apt, without any certificates."""
    return apt_settings(_output(["apt-config", "dump"]), has_ca=False)


def apt_sources(files: Mapping[str, str], suite: str) -> dict[str, str]:
    """The files that name Debian's own archive for a suite and nothing else."""
    return {name: text for name, text in files.items() if _is_archive(name, text, suite)}


def _is_archive(name: str, text: str, suite: str) -> bool:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if name.endswith(".sources"):
        return _are_usable(*_stanza_values(lines), suite=suite)
    return _are_usable(*_line_values(lines), suite=suite)


def _stanza_values(lines: list[str]) -> tuple[list[str], ...]:
    """Suites, places and keys of a file in deb822 form."""
    fields = [line.partition(":") for line in lines]
    return tuple(
        [word for key, _, value in fields if key == wanted for word in value.split()]
        for wanted in ("Suites", "URIs", "Signed-By")
    )


def _line_values(lines: list[str]) -> tuple[list[str], ...]:
    """Suites, places and keys of a file with one entry a line."""
    found = [re.fullmatch(r"deb(?:-src)?\s+(\[.*?\]\s+)?(\S+)\s+(\S+).*", line) for line in lines]
    entries = [entry for entry in found if entry]
    options = " ".join(entry[1] or "" for entry in entries)
    keys = re.findall(r"signed-by=([^\s\]]+)", options)
    return [entry[3] for entry in entries], [entry[2] for entry in entries], keys


def _are_usable(suites: list[str], places: list[str], keys: list[str], *, suite: str) -> bool:
    own = {suite, *(f"{suite}-{part}" for part in ("updates", "security", "backports"))}
    return (
        bool(suites and places)
        and own.issuperset(suites)
        and all(place.startswith(("http://", "https://")) for place in places)
        and all("debian-archive-" in key for key in keys)
    )


def _source_files() -> dict[str, str]:
    folder = Path("/etc/apt/sources.list.d")
    paths = [
        Path("/etc/apt/sources.list"),
        *sorted(folder.glob("*.list")),
        *folder.glob("*.sources"),
    ]
    return {path.name: path.read_text(errors="replace") for path in paths if path.is_file()}


def _pip_config() -> str:
    return _output([sys.executable, "-m", "pip", "config", "list"])


def _output(command: list[str]) -> str:
    """What a command prints; nothing where there is no such command."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return ""
    return result.stdout
