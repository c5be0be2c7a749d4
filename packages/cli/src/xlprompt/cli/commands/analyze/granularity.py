"""`xlprompt analyze granularity`: what a finer cut of the text does to the two methods.

The work is done by `xlprompt.studies.analyses.granularity.measure`; this file reads options and prints
tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xlprompt.cli.grid_options import split_seeds
from xlprompt.cli.options import (
    device_option,
    json_option,
    mlruns_option,
    out_option,
    parse_settings,
    refuse_page_beside_json,
    set_option,
    split_names,
)

# Options and the keys of the sweep's file that they set.
SWEEP_KEYS = {name: name for name in ("tasks", "languages", "shares", "model", "limit", "train")}


def _split_shares(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[float] | None:
    if value is None:
        return None
    try:
        return [float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"expected shares such as 0,0.5,1, got '{value}'") from None


@click.command("granularity", short_help="Score both methods on text that is cut ever more finely.")
@click.argument("sweep", type=click.Path(path_type=Path))
@click.option("--tasks", callback=split_names, metavar="NAMES", help="Some of the tasks, such as xnli,pos.")
@click.option(
    "--languages", callback=split_names, metavar="CODES", help="Languages whose text is cut, such as en,de."
)
@click.option(
    "--shares", callback=_split_shares, metavar="NUMBERS", help="Shares of the words, such as 0,0.5,1."
)
@click.option("--model", help="Backbone; needed only where the store has studies of several.")
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many examples of each language.")
@click.option(
    "--train",
    type=click.Choice(["train", "both"]),
    help="Train anew for each share, on finer text, and score on text as it is (train) or on finer (both).",
)
@click.option(
    "--seeds", callback=split_seeds, metavar="N|LIST", help="With --train: how many seeds, or a list."
)
@set_option
@device_option
@out_option
@mlruns_option
@json_option
def command(
    sweep: Path,
    settings: tuple[str, ...],
    seeds: int | list[int] | None,
    device: str | None,
    out: Path,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Score a finished study's models on text of which a growing share of words is cut more finely.

    Model and text stay the same; only the tokens change. SWEEP is a YAML file that says which languages and
    shares. Scorings that are in the store are not made again, so the same command goes on. What comes out,
    the slope of prompt tuning minus full fine-tuning, is kept as a run of the store, and the report's verdict
    on the fourth claim takes it up. --set names keys of the recipes, for --train.

    \b
    Examples:
      xlprompt analyze granularity experiments/granularity/mini.yaml
      xlprompt analyze granularity experiments/granularity/mini.yaml --train both --seeds 2 --tasks xnli
    """
    from xlprompt.cli.tables import show_section
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.analyses.granularity.measure import run_sweep

    refuse_page_beside_json(as_json)
    console = open_console(stderr=as_json)
    result = run_sweep(
        sweep,
        store=mlruns,
        console=console,
        overrides={key: options[name] for name, key in SWEEP_KEYS.items() if options[name] is not None},
        grid_overrides={} if seeds is None else {"seeds": seeds},
        recipe_overrides=parse_settings(settings),
        device=device,
    )
    if as_json:
        click.echo(json.dumps(result.findings.to_dict(), indent=2, ensure_ascii=False))
        return
    show_section(console, result.section, out)
