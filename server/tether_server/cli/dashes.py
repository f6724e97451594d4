"""Commands of the form `tether X [OPTIONS] [IMAGE] -- CMD…`."""

from __future__ import annotations

import click


class CommandAfterDashes(click.Command):
    """Keeps what stands behind `--` apart: it goes to the callback as `words`, untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first `--`."""
        before, words = args, []
        if "--" in args:
            at = args.index("--")
            before, words = args[:at], args[at + 1 :]
        ctx.params["words"] = tuple(words)
        try:
            return super().parse_args(ctx, before)
        except click.UsageError as problem:
            if "--" not in args and _may_be_of_command(problem):
                text = problem.format_message()
                stop = "" if text.endswith((".", "?", "?)")) else "."
                text += f"{stop} Put -- before the command and its arguments"
                raise click.UsageError(text, ctx) from None
            raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show it in the usage line."""
        return [*super().collect_usage_pieces(ctx), "-- CMD…"]


def _may_be_of_command(problem: click.UsageError) -> bool:
    """Whether what was not understood is a word of a command that stands there without `--`."""
    options = (click.NoSuchOption, click.BadOptionUsage)  # `ls -la`: `-a` is one of ours too
    return isinstance(problem, options) or "unexpected extra" in problem.message
