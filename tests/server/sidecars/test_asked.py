"""Which sidecars may be asked for, and what their containers are asked of the engine."""

from __future__ import annotations

from typing import Any

import pytest

from tether_server import EventStreamRuntime, PluginInvalid, StartFailed
from tether_server.sidecars.plan import FIRST_PORT, LAST_PORT, sidecar_name, sidecar_options

from .beside import plan_of


def refused(match: str, error: type[Exception] = PluginInvalid, **options: Any) -> None:
    with pytest.raises(error, match=match):
        EventStreamRuntime("image", **options)


def test_what_cannot_be_asked_for() -> None:
    both = {"plugins": ["browser", "jupyter"]}
    refused("'browser' is not among those asked for", sidecars=["browser"])
    refused("'jupyter' has no sidecar", sidecars=["jupyter"], **both)
    refused("is a list of plugins' names", sidecars="browser", **both)
    refused("nothing but `resources`", sidecars={"browser": {"memory": "2g"}}, **both)
    wrong = {"browser": {"resources": {"mem_limit": object()}}}
    refused("hold what JSON cannot", sidecars=wrong, **both)
    unknown = {"browser": {"resources": {"memory": "2g"}}}
    refused("there is no resource 'memory'", ValueError, sidecars=unknown, **both)
    shared = {"browser": {"resources": {"network_mode": "host"}}}
    refused("has its network_mode from its sandbox", ValueError, sidecars=shared, **both)
    refused("needs one of its own", ValueError, sidecars=["browser"], network="host", **both)
    host = {"resources": {"pid_mode": "host"}}
    refused("leave out pid_mode", ValueError, sidecars=["browser"], **both, **host)


@pytest.mark.parametrize("config", [{"executable": "image"}, {"cdp_url": "http://127.0.0.1:9"}])
def test_a_configuration_for_another_browser(config: dict[str, str]) -> None:
    said = "leave out `executable` and `cdp_url`"
    refused(said, plugins={"browser": config}, sidecars=["browser"])


async def test_there_are_none_without_containers() -> None:
    runtime = EventStreamRuntime(backend="local", plugins=["browser"], sidecars=["browser"])
    with pytest.raises(StartFailed, match="the local backend has no sidecars") as problem:
        await runtime.start()
    assert "backend='docker'" in problem.value.hint


def test_a_plan_is_one_sandbox_s() -> None:
    one, other = plan_of("image"), plan_of("image")
    assert FIRST_PORT <= one.port <= LAST_PORT
    assert one.address != other.address
    assert one.ready == f"listens on {one.port}"
    assert one.address not in repr(one)


def test_limits_go_before_what_is_usual_and_not_before_what_is_shared() -> None:
    options = sidecar_options(plan_of("image", mem_limit="1g", pids_limit=9), "a", "0123")
    assert options["mem_limit"] == "1g"
    assert options["pids_limit"] == 9
    assert options["network_mode"] == options["pid_mode"] == "container:0123"
    assert options["read_only"] is True


def test_no_two_are_called_the_same() -> None:
    names = {sidecar_name(*pair) for pair in (("a_b", "c"), ("a", "b_c"), ("a.b", "c"))}
    assert len(names) == 3
    assert not any(name.startswith("tether-") for name in names)  # as sandboxes are called
