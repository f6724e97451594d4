"""`skill`: the agent's skills in a shell. A function's parameters become arguments and options."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import re
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any

from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.plugin.skills import skill_folders
from tether_runtime_client.protocol.skills import Skill

from .catalogue import Catalogue
from .viewing import STATE

RAISED, WRONG_USE, INTERRUPTED = 1, 2, 130
"""Exit statuses; a skill that calls `sys.exit` has its own."""

USAGE = """\
usage: skill NAME [ARGUMENTS]              call a skill
       skill NAME --help                   print its manual
       skill --list                        print all skills
       skill --traceback NAME [ARGUMENTS]  call it, and tell where an error comes from

Parameters are given in their order or by name (--line-number 3), converted as they are annotated.
What the skill prints and returns goes to the standard output. Exit status: 0, or 1 when the skill
raised an error, or 2 when there is no such skill or its arguments are wrong.
"""


class WrongUse(Exception):
    """The command line cannot be understood; the text says why."""


def main(places: PluginPlaces) -> int:
    """Run the command line in `sys.argv`; returns the exit status."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `skill --list | head` ends without a word
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return _run(Catalogue(places), places, sys.argv[1:])
    except WrongUse as problem:
        sys.stderr.write(f"skill: {problem}\n")
        return WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(catalogue: Catalogue, places: PluginPlaces, words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        (sys.stdout if words else sys.stderr).write(USAGE)
        return 0 if words else WRONG_USE
    if words == ["--list"]:
        return _print_all(catalogue)
    with_traceback = words[0] == "--traceback"
    name, *arguments = words[with_traceback:] or [""]
    skill = _find(catalogue, name)
    if arguments[:1] in (["-h"], ["--help"]):
        return _print_manual(skill)
    _prepare(places)
    try:
        return _call(skill, arguments)
    except (WrongUse, KeyboardInterrupt):
        raise
    except Exception as problem:
        if with_traceback:
            traceback.print_exception(problem)
        sys.stderr.write(f"skill {skill.name}: {type(problem).__name__}: {problem}\n")
        return RAISED


# --- which there are


def _print_all(catalogue: Catalogue) -> int:
    skills, problems = catalogue.skills()
    for module in dict.fromkeys(skill.module for skill in skills):
        sys.stdout.write(f"{module}\n")
        for skill in (one for one in skills if one.module == module):
            sys.stdout.write(f"  {skill.name}{skill.signature}\n")
            if skill.doc:
                sys.stdout.write(f"      {skill.doc.splitlines()[0]}\n")
    for problem in problems:
        sys.stderr.write(f"skill: {problem}\n")
    return 0


def _print_manual(skill: Skill) -> int:
    manual = textwrap.indent(skill.doc or "It has no docstring.", "    ")
    sys.stdout.write(f"{skill.name}{skill.signature}\n\n{manual}\n\n(from {skill.module})\n")
    return 0


def _find(catalogue: Catalogue, name: str) -> Skill:
    """The skill that a name is for; `a.b.name` says in which module it is."""
    name = name.replace("-", "_")
    skills, problems = catalogue.skills()
    found = [skill for skill in skills if f".{_full(skill)}".endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        which = " or ".join(_full(skill) for skill in found)
        raise WrongUse(f"{name} is in several modules: say which, {which}")
    module, _, function = name.rpartition(".")
    if module in catalogue.modules():  # made by code, and so not in the source
        return Skill(name=function, module=module, signature="(...)")
    near = get_close_matches(name, {skill.name for skill in skills}, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else "skill --list prints those there are"
    told = "".join(f"\nskill: {problem}" for problem in problems)
    raise WrongUse(f"there is no skill {name!r}; {advice}{told}")


def _full(skill: Skill) -> str:
    return f"{skill.module}.{skill.name}"


# --- a call


def _prepare(places: PluginPlaces) -> None:
    """Skill modules can be imported, and what is open in this shell is remembered."""
    links = [entry for entry in _entries(places.skills) if entry.is_symlink()]
    sys.path.extend(skill_folders(places.plugins, places.skills))
    sys.path.extend(str(entry.readlink().parent) for entry in links)
    if STATE not in os.environ:
        with suppress(OSError):  # then nothing stays open from one call to the next
            places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.environ[STATE] = str(places.state / f"window-{os.getsid(0)}.json")


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _call(skill: Skill, arguments: list[str]) -> int:
    module = importlib.import_module(skill.module)
    function = getattr(module, skill.name, None)
    if not callable(function):
        found = getattr(module, "__file__", None) or "made by code"
        raise WrongUse(f"the module {skill.module} ({found}) has no function {skill.name}")
    bound = _bound(skill, function, arguments)
    value = function(*bound.args, **bound.kwargs)
    if inspect.isawaitable(value):
        value = asyncio.run(_awaited(value))
    _print_value(value)
    return 0


def _bound(
    skill: Skill, function: Callable[..., Any], arguments: list[str]
) -> inspect.BoundArguments:
    """The arguments, converted as the function's parameters are annotated.

    Text may begin with a hyphen, as a diff does; what looks like an option has to be one.
    """
    from cyclopts import App, CycloptsError, Parameter

    app = App(
        name=skill.name,
        help_flags=[],
        version_flags=[],
        print_error=False,
        exit_on_error=False,
        default_parameter=Parameter(allow_leading_hyphen=True),
    )
    if unknown := _unknown_option(function, arguments):
        text = f"there is no option {unknown}; text like that comes behind --"
        raise WrongUse(f"{text}\nusage: skill {skill.name}{skill.signature}")
    try:
        app.default(function)
        return app.parse_args(arguments)[1]
    except CycloptsError as problem:
        text = " ".join(str(problem).split())
        raise WrongUse(f"{text}\nusage: skill {skill.name}{skill.signature}") from None
    except (NameError, TypeError) as problem:  # an annotation that only a type checker can resolve
        raise WrongUse(f"{skill.name} cannot be called from a shell: {problem}") from None


def _unknown_option(function: Callable[..., Any], arguments: list[str]) -> str | None:
    """The first argument that is spelled as an option and names no parameter."""
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return None
    known = {name.replace("_", "-") for name in parameters}
    known |= {f"no-{name}" for name in known}
    for argument in takewhile(lambda argument: argument != "--", arguments):
        option = re.fullmatch(r"--([A-Za-z][\w-]*)(=.*)?", argument, re.DOTALL)
        if option is not None and option[1].replace("_", "-") not in known:
            return f"--{option[1]}"
    return None


async def _awaited(value: Any) -> Any:
    return await value


def _print_value(value: Any) -> None:
    """Text as it is, bytes too, what is made of lists and dicts as JSON, an iterator by lines."""
    if value is None:
        return
    if isinstance(value, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(value)
    elif isinstance(value, Iterator):
        for one in value:
            _print_value(one)
    elif isinstance(value, dict | list | tuple):
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        sys.stdout.write(f"{value}\n")
