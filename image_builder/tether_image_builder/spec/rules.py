"""The linter's rules: each looks at one call and says what it would have changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from .calls import Call
from .shell_words import UNKNOWN
from .state import APT, CHANGES, FRONTEND, INSTALLS, QUIET, State, apt_verb


@dataclass(frozen=True)
class Warned:
    """What a rule says."""

    code: str
    message: str
    fix: str


Rule = Callable[[Call, State], Iterator[Warned]]


def apt_without_yes(call: Call, _: State) -> Iterator[Warned]:
    """Nobody is there to answer."""
    verb = apt_verb(call)
    if call.program not in APT or verb not in CHANGES:
        return
    text = " ".join(call.arguments)
    if UNKNOWN in text or re.search(r"APT::Get::Assume-Yes=(\"?true|\"?1)", text, re.I):
        return
    if not any(_says_yes(option) for option in call.options):
        yield Warned(
            "apt-without-yes",
            f"`{call.program} {verb}` asks whether to go on, and nobody answers",
            "Add -y",
        )


def _says_yes(option: str) -> bool:
    if option in ("--yes", "--assume-yes", "--quiet=2"):
        return True
    letters = option[1:] if re.fullmatch(r"-[A-Za-z]+", option) else ""
    return "y" in letters or letters.count("q") > 1


def apt_without_update(call: Call, state: State) -> Iterator[Warned]:
    """Images come without package lists, or with old ones."""
    verb = apt_verb(call)
    if call.program not in APT or verb not in INSTALLS or state.updated_here:
        return
    if _only_files(call, verb):
        return
    if state.updated_before:
        yield Warned(
            "apt-update-in-another-step",
            f"`{call.program} {verb}` uses lists of packages that an earlier step fetched, which"
            " may have been long ago: steps are kept",
            "Run `apt-get update` in this step too",
        )
    else:
        yield Warned(
            "apt-without-update",
            f"`{call.program} {verb}` comes without lists of packages, which most images lack",
            "Run `apt-get update` before it, in the same step",
        )


def _only_files(call: Call, verb: str) -> bool:
    words = call.arguments[call.arguments.index(verb) + 1 :]
    packages = [word for word in words if not word.startswith("-")]
    return bool(packages) and all("/" in each and each.endswith(".deb") for each in packages)


def frontend_lost(call: Call, state: State) -> Iterator[Warned]:
    """The builder sets DEBIAN_FRONTEND; only what takes it away is worth a word."""
    if call.program not in APT or apt_verb(call) not in CHANGES:
        return
    frontend = call.assignments.get(FRONTEND, state.frontend)
    if frontend not in (QUIET, UNKNOWN):
        said = f"is {frontend!r}" if frontend else "is not set"
        yield Warned(
            "frontend-lost",
            f"{FRONTEND} {said} for `{call.program}`, so that packages may ask, and nobody answers",
            f"Leave {FRONTEND} alone: it is {QUIET} in every step",
        )
    elif FRONTEND not in call.assignments and (program := _clears_variables(call)):
        yield Warned(
            "frontend-lost",
            f"`{program}` takes {FRONTEND} away from `{call.program}`, so that packages may ask,"
            " and nobody answers",
            f"Run it without `{program}`: the builder sets {FRONTEND} in every step",
        )


def _clears_variables(call: Call) -> str:
    for outer in call.through:
        options = outer.options
        if outer.program == "env" and {"-i", "-", "--ignore-environment"} & set(outer.arguments):
            return "env -i"
        if outer.program == "sudo" and not any(
            option.startswith(("-E", "--preserve-env")) for option in options
        ):
            return "sudo"
        if outer.program == "su" and {"-", "-l", "--login"} & set(outer.arguments):
            return "su -"
    return ""


def sudo(call: Call, _: State) -> Iterator[Warned]:
    """Steps are root's."""
    if call.program in ("sudo", "doas"):
        yield Warned(
            "sudo",
            f"`{call.program}` is not in most images, and a step runs as root without it",
            "Leave it out; for another user set `user` of the step",
        )


def lock_timeout(call: Call, _: State) -> Iterator[Warned]:
    """The builder sets it, for the time of the step only."""
    if re.search(r"DPkg::Lock::Timeout", call.text, re.I):
        yield Warned(
            "lock-timeout",
            "apt waits for its lock in every step anyway, and what is written to its settings"
            " stays in the image",
            "Leave DPkg::Lock::Timeout out",
        )


def cloud_init(call: Call, _: State) -> Iterator[Warned]:
    """There is none in a container."""
    waits = call.program == "cloud-init" and "status" in call.arguments
    looks = "/var/lib/cloud/" in call.text or "cloud-init" in call.arguments
    if waits or (looks and call.program in ("[", "test", "systemctl", "service", "tail", "ls")):
        yield Warned(
            "cloud-init-wait",
            "cloud-init does not run while an image is built: this waits for nothing, or for ever",
            "Leave it out",
        )


_UPDATER = re.compile(r"unattended-upgrades?|apt-daily(-upgrade)?")


def unattended_upgrades(call: Call, _: State) -> Iterator[Warned]:
    """No service runs during a build."""
    names = [call.program, *call.arguments]
    if call.program in ("echo", "printf", "grep") or not any(map(_UPDATER.search, names)):
        return
    if call.program in APT and apt_verb(call) in ("remove", "purge", "autoremove"):
        message = "removing unattended-upgrades is not needed: no service runs in a container"
    else:
        message = "no service upgrades packages in a container, while it is built or later"
    yield Warned("unattended-upgrades", message, "Leave it out")


_PYTHON = re.compile(r"python3?")
_SYSTEM_FOLDERS = {"/usr/bin", "/bin", "/usr/local/bin"}


def default_python(call: Call, _: State) -> Iterator[Warned]:
    """A system's own tools are written for the Python that it came with."""
    alternatives = call.program in ("update-alternatives", "alternatives")
    if alternatives and _changes_python(call.arguments):
        what = f"`{call.program}` changes which Python `python3` is"
    elif call.program in ("ln", "mv", "cp", "install") and _is_system_python(call.arguments[-1:]):
        what = f"`{call.program}` puts another program in the place of {call.arguments[-1]}"
    else:
        return
    yield Warned(
        "default-python",
        f"{what}, and apt and other tools of the system may stop working",
        "Leave the system's Python alone: make a virtual environment, or call `python3.x` by name",
    )


def _changes_python(arguments: tuple[str, ...]) -> bool:
    changing = {"--install", "--set", "--config", "--auto"} & set(arguments)
    return bool(changing) and any(_PYTHON.fullmatch(PurePosixPath(word).name) for word in arguments)


def _is_system_python(target: tuple[str, ...]) -> bool:
    path = PurePosixPath(*target)
    return str(path.parent) in _SYSTEM_FOLDERS and bool(_PYTHON.fullmatch(path.name))


_PIP = re.compile(r"pip[0-9.]*")
_PIP_OPTIONS_WITH_WORD = re.compile(
    r"-[citefrb]|--(index-url|extra-index-url|find-links|constraint|requirement|target|prefix|root"
    r"|editable|timeout|retries|proxy|cert|trusted-host|no-binary|only-binary|platform"
    r"|python-version|python|progress-bar|cache-dir|upgrade-strategy|config-settings|report|src)"
)


def unversioned_pip(call: Call, _: State) -> Iterator[Warned]:
    """What is installed depends on the day."""
    packages = _pip_packages(call)
    loose = [name for name in packages if not re.search(r"[=<>~!@]|/|\.whl$|\.tar", name)]
    if loose:
        names = ", ".join(f"`{name}`" for name in loose)
        yield Warned(
            "unversioned-pip",
            f"pip takes whichever version of {names} there is on the day, so that the same spec"
            " gives another image",
            "Say which version, as in `name==1.2`, or use a requirements file",
        )


def _pip_packages(call: Call) -> list[str]:
    """What pip is told to install by name; nothing where a file says the versions."""
    words = [call.program, *call.arguments]
    if re.fullmatch(r"python[0-9.]*", call.program) and words[1:2] == ["-m"]:
        words = words[2:]
    if words[:2] == ["uv", "pip"]:
        words = words[1:]
    if len(words) < 2 or not _PIP.fullmatch(words[0]) or "install" not in words:
        return []
    rest = words[words.index("install") + 1 :]
    if any(re.fullmatch(r"-c|--constraint(=.*)?", word) for word in rest):
        return []
    packages: list[str] = []
    while rest:
        word = rest.pop(0)
        if _PIP_OPTIONS_WITH_WORD.fullmatch(word):
            rest = rest[1:]
        elif not word.startswith("-") and UNKNOWN not in word and word not in (".", ".."):
            packages.append(word)
    return packages


RULES: tuple[Rule, ...] = (
    apt_without_yes,
    apt_without_update,
    frontend_lost,
    sudo,
    lock_timeout,
    cloud_init,
    unattended_upgrades,
    default_python,
    unversioned_pip,
)
