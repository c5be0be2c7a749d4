"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from xlprompt.cli.said import say

Command = TypeVar("Command", bound=Callable[..., Any])

# MLflow's own settings that runs do not go by. Of its settings MLFLOW_TRACKING_URI alone says where they go.
_UNUSED = tuple(f"MLFLOW_{name}" for name in ("REGISTRY_URI", "EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID"))


def _say_which_store(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """Say once where runs go, if not to the folder alone; of launched processes the first says it."""
    if os.environ.get("RANK", "0") != "0":
        return value
    if os.environ.get("MLFLOW_TRACKING_URI"):
        from xlprompt.training.store.shared.server import tracking_server, without_password

        if server := tracking_server(value):
            say(
                f"Runs are tracked at {without_password(server)} (MLFLOW_TRACKING_URI); training states and "
                f"logs are in {value}.",
                err=True,
            )
    if given := [name for name in _UNUSED if os.environ.get(name)]:
        where = "is" if len(given) == 1 else "are"
        say(f"{', '.join(given)} {where} set and not used.", err=True)
    return value


mlruns_option = click.option(
    "--mlruns",
    callback=_say_which_store,
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mlruns"),
    show_default=True,
    envvar="XLPROMPT_MLRUNS",
    help="Folder of the MLflow store; with MLFLOW_TRACKING_URI, of what stays here: training states, logs.",
)


def out_option(default: Path) -> Callable[[Command], Command]:
    """The option for where an analysis' page goes."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=default,
        show_default=True,
        help="Folder of the page and its Markdown.",
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
    """Names between commas or spaces, each of them once; none where the option is not given."""
    parts = [part.split() for part in (value or "").split(",")]
    names = tuple(name for part in parts for name in part)
    if value is not None and not all(parts):
        raise click.BadParameter(f"expected names by commas, got '{value}'")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise click.BadParameter(f"{', '.join(twice)} is there twice; remove one")
    return names


def split_names(
    ctx: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Names between commas or spaces, of one text or of several, None for none; a callback."""
    if isinstance(value, tuple):
        value = ",".join(value) if value else None
    return _names_in(value) or None


languages_option = click.option(
    "--languages",
    callback=split_names,
    metavar="CODES",
    help="Score these languages only, such as en,de,sw; default: the recipe's choice.",
)


def _split_kinds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return _names_in(value)


def _number(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise click.BadParameter(f"expected numbers above zero by commas, got '{text}'")
    return int(text)


def split_numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Whole numbers above zero between commas; a callback."""
    return tuple(_number(part) for part in _names_in(value))


def split_layers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int | None, ...]:
    """Layers' numbers between commas, None for the head; a callback."""
    return tuple(None if part == "head" else _number(part) for part in _names_in(value))


def split_shares(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Shares between commas; a callback."""
    if value is None:
        return None
    try:
        return tuple(map(float, value.split(",")))
    except ValueError:
        raise click.BadParameter(f"expected shares such as 0,0.5,1, got '{value}'") from None


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
        callback=split_numbers,
        metavar="N",
        help="Unlabelled sentences of a language that this is made of, at most. Several, such as 5,50,500, "
        "give a curve.",
    ),
    click.option(
        "--align-layer",
        "align_layers",
        callback=split_layers,
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
    from xlprompt.training.recipes.files import parse_value

    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not key or not equals:
            raise click.BadParameter(f"expected KEY=VALUE, got '{setting}'", param_hint="--set")
        if key in parsed:
            raise click.BadParameter(f"{key} is given twice; leave one out", param_hint="--set")
        parsed[key] = parse_value(value)
    return parsed


def with_settings(overrides: Mapping[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """Recipe keys and values that options have set, and those of `--set`; no key is set by both."""
    parsed = parse_settings(settings)
    if twice := sorted(overrides.keys() & parsed.keys()):
        raise click.UsageError(f"{twice[0]} is given by an option of its own and by --set. Leave one out")
    return {**overrides, **parsed}


def refuse_unused(unused: bool, name: str, why: str) -> None:
    """Refuse an option that was given and would be passed over.

    Args:
        unused: Whether it would be.
        name: The parameter's name in Python.
        why: What it needs, or what it cannot stand beside.
    """
    context = click.get_current_context()
    if unused and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--{name.replace('_', '-')} {why}", context)


def refuse_page_beside_json(as_json: bool) -> None:
    """Refuse `--out` with `--json`, with which no page is written."""
    refuse_unused(as_json, "out", "is for the page, which --json does not write. Leave one of them out")


def given(keys: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Values by key of the options that were given."""
    return {key: options[name] for name, key in keys.items() if options[name] is not None}
