"""Run by `kernel_start` in a kernel that has come up, before its first cell. It is given `app` and
`settings`; nothing of it is left in the cells' namespace.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from typing import Any

PIECE = 64 * 1024
"""Characters that are written to a stream until they have gone out."""


def set_up(app: Any, settings: dict[str, Any]) -> None:
    """All that a kernel has beside a plain one."""
    pace_streams()
    app.iopub_thread.schedule(lambda: keep_all(app.iopub_thread.socket))
    places = Places(settings)
    places.put_on_path()
    sys.path.extend(path for path in settings["skills"] if path not in sys.path)
    app.shell.register_magic_function(lambda line: places.pip(line), "line", "pip")
    give_backend_to_matplotlib(settings["state"])
    wake_by_signals()
    tell_crashes()


def wake_by_signals() -> None:
    """An interrupt reaches a cell that awaits: ipykernel's handler only leaves word for its loop,
    which sleeps on until something else wakes it.
    """
    import signal
    import socket

    from tornado.ioloop import IOLoop

    waker, signals = socket.socketpair()
    for end in (waker, signals):
        end.setblocking(False)
    loop: Any = IOLoop.current()
    loop.add_handler(waker, lambda end, events: end.recv(4096), IOLoop.READ)
    signal.set_wakeup_fd(signals.detach(), warn_on_full_buffer=False)


def tell_crashes() -> None:
    """Where in Python it was when a signal ended it goes to whoever started this process."""
    import faulthandler

    original = getattr(sys.stderr, "_original_stdstream_copy", None)
    faulthandler.enable(file=2 if original is None else original)


def keep_all(socket: Any) -> None:
    """Whoever is behind is waited for: by itself the socket would drop what is too much."""
    import zmq

    if hasattr(zmq, "XPUB_NODROP"):
        socket.setsockopt(zmq.XPUB_NODROP, 1)


def pace_streams() -> None:
    """Output goes out in pieces, and a cell that writes without end waits for them to be taken: by
    itself ipykernel gathers all that is written in a fifth of a second into one message.
    """
    from ipykernel.iostream import OutStream

    write = OutStream.write
    unsent = "_tether_unsent"

    def paced(self: Any, string: Any) -> Any:
        attributes = self.__dict__
        if not isinstance(string, str) or os.getpid() != attributes.get("_master_pid"):
            return write(self, string)
        count = attributes.get(unsent, 0) + len(string)
        if count < PIECE:
            attributes[unsent] = count
            return write(self, string)
        for start in range(0, len(string), PIECE):
            write(self, string[start : start + PIECE])
            self.flush()
        attributes[unsent] = 0
        return len(string)

    OutStream.write = paced  # type: ignore[method-assign]


class Places:
    """Where `%pip install` puts packages: where this Python's own are, if they may be added to,
    else in its user's folder; in one of the sandbox's where there is no such, or this Python is
    Tether's.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._ours = settings["ours"]
        self._packages = settings["packages"]
        self._hidden = settings["hidden"]
        self._variables = settings["variables"]
        own = None if self._ours else site.getuserbase()
        self._own_base = own is not None and _may_write(own)
        sandboxs = os.path.join(settings["state"], "packages")
        self._base: str = own if own is not None and self._own_base else sandboxs

    @property
    def folder(self) -> str:
        """Of packages that are this user's, or the sandbox's."""
        return sysconfig.get_path("purelib", "posix_user", vars={"userbase": self._base})

    def put_on_path(self) -> None:
        """Before this Python's own packages, where a user's stand."""
        if self.folder not in sys.path and not self._is_plain():
            own = sysconfig.get_path("purelib")
            at = sys.path.index(own) if own in sys.path else len(sys.path)
            sys.path.insert(at, self.folder)
        if not self._own_base and not self._ours and not _in_venv():
            os.environ.setdefault("PYTHONUSERBASE", self._base)  # what is started finds them too

    def pip(self, line: str) -> None:
        """Run pip for the Python of this kernel, as in `%pip install NAME`."""
        import shlex
        from importlib import invalidate_caches

        words = shlex.split(line)
        command, environment = self._command(words)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        assert process.stdout is not None
        with process, process.stdout:
            for output in process.stdout:
                sys.stdout.write(output)
        invalidate_caches()
        if process.returncode:
            sys.stderr.write(f"pip ended with exit code {process.returncode}\n")

    def _command(self, words: list[str]) -> tuple[list[str], dict[str, str]]:
        environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
        options: list[str] = []
        if words[:1] == ["install"] and not self._is_plain():
            if _in_venv():  # which knows no user
                options = ["--upgrade", "--target", self.folder]
            else:
                options = ["--user", "--no-warn-script-location"]
                environment["PIP_BREAK_SYSTEM_PACKAGES"] = "1"
        if self._ours:
            environment = {
                self._hidden + name if name in self._variables else name: value
                for name, value in environment.items()
                if not name.startswith("PYTHON")
            }
        environment["PYTHONUSERBASE"] = self._base
        brought = [path for path in sys.path if path.startswith(self._packages or "\0")]
        run = "from pip._internal.cli.main import main; sys.exit(main())"
        run = f"import sys; sys.path += {brought!r}; {run}"
        return [sys.executable, "-c", run, *words[:1], *options, *words[1:]], environment

    def _is_plain(self) -> bool:
        """Whether pip may put packages where this Python's own are."""
        if self._ours or not _may_write(sysconfig.get_path("purelib")):
            return False
        marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
        return _in_venv() or not os.path.exists(marker)


def _in_venv() -> bool:
    return sys.prefix != sys.base_prefix


def _may_write(path: str) -> bool:
    """Whether there may be something new in a folder, which may have to be made."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)


def give_backend_to_matplotlib(state: str) -> None:
    """Figures are shown inline, by default. ipykernel says so in a variable, which every program
    that the kernel starts would see: there it names a module that they may not have.
    """
    backend = os.environ.get("MPLBACKEND", "")
    if not backend.startswith("module://matplotlib_inline"):
        return
    del os.environ["MPLBACKEND"]
    sys.meta_path.insert(0, BackendFinder(backend, state))


class BackendFinder:
    """Lends matplotlib its variables while it is imported."""

    def __init__(self, backend: str, state: str) -> None:
        self._lent = {"MPLBACKEND": backend}
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        if "MPLCONFIGDIR" not in os.environ and not _may_write(home):
            self._lent["MPLCONFIGDIR"] = os.path.join(state, "matplotlib")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """matplotlib's, with a loader that lends; of nothing else."""
        if name != "matplotlib":
            return None
        from importlib.machinery import PathFinder

        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._lend(run, module)  # type: ignore[method-assign]
        return spec

    def _lend(self, run: Any, module: Any) -> None:
        missing = [name for name in self._lent if name not in os.environ]
        os.environ.update({name: self._lent[name] for name in missing})
        try:
            run(module)
            module.get_configdir(), module.get_cachedir()  # they are asked for once
            meet_an_older_matplotlib(module)
        finally:
            for name in missing:
                del os.environ[name]


def meet_an_older_matplotlib(matplotlib: Any) -> None:
    """Debian's and Ubuntu's own are of years ago. Before 3.9 it asks IPython for a table that this
    has no more; before 3.7 and 3.5 it lacks what matplotlib_inline asks for.
    """
    from IPython.core import pylabtools

    loops = getattr(pylabtools, "_deprecated_backend2gui", {})  # which ones windows need
    vars(pylabtools).setdefault("backend2gui", loops)
    if not hasattr(matplotlib.RcParams, "_get"):
        matplotlib.RcParams._get = dict.__getitem__
    if not hasattr(matplotlib, "__version_info__"):
        numbers = matplotlib.__version__.split(".")[:2]
        matplotlib.__version_info__ = tuple(int(number) for number in numbers)


set_up(globals()["app"], globals()["settings"])
