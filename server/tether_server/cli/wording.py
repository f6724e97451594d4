"""What hints call by its name in Python, as it is called on the command line: one table."""

from __future__ import annotations

import re

_PYTHON_TO_OPTION = (
    (r"backend='local'", "--local"),
    (r"backend='docker'", "an image"),
    (r"transport=Dial\(address='([^']*)'\)", r"--transport dial=\1"),
    (r"transport=Ssh\(host='([^']*)'\)", r"--transport ssh=\1"),
    (r"mem_limit='([^']*)'", r"--memory \1"),
    (r"\b(transport|inject|entrypoint|links|user|network)='([^']*)'", r"--\1 \2"),
    (r"plugins=\[\.\.\.\] of the runtime", "--plugins NAME"),
    (r"plugins=\[\"([^\"]*)\"\]", r"--plugin \1"),
    (r"of `sidecars`", "of --sidecar"),
    (r"`(?:cwd|workdir)`", "--workdir"),
    (r"`start_timeout_s`", "--start-timeout"),
    (r"`(user|network|transport)`", r"--\1"),
    (r"token=True \(one is made\), token='...' or tls=...", "--token or --tls-cert"),
    (
        r"what happened until then stays in `runtime\.events`",
        "what happened until then is in `tether events NAME`, unless `tether rm` took it along",
    ),
    (r"`runtime\.events`", "`tether events NAME`"),
    (r"`runtime\.process\(id\)`", "`tether exec NAME --attach ID`"),
)
"""A pattern of text, and what stands for it; the first that fits counts."""


def on_command_line(text: str) -> str:
    """`text` with options in the place of arguments and of what else only Python has."""
    for pattern, option in _PYTHON_TO_OPTION:
        text = re.sub(pattern, option, text)
    return text
