"""`tether-runtime-client`: `supervise` is the container's entrypoint, `connect` a way in.

Nothing is imported before the sub-command is known: the supervisor stays small for its whole
life, and the way in must be quick.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tether_runtime_client.supervisor import Handover

USAGE = """\
usage: tether-runtime-client COMMAND [OPTIONS]

  supervise [OPTIONS] -- [CLIENT OPTIONS]
                        start the runtime client, keep it alive, collect orphans (PID 1)
  connect [PATH]        join standard input and output to the client's UNIX socket
  command FILE [ARGS]   run a plugin's command, which the client wrote to FILE
  stop [DIR]            end the supervisor that has registered itself in DIR, in good order
  --version             print the version

`supervise --help` lists the options of both.
"""


def main() -> int:
    """Run the command line in `sys.argv`; returns the exit code."""
    command, args = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if command == "supervise":
        return _supervise(args)
    if command == "connect":
        from tether_runtime_client.connect import connect

        return connect(*args[:1])
    if command == "stop":
        from tether_runtime_client.stop import stop

        return stop(args[0]) if args else stop()
    if command == "command":
        from tether_runtime_client.plugin.command import run_file

        return run_file(args)
    if command == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"tether-runtime-client {version('tether-runtime')}\n")
        return 0
    asked = command in ("-h", "--help")
    (sys.stdout if asked else sys.stderr).write(USAGE)
    return 0 if asked else 2


def _supervise(args: list[str]) -> int:
    from tether_runtime_client import supervisor_cli

    if "--help" in args or "-h" in args:
        from tether_runtime_client.settings import CLIENT_USAGE

        sys.stdout.write(supervisor_cli.USAGE + CLIENT_USAGE)
        return 0
    return supervisor_cli.main(args, _start_client)


def _start_client(handover: Handover, args: list[str]) -> int:
    """Runs in the child that the supervisor forked."""
    from tether_runtime_client.client import run_client

    return run_client(handover, args)
