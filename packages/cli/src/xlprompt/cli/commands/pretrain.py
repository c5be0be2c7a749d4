"""`xlprompt pretrain`: build xglm-nano, the bundled small model, or its balanced control.

The work is done by `xlprompt.training.pretraining.pretrain`; this file finds out where the model goes and
prints the outcome.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import json_option, mlruns_option, parse_settings
from xlprompt.cli.said import wait

if TYPE_CHECKING:
    from rich.table import Table

    from xlprompt.training.pretraining.pretrain import PretrainingResult


@click.command("pretrain", short_help="Build xglm-nano from text of the mini world.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the finished model. [default: where models of this name are looked for]",
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="A key of the recipe, such as steps=100. May be given more than once.",
)
@mlruns_option
@json_option
def command(recipe: Path, out: Path | None, settings: tuple[str, ...], mlruns: Path, as_json: bool) -> None:
    """Pretrain a small XGLM by RECIPE, a YAML file, and store it where `--model` finds it.

    An interrupted build goes on where it stopped. The model named xglm-nano replaces the bundled one.

    \b
    Examples:
      xlprompt pretrain experiments/nano/xglm-nano-balanced.yaml
      xlprompt pretrain experiments/nano/xglm-nano.yaml --out /tmp/nano --set steps=100
    """
    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.models.pretrained.nano import folder_to_write
    from xlprompt.training.pretraining.recipe import PretrainingRecipe
    from xlprompt.training.recipes.settings import load_settings

    console = open_console(stderr=as_json)
    build = load_settings(recipe, PretrainingRecipe, parse_settings(settings))
    folder = out or folder_to_write(build.name)
    console.print(
        f"{build.name}: {build.parameters:,} parameters, {build.steps:,} steps of {build.token_budget:,} "
        "tokens. A build that is stopped goes on from its last checkpoint",
        highlight=False,
        soft_wrap=True,
    )
    from xlprompt.training.fitting.progress import training_progress

    with wait("Loading torch and transformers"):
        from xlprompt.training.pretraining.pretrain import pretrain  # which waits for torch

    with training_progress(console, steps=build.steps, metric="loss") as progress:
        result = pretrain(build, folder=folder, store=mlruns, progress=progress, recipe_path=recipe)
    if as_json:
        click.echo(json.dumps({**asdict(result), "folder": str(result.folder)}, indent=2))
        return
    show_table(console, _table(result))
    console.print(
        f"{result.parameters:,} parameters after {result.seconds / 60:.0f} min, in {result.folder}",
        highlight=False,
        soft_wrap=True,
    )


def _table(result: PretrainingResult) -> Table:
    from rich.table import Table

    table = Table(title="Held-out text")
    for header in ("language", "nats a token", "bits a character", "subtokens a word"):
        table.add_column(header, justify="left" if header == "language" else "right")
    for code, loss in result.loss.items():
        table.add_row(
            code, f"{loss:.3f}", f"{result.bits_per_character[code]:.3f}", f"{result.fertility[code]:.2f}"
        )
    return table
