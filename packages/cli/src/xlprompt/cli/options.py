"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

mlruns_option = click.option(
    "--mlruns",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mlruns"),
    show_default=True,
    envvar="XLPROMPT_MLRUNS",
    help="Folder of the MLflow store.",
)

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/analysis"),
    show_default=True,
    help="Folder of the page and its Markdown.",
)

runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Also take in the published runs of this file, as if they were the store's, which may be empty; "
    "several times for several.",
)

studied_model_option = click.option(
    "--model", help="Backbone; needed only where the store has studies of several."
)

report_out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/report"),
    show_default=True,
    help="Folder of the report.",
)

trained_on_option = click.option(
    "--train-language",
    metavar="CODE",
    help="Of the runs trained on this language, or these (en+de); default: en, or what was trained on last.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else."
)

device_option = click.option("--device", help="cpu or cuda; default: a GPU where there is one.")

model_place_option = click.option(
    "--model",
    metavar="FOLDER_OR_ID",
    help="Where the backbone lies now, if not where it lay in training; another than that one is refused.",
)

train_language_option = click.option(
    "--train-language", metavar="CODE", help="Train, and choose the checkpoint, on this language, such as de."
)

set_option = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other key of the recipe, such as prompt.init=text. May be given more than once.",
)


def _names_in(value: str | None) -> tuple[str, ...]:
    return tuple((value or "").replace(",", " ").split())


def split_names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Names between commas or spaces, None for none; a callback."""
    return _names_in(value) or None


languages_option = click.option(
    "--languages",
    callback=split_names,
    metavar="CODES",
    help="Score these languages only, such as en,de,sw; default: the recipe's choice.",
)


def _split_kinds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return _names_in(value)


def _split_numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    if not all(part.isdecimal() and int(part) > 0 for part in _names_in(value)):
        raise click.BadParameter(f"expected numbers above zero by commas, got '{value}'")
    return tuple(int(part) for part in _names_in(value))


def _split_layers(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int | None, ...]:
    numbers = ",".join(part for part in _names_in(value) if part != "head")
    _split_numbers(ctx, parameter, numbers)
    return tuple(None if part == "head" else int(part) for part in _names_in(value))


_ALIGN_OPTIONS = (
    click.option(
        "--align",
        callback=_split_kinds,
        metavar="KINDS",
        help="Also score with hidden states moved to the training language's: mean, mean_scale, principal, "
        "subspace, or several by commas; default: the recipe's choice.",
    ),
    click.option(
        "--align-sentences",
        callback=_split_numbers,
        metavar="N",
        help="Unlabelled sentences of a language that this is made of, at most. Several, such as 5,50,500, "
        "give a curve.",
    ),
    click.option(
        "--align-layer",
        "align_layers",
        callback=_split_layers,
        metavar="LAYER",
        help="Where: a decoder layer's number, or 'head' for what the head reads. Several, such as "
        "6,12,head, are compared.",
    ),
)


def align_options(command: Command) -> Command:
    """Give a command the options that say with which alignments a model is scored."""
    for option in reversed(_ALIGN_OPTIONS):
        command = option(command)
    return command


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """Turn the values of `--set` into recipe keys and values."""
    from xlprompt.training.recipe import parse_value

    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"expected KEY=VALUE, got '{setting}'", param_hint="--set")
        parsed[key.strip()] = parse_value(value)
    return parsed


def given(keys: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Values by key of the options that were given."""
    return {key: options[name] for name, key in keys.items() if options[name] is not None}
