"""`xlprompt analyze`: questions to what runs have left in the store; each analysis is a command of its own.

The commands are made of the list in `xlprompt.studies.analyses.analysis`: an analysis' settings are its
options, and what it has come to is printed, or written to a page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args

import click

from xlprompt.cli.grid_options import grid_options, grid_overrides, recipe_overrides, split_seeds
from xlprompt.cli.groups import Commands
from xlprompt.cli.options import (
    json_option,
    mlruns_option,
    out_option,
    parse_settings,
    refuse_page_beside_json,
    set_option,
    split_layers,
    split_names,
    split_numbers,
    split_shares,
)
from xlprompt.cli.said import say, wait

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from xlprompt.studies.analyses.analysis import Analysis

# How an option gives a value of a field's type.
_OPTIONS: dict[Any, dict[str, Any]] = {
    str: {},
    int: {"type": int},
    bool: {"is_flag": True},
    tuple[str, ...]: {"callback": split_names, "metavar": "NAMES"},
    tuple[int, ...]: {"callback": split_numbers, "metavar": "N"},
    tuple[int | None, ...]: {"callback": split_layers, "metavar": "LAYER"},
    tuple[float, ...]: {"callback": split_shares, "metavar": "NUMBERS"},
    int | tuple[int, ...]: {"callback": split_seeds, "metavar": "N|LIST"},
    tuple[Path, ...]: {"type": click.Path(path_type=Path, dir_okay=False), "multiple": True},
}


class _Analyses(Commands):
    """A command for each analysis of the list."""

    @property
    def names(self) -> Sequence[str]:  # type: ignore[override]
        """Of the list."""
        return [each.name for each in _analyses()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, made of the analysis' settings."""
        command = next((_command(each) for each in _analyses() if each.name == cmd_name), None)
        if command is not None:
            command.context_class = self.context_class
        return command


def _analyses() -> Sequence[Analysis]:
    from xlprompt.studies.analyses import analysis

    return analysis.ANALYSES


@click.group("analyze", cls=_Analyses, short_help="Ask what stored runs say about a question.")
def command() -> None:
    """Answer questions about what a study has found; answers are kept in the MLflow store.

    \b
    Examples:
      xlprompt analyze alignment --sweep
      xlprompt analyze ablation experiments/ablations/scheme.yaml
      xlprompt analyze tokenization --model xglm-nano --data mini
      xlprompt analyze granularity experiments/granularity/mini.yaml
    """


def _command(analysis: Analysis) -> click.Command:
    fields = analysis.settings.model_fields

    def run(out: Path, mlruns: Path, as_json: bool, **options: Any) -> None:
        from xlprompt.cli.tables import show_sections, show_tables
        from xlprompt.evaluation.terminal import open_console

        refuse_page_beside_json(as_json)
        given = {name: _value(field, options, name) for name, field in fields.items()}
        settings = analysis.settings(
            **{name: value for name, value in given.items() if value not in (None, ())}
        )
        console = open_console(stderr=as_json)
        if (check := getattr(settings, "check", None)) is not None:
            check(mlruns)
        with wait("Loading libraries"):
            measure = analysis.measure
        outcome = measure(settings, store=mlruns, console=console)
        if as_json:
            click.echo(json.dumps(outcome.values, indent=2, ensure_ascii=False))
        elif outcome.sections:
            for answer in outcome.answers:
                console.print(answer, highlight=False, markup=False, soft_wrap=True)
            show_tables(console, outcome.tables)
            show_sections(console, outcome.sections, out / outcome.out)
            for note in outcome.notes:
                say(note)
        if outcome.exit_code:
            raise SystemExit(outcome.exit_code)

    decorated: Callable[..., Any] = run
    options = [_option(name, field) for name, field in fields.items()]
    for decorate in reversed([*options, out_option(analysis.out), mlruns_option, json_option]):
        decorated = decorate(decorated)
    text = cleandoc(analysis.settings.__doc__ or "").replace("Examples:", "\b\nExamples:")
    return click.command(analysis.name, short_help=analysis.summary, help=text)(decorated)


def _option(name: str, field: FieldInfo) -> Callable[..., Any]:
    """What gives a command the option, or options, of a field."""
    kind = _kind(field.annotation)
    if kind is Path:
        return click.argument(name, type=click.Path(path_type=Path))
    if kind == dict[str, Any]:
        return set_option
    if kind not in _OPTIONS:
        return grid_options
    extra = field.json_schema_extra
    how: dict[str, Any] = dict(extra) if isinstance(extra, dict) else {}
    names = how.pop("names", None) or (f"--{name.replace('_', '-')}",)
    given = {**_OPTIONS[kind], **how, "help": field.description}
    if choices := given.pop("choices", None):
        given["type"] = click.Choice(choices)
    if kind is int:
        least = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
        given["type"] = click.IntRange(min=least)
    if isinstance(field.default, str | int):
        given |= {"default": field.default, "show_default": kind is not bool}
    return click.option(*names, name, **given)


def _value(field: FieldInfo, options: dict[str, Any], name: str) -> Any:
    """A field's value from the options of `_option`."""
    kind = _kind(field.annotation)
    if kind == dict[str, Any]:
        return parse_settings(options["settings"])
    if name not in options:
        return {"grid": grid_overrides(options), "recipe": recipe_overrides(options)}
    return options[name]


def _kind(annotation: Any) -> Any:
    """The type, but for None."""
    if not isinstance(annotation, UnionType):
        return annotation
    kinds = [each for each in get_args(annotation) if each is not NoneType]
    return kinds[0] if len(kinds) == 1 else kinds[0] | kinds[1]
