"""`tether act`: one action of a plugin, as a program would do it."""

from __future__ import annotations

import json

import click

from tether_runtime_client.protocol.observations import Observation, OpaqueObservation
from tether_runtime_client.protocol.opaque import typed_action
from tether_runtime_client.protocol.plugin_actions import OpaqueAction

from ..operator import OperatorRuntime
from .interrupts import run_async
from .names import SANDBOX
from .plugin_options import json_object

_OURS = {"seq", "time", "action_id"}


@click.command()
@click.argument("name", type=SANDBOX)
@click.argument("kind")
@click.argument("fields", default="{}")
def command(name: str, kind: str, fields: str) -> int:
    """Do an action of a plugin in the sandbox NAME, and show as JSON what it came to.

    KIND is one of those that `tether plugins` lists, FIELDS a JSON object, or @FILE for the one in
    a file: tether act demo jupyter.run_cell '{"code": "6 * 7"}'. Events that it told meanwhile are
    in `tether events`.
    """
    action = _action(kind, json_object(f"the action {kind}", fields))

    async def act() -> int:
        async with OperatorRuntime.beside(name) as runtime:
            _show(await runtime.run(action))
        return 0

    return run_async(lambda _: act())


def _action(kind: str, fields: dict[str, object]) -> OpaqueAction:
    """Checked by its own class, where that is installed here; the plugin does that in any case."""
    from ..plugins.message_classes import installed_classes

    try:
        action = OpaqueAction.model_validate({"kind": kind, "fields": fields})
    except ValueError:
        text = f"{kind!r} is no kind of action: PLUGIN.ACTION, such as jupyter.run_cell"
        raise click.UsageError(text) from None
    try:
        if known := installed_classes.of(action.plugin).actions.get(kind):
            typed_action(action, known)
    except ValueError as problem:
        raise click.UsageError(f"this is no action {kind}: {problem}") from None
    return action


def _show(answer: Observation) -> None:
    if isinstance(answer, OpaqueObservation):
        found: dict[str, object] = {"observation": answer.kind, **answer.fields}
    else:
        found = answer.model_dump(mode="json", exclude=_OURS)
    click.echo(json.dumps(found, indent=2))
