"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

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

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else."
)

device_option = click.option("--device", help="cpu or cuda; default: a GPU where there is one.")

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


def _split_codes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    codes = tuple(code for code in (part.strip() for part in (value or "").split(",")) if code)
    return codes or None


languages_option = click.option(
    "--languages",
    callback=_split_codes,
    metavar="CODES",
    help="Score these languages only, such as en,de,sw; default: the recipe's choice.",
)


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
