"""What functions a module offers, read from its source: it is not imported for that."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from tether_runtime_client.protocol.skills import Skill

LARGEST = 1024 * 1024
"""Bytes of a module's source that are read."""

LONGEST_SIGNATURE, LONGEST_DOC = 2_000, 20_000


class Unreadable(Exception):
    """A module is not there, or its source cannot be understood; the text says which and why."""


def find_module(name: str, folders: Sequence[str]) -> ModuleSpec:
    """Where a module is, looked for in the folders and nowhere else; raises `Unreadable`.

    Neither it nor the packages above it are imported.
    """
    importlib.invalidate_caches()
    path: Sequence[str] = folders
    spec: ModuleSpec | None = None
    for count, _ in enumerate(parts := name.split("."), 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), path)
        if spec is None:
            raise Unreadable(f"there is no module {name}")
        path = list(spec.submodule_search_locations or ())
    assert spec is not None
    return spec


def list_skills(module: str, folders: Sequence[str]) -> list[Skill]:
    """The functions of a module; raises `Unreadable`."""
    try:
        return list(_Reader(folders).functions(module))
    except RecursionError:
        raise Unreadable(f"the module {module} is nested too deeply") from None


@dataclass(slots=True)
class _Names:
    """What is defined at the top of a module, and what it takes over from others of its package."""

    is_package: bool
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    taken: dict[str, tuple[str, str]] = field(default_factory=dict)
    everything_of: list[str] = field(default_factory=list)
    offered: list[str] | None = None


class _Reader:
    """Reads one module and those of its package whose functions it offers as its own."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders
        self._read: dict[str, _Names] = {}

    def functions(self, module: str) -> Iterator[Skill]:
        for name in self._offered(module, frozenset()):
            node = self._definition(module, name, frozenset())
            if node is not None:
                yield _skill(node, name, module)

    def _offered(self, module: str, above: frozenset[str]) -> list[str]:
        """What `from module import *` would bring, and without `__all__` what it defines or, for
        a package, takes over from its own modules.
        """
        if module in above:
            return []
        names = self._names(module)
        if names.offered is not None:
            return names.offered
        taken = names.taken if names.is_package else ()
        above |= {module}
        more = [name for other in names.everything_of for name in self._offered(other, above)]
        found = dict.fromkeys([*names.functions, *taken, *more])
        return [name for name in found if not name.startswith("_")]

    def _definition(
        self, module: str, name: str, above: frozenset[tuple[str, str]]
    ) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        if (module, name) in above:
            return None
        names, above = self._names(module), above | {(module, name)}
        if name in names.functions:
            return names.functions[name]
        if name in names.taken:
            return self._definition(*names.taken[name], above)
        found = (self._definition(other, name, above) for other in names.everything_of)
        return next((node for node in found if node is not None), None)

    def _names(self, module: str) -> _Names:
        if module not in self._read:
            spec = find_module(module, self._folders)
            self._read[module] = _names_in(_parsed(spec), spec)
        return self._read[module]


def _parsed(spec: ModuleSpec) -> ast.Module:
    """The source as a tree. Python's parser raises the last three for sources made to break it."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise Unreadable(f"the module {spec.name} has no Python source")
    source = Path(spec.origin)
    try:
        return ast.parse(_text(source))
    except SyntaxError as problem:
        raise Unreadable(f"{source}, line {problem.lineno}: {problem.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as problem:
        raise Unreadable(f"{source} cannot be read: {problem}") from None


def _text(source: Path) -> bytes:
    """What is no ordinary file is neither waited for nor read without an end."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise Unreadable(f"{source} is larger than {LARGEST:,} bytes")
    return text


def _names_in(tree: ast.Module, spec: ModuleSpec) -> _Names:
    found = _Names(is_package=spec.submodule_search_locations is not None)
    for node in _statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.functions[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            _take_over(node, spec, found)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            found.offered = _all(node, found.offered)
    return found


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Those at the top, also below `if` and `try`."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handled = [one for handler in node.handlers for one in handler.body]
            yield from _statements([*node.body, *handled, *node.orelse, *node.finalbody])
        else:
            yield node


def _take_over(node: ast.ImportFrom, spec: ModuleSpec, found: _Names) -> None:
    """What comes from elsewhere is for the module's own code."""
    source = _imported(node, spec.parent or "")
    if source.partition(".")[0] != spec.name.partition(".")[0]:
        return
    for one in node.names:
        if one.name == "*":
            found.everything_of.append(source)
        else:
            found.taken[one.asname or one.name] = (source, one.name)


def _imported(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    above = package.split(".")
    return ".".join(
        [*above[: len(above) - node.level + 1], *([node.module] if node.module else [])]
    )


def _all(
    node: ast.Assign | ast.AnnAssign | ast.AugAssign, before: list[str] | None
) -> list[str] | None:
    """`__all__` after a statement, as far as it can be read without being run."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
        return before
    try:
        names = [str(name) for name in ast.literal_eval(node.value)] if node.value else []
    except (ValueError, TypeError):
        return before
    return [*(before or ()), *names] if isinstance(node, ast.AugAssign) else names


def _skill(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, module: str) -> Skill:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    signature = f"({', '.join(_parameters(node.args))}){returns}"
    doc = ast.get_docstring(node) or ""
    return Skill(
        name=name,
        module=module,
        signature=signature[:LONGEST_SIGNATURE],
        doc=doc[:LONGEST_DOC],
    )


def _parameters(of: ast.arguments) -> Iterator[str]:
    """As people write them, with room around what an annotated one is by default."""
    positional = [*of.posonlyargs, *of.args]
    defaults = [None] * (len(positional) - len(of.defaults)) + of.defaults
    for number, (one, default) in enumerate(zip(positional, defaults, strict=True), 1):
        yield _parameter(one, default)
        if number == len(of.posonlyargs):
            yield "/"
    if of.vararg is not None:
        yield f"*{ast.unparse(of.vararg)}"
    elif of.kwonlyargs:
        yield "*"
    for one, default in zip(of.kwonlyargs, of.kw_defaults, strict=True):
        yield _parameter(one, default)
    if of.kwarg is not None:
        yield f"**{ast.unparse(of.kwarg)}"


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    equals = " = " if one.annotation is not None else "="
    return ast.unparse(one) + (f"{equals}{ast.unparse(default)}" if default is not None else "")


def own_path() -> list[str]:
    """Where this Python finds modules: the plugin's own folders come first in a plugin."""
    return [place for place in sys.path if place]
