"""Groups of commands: imported when they are asked for, forgiving with names, strict with what is given."""

from __future__ import annotations

import difflib
import importlib
import keyword
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from xlprompt.evaluation.commands import NAME, as_typed
from xlprompt.evaluation.folding import folded_command

_EXAMPLE = re.compile(rf" +(?:cat \S+ \| )?{NAME} ")
_TEXTS = ("first", "second", "texts")  # of predict; whether such a text may be empty is a question of data


class _Help(click.HelpFormatter):
    """Help that can be pasted from: commands stand as they are typed here, and are folded as commands."""

    def write_text(self, text: str) -> None:
        """Write a text; the lines of examples are commands."""
        width = self.width - self.current_indent
        lines = (
            folded_command(as_typed(line), width) if _EXAMPLE.match(line) else as_typed(line)
            for line in text.split("\n")
        )
        super().write_text("\n".join(lines))


class Context(click.Context):
    """Of every command, so that all have this help."""

    formatter_class = _Help


class Commands(click.Group):
    """A group whose `names` each live in a module of that name as its `command`.

    A name that is a word of Python's (`import`) has an underscore behind it there.
    """

    names: Sequence[str] = ()
    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order in which a newcomer meets them."""
        return [*self.names, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; its module is imported now."""
        if cmd_name not in self.names:
            return super().get_command(ctx, cmd_name)
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"xlprompt.cli.commands.{name}")
        command: click.Command = module.command
        command.context_class = Context
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for and its arguments; an unknown name is answered with the nearest."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not isinstance(command, click.Group):
            refuse_empty_values(command, ctx, rest)
        return name, command, rest


def refuse_empty_values(command: click.Command, ctx: click.Context, args: Sequence[str]) -> None:
    """Refuse options and arguments with nothing in them: a script's empty variable chooses no default.

    Raises:
        click.UsageError: One is given as an empty text.
    """
    given: dict[str, Any] = {}
    with suppress(click.UsageError):  # which click will find by itself
        given = dict(command.make_parser(click.Context(command, parent=ctx)).parse_args(list(args))[0])
    for option in command.params:
        value = given.get(option.name or "")
        values = value if isinstance(value, list | tuple) else (value,)
        if option.name not in _TEXTS and any(isinstance(each, str) and not each.strip() for each in values):
            shown = option.opts[0] if isinstance(option, click.Option) else option.human_readable_name
            raise click.UsageError(f"{shown} is given empty. Give a value, or leave it out", ctx)
