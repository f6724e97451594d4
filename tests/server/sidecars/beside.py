"""A sandbox with a sidecar of this module's, which needs no plugin; and a server of its own for it.

Run as a program it is a server that starts one, says its name, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Any

import tether_server.backends.docker as docker_backend
from tether_runtime_client.plugin.declaration import SidecarNeeds
from tether_server import EventStreamRuntime
from tether_server.sidecars.plan import SidecarPlan, plan_sidecar

# It says that it listens, and ends in the way that it is asked for.
PROGRAM = """
echo "listens on {port}"
how=$(busybox nc -l -p {port})
case $how in
memory) exec busybox tail /dev/zero ;;
*) exit 3 ;;
esac
"""


def plan_of(image: str, program: str = PROGRAM, **resources: Any) -> SidecarPlan:
    """One whose image is any with busybox in /bin."""
    needs = SidecarNeeds(
        command=("busybox", "sh", "-c", program),
        ready="listens on {port}",
        config="address",
        address="{port}/{token}",
    )
    return plan_sidecar("box", needs, image, "/bin", resources, {"http_proxy": "p", "SECRET": "s"})


class Beside:
    """Stands for what is planned for the plugins that a runtime was asked for."""

    def __init__(self, plan: SidecarPlan) -> None:
        self.plan = plan

    def __call__(self, engine: Any, spec: Any, injected: Any) -> Any:
        return replace(spec, plugins={}), (self.plan,)


async def serve(image: str) -> None:
    docker_backend.planned = Beside(plan_of(image))
    async with EventStreamRuntime(image, lease_s=2) as runtime:
        sys.stdout.write(f"{runtime.name}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
