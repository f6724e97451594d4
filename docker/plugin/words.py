"""What build stages run, and what they say to whoever reads their output.

A line that begins with `progress: ` is told as it comes, and the lines behind it where it fails.
One that begins with `plugin: ` is the reason why there will be no plugin, and `plugin invalid: `
where the package itself is at fault.
"""

import json
import re
import subprocess
import sys
from typing import Any, NoReturn

OTHER_PYTHON = ("requires a different python", "require a different python")
# What apt says of a name that its archives do not have.
NO_PACKAGE = re.compile(
    r"^E: (?:Unable to locate package |Couldn't find any package by (?:glob|regex) |Package )"
    r"'?([a-z0-9][a-z0-9+.-]+)'?(?: has no installation candidate)?$",
    re.MULTILINE,
)


def pip(to: str, command: str, *arguments: str) -> None:
    tell(to)
    code, said = shown(["/usr/local/bin/pip", command, *arguments])
    if code:
        if any(words in said.lower() for words in OTHER_PYTHON):
            version = ".".join(map(str, sys.version_info[:2]))
            invalid(f"it is not for Python {version}, which the environment has")
        fail(f"pip could not {to}")


def apt(name: str, packages: tuple[str, ...]) -> None:
    tell(f"install the Debian packages of {name}")
    code, said = shown(["sh", "/recipe/packages.sh", *packages])
    if missing := list(dict.fromkeys(NO_PACKAGE.findall(said))):
        invalid(
            f"its declaration names under `apt` what {debian()} has not: {', '.join(missing)}",
            "Correct the names: `apt-cache search WORD` in a container of that Debian lists what"
            " there is, and this machine's package archives are those that are asked",
        )
    if code:
        reasons = [line.removeprefix("E: ") for line in said.splitlines() if line[:3] == "E: "]
        why = f": {'; '.join(reasons)}" if reasons else ""
        fail(f"could not install the Debian packages of {name}: apt {ending(code)}{why}")


def debian() -> str:
    """The stage's own release, as people call it."""
    with open("/etc/os-release") as file:
        fields = dict(line.rstrip().partition("=")[::2] for line in file)
    return f"Debian {fields.get('VERSION', '').strip(chr(34))}".strip()


def run(to: str, *command: str, **options: Any) -> None:
    tell(to)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        fail(f"could not {to}: it {ending(done.returncode)}")


def shown(command: list[str]) -> tuple[int, str]:
    """Runs a program whose lines are shown as they come; its exit code, and all that it said."""
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, errors="replace", **options)
    said = []
    for line in process.stdout or ():
        said.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()
    return process.wait(), "".join(said)


def tell(to: str) -> None:
    sys.stdout.write(f"progress: {to}\n")
    sys.stdout.flush()


def ending(code: int) -> str:
    return "ended with " + (f"exit code {code}" if code > 0 else f"signal {-code}")


def fail(reason: str) -> NoReturn:
    sys.stdout.flush()
    raise SystemExit(f"plugin: {reason}")


def invalid(reason: str, hint: str = "") -> NoReturn:
    sys.stdout.flush()
    raise SystemExit(f"plugin invalid: {json.dumps([reason, hint])}")
