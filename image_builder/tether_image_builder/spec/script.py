"""What a shell is told on its standard input: files first, then the script of a step.

Nothing but the shell is needed for that. The files lie in memory (two tmpfs below /dev, which is
one itself, so that not even an empty folder is left of them), and go when the container goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

WORK = "/dev/tether/step"
SECRETS = "/dev/tether/secrets"
CERTIFICATES = f"{WORK}/ca.crt"
APT_SETTINGS = f"{WORK}/apt.conf"
SCRIPT = f"{WORK}/script"
AT = f"{WORK}/at"
LOCK_WAIT_S = 300
OWN_FAILURE = 125

# What tools look at for certificates, each its own.
CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)


def environment(*, has_certificates: bool, has_secrets: bool) -> dict[str, str]:
    """Variables of every shell step: nothing asks, and package managers wait for their locks."""
    variables = {
        "DEBIAN_FRONTEND": "noninteractive",
        "GIT_TERMINAL_PROMPT": "0",
        "PIP_NO_INPUT": "1",
        "APT_CONFIG": APT_SETTINGS,
        "ZYPP_LOCK_TIMEOUT": str(LOCK_WAIT_S),
    }
    if has_certificates:
        variables |= dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES)
    if has_secrets:
        variables["TETHER_SECRETS"] = SECRETS
    return variables


def apt_settings(settings_of_host: str, *, has_certificates: bool) -> str:
    """An apt.conf that the image's own comes after, and so counts less than."""
    lines = [f'DPkg::Lock::Timeout "{LOCK_WAIT_S}";', *settings_of_host.splitlines()]
    if has_certificates:
        lines.append(f'Acquire::https::CaInfo "{CERTIFICATES}";')
    return "\n".join([*lines, ""])


def script_of(commands: Sequence[str]) -> str:
    """The commands in one shell, which ends at the first that fails; it notes where it is."""
    lines = ["set -e"]
    for number, command in enumerate(commands, 1):
        lines += [f"echo {number} >{AT}", command]
    return "\n".join([*lines, ""])


def program(shell: str, commands: Sequence[str], files: Mapping[str, bytes]) -> bytes:
    """What a shell reads from its standard input to lay files down and become a step.

    Args:
        shell: the path of the shell that goes on with the commands.
        commands: of the step.
        files: contents by path, below `WORK` or `SECRETS`.
    """
    laid = {**files, SCRIPT: script_of(commands).encode()}
    lines = [b"tether_umask=$(umask)"]
    for path, content in laid.items():
        mask = b"077" if path.startswith(SECRETS) else b"022"  # apt reads as a user of its own
        ending = f" >{quoted(path)} || exit {OWN_FAILURE}".encode()
        lines.append(b"umask " + mask + b"; " + _printed(content) + ending)
    lines.append(b'umask "$tether_umask"; unset tether_umask')
    # One stream for both outputs: of two, the engine does not say which was written to first.
    lines.append(f"exec {quoted(shell)} {SCRIPT} </dev/null 2>&1".encode())
    return b"\n".join([*lines, b""])


def _printed(content: bytes) -> bytes:
    """A command that prints these bytes, whatever they are."""
    if re.fullmatch(rb"[\t\n\r -~]*", content):
        return b"printf %s '" + content.replace(b"'", b"'\\''") + b"'"
    return b"printf %b '" + b"".join(b"\\0%03o" % byte for byte in content) + b"'"


def quoted(text: str) -> str:
    """One word of a shell."""
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"
