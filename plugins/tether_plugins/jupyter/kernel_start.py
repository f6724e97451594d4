"""Run by the Python that a kernel is to have, the image's or the environment's: starts ipykernel.

It is given one argument of JSON (see `launch.Settings`), and tells how it went in one line of JSON.
It imports nothing of Tether, leaves nothing in the environment of what the kernel starts, and has
to work from CPython 3.9 on.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import tempfile
from importlib import metadata
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))


class Unfit(Exception):
    """Why no kernel comes up in this Python."""


def main() -> None:
    settings = json.loads(sys.argv[1])
    del sys.argv[1:]
    sys.path[:] = [path for path in sys.path if path != _HERE]  # it has no module for anybody
    for handed in settings["handed"]:
        os.set_inheritable(handed, False)
    _stay_with(settings["parent"])
    _restore_environment(settings["hidden"])
    if settings["ours"]:
        _insert("")  # a cell imports what is in its folder, as IPython has it
    try:
        brought = _find_packages(settings)
        app = _make_app(settings)
    except Unfit as problem:
        _tell(settings["status"], {"problem": str(problem)})
        sys.exit(1)
    ipykernel = _version("ipykernel") or "unknown"
    told = {"version": ".".join(map(str, sys.version_info[:3])), "ipykernel": ipykernel}
    _tell(settings["status"], {**told, "brought": brought, "executable": sys.executable})
    app.start()


def _tell(status: int, what: dict[str, Any]) -> None:
    with os.fdopen(status, "w") as file:
        json.dump(what, file)


def _stay_with(parent: int) -> None:
    """End with the process that started this one. Where that cannot be said ipykernel looks."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        sys.exit(1)
    os.environ.pop("JPY_PARENT_PID", None)


def _insert(folder: str) -> None:
    """Into the path, between the standard library and all packages."""
    names = [os.path.basename(path) for path in sys.path]
    at = [number for number, name in enumerate(names) if name.endswith("-packages")]
    sys.path.insert(at[0] if at else len(sys.path), folder)


def _restore_environment(hidden: str) -> None:
    """What would have broken this Python is for what it starts."""
    for name in [name for name in os.environ if name.startswith(hidden)]:
        os.environ[name[len(hidden) :]] = os.environ.pop(name)


def _find_packages(settings: dict[str, Any]) -> str:
    """Have ipykernel on the path: this Python's own where it has one, else the one for it."""
    own = None if settings["ignore_own"] else _version("ipykernel")
    if own is not None and int(own.split(".")[0]) >= 6:
        return "none"
    if settings["packages"] is None:
        raise Unfit(
            'it has no ipykernel, and backend="local" brings none: pip install ipykernel there'
        )
    folder = os.path.join(settings["packages"], _tag())
    if not os.path.isdir(folder):
        raise Unfit(f"it has no ipykernel, and none is brought for {_tag()}")
    sys.path.append(folder)
    if settings["ours"]:  # what the plugin runs by is made for this Python
        sys.path[-1:-1] = settings["site"]
    elif not _fits(folder):
        sys.path.remove(folder)
        _insert(folder)
        return "before"
    return "after"


def _tag() -> str:
    """The name of the folder with what is brought for this Python: `cp312-musllinux`."""
    kind = "musllinux" if "musl" in (sysconfig.get_config_var("SOABI") or "") else "manylinux"
    free = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    name = sys.implementation.name
    major, minor = sys.version_info[:2]
    return f"{'cp' if name == 'cpython' else name}{major}{minor}{free}-{kind}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(folder: str) -> bool:
    """Whether packages that this Python has of its own will do for what is brought behind them."""
    from packaging.requirements import InvalidRequirement, Requirement

    for brought in metadata.distributions(path=[folder]):
        for line in brought.requires or ():
            try:
                wanted = Requirement(line)
            except InvalidRequirement:
                continue
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            found = _version(wanted.name)
            if found is not None and not wanted.specifier.contains(found, prereleases=True):
                return False
    return True


def _make_app(settings: dict[str, Any]) -> Any:
    """An ipykernel that has its sockets and can be told to start."""
    state = settings["state"]
    before = sys.pycache_prefix
    if not _has_compiled(settings):
        sys.pycache_prefix = os.path.join(state, "pycache")  # or each kernel would compile it all
    lent = _lend_variables(state)
    _have_place_for_temporaries(state)
    try:
        from ipykernel.kernelapp import IPKernelApp
    except Exception as problem:
        raise Unfit(f"ipykernel cannot be imported: {type(problem).__name__}: {problem}") from None
    app: Any = IPKernelApp.instance(connection_file=settings["connection"])
    try:
        app.initialize(["--HistoryManager.hist_file=:memory:", "--IPKernelApp.log_level=ERROR"])
    except Exception as problem:
        raise Unfit(f"ipykernel did not start: {type(problem).__name__}: {problem}") from None
    sys.pycache_prefix = before
    for name in lent:
        os.environ.pop(name, None)
    from_here = {"settings": settings, "app": app}
    exec(compile(_read("kernel_setup.py"), "kernel_setup.py", "exec"), from_here)
    return app


def _has_compiled(settings: dict[str, Any]) -> bool:
    folder = os.path.join(settings["packages"] or os.devnull, _tag())
    if folder not in sys.path or os.access(folder, os.W_OK):
        return True
    cache = f"__init__.{sys.implementation.cache_tag}.pyc"
    return os.path.exists(os.path.join(folder, "IPython", "__pycache__", cache))


def _lend_variables(state: str) -> list[str]:
    """Places for what IPython writes while it comes up, where the image names none."""
    wanted = {"IPYTHONDIR": "ipython", "JUPYTER_RUNTIME_DIR": "runtime"}
    lent = [name for name in wanted if name not in os.environ]
    for name in lent:
        os.environ[name] = os.path.join(state, wanted[name])
    return lent


def _have_place_for_temporaries(state: str) -> None:
    """ipykernel names cells by one; an image may have none that can be written to."""
    try:
        tempfile.gettempdir()
    except OSError:
        os.makedirs(os.path.join(state, "tmp"), mode=0o700, exist_ok=True)
        os.environ["TMPDIR"] = os.path.join(state, "tmp")


def _read(name: str) -> str:
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main()
