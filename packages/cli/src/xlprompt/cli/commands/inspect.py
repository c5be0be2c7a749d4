"""`xlprompt inspect`: where a run errs, from its stored predictions.

The work is done by `xlprompt.studies.mistakes`; this file only reads arguments and prints what came of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import (
    device_option,
    json_option,
    mlruns_option,
    model_place_option,
    refuse_unused,
    split_names,
)
from xlprompt.cli.said import wait

if TYPE_CHECKING:
    from xlprompt.studies.mistakes.inspect import Inspection, StoredRun


@click.command("inspect", short_help="See where a run errs, by language, and against another run.")
@click.argument("run")
@click.option("--against", metavar="RUN2", help="A second run: which examples does only one answer right?")
@click.option(
    "--language",
    "languages",
    callback=split_names,
    metavar="CODES",
    help="Only these languages, such as de,sw, beside the one trained on; default: all that were scored.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Of which set.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="With --against: show so many examples of each language.",
)
@click.option(
    "--confident",
    type=click.IntRange(min=1),
    metavar="N",
    help="Ask the model again about its mistakes, and show the N that it is surest of.",
)
@click.option("--data", help="Where the data lie now, if not where they lay; texts are read from there.")
@device_option
@model_place_option
@mlruns_option
@json_option
def command(
    run: str,
    against: str | None,
    languages: tuple[str, ...] | None,
    split: str,
    examples: int,
    confident: int | None,
    data: str | None,
    device: str | None,
    model: str | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Say where RUN errs: what it takes for what in which language, and where more often than in English.

    RUN is "latest", a training run's name or the first letters of its id (`xlprompt runs` lists them), or the
    id of an evaluation. Nothing is scored: the predictions are those that the run has stored. They are stored
    without probabilities, so --confident asks the model again, about its mistakes alone.

    \b
    Examples:
      xlprompt inspect latest
      xlprompt inspect latest --language de,sw --confident 10
      xlprompt inspect xnli-prompt-xglm-nano-seed0 --against xnli-finetune-xglm-nano-seed0
    """
    refuse_unused(against is None, "examples", "is of flips between two runs: add --against RUN2")
    for name in ("device", "model"):
        refuse_unused(confident is None, name, "is of asking the model again: add --confident N")
    from xlprompt.training.store.find import find_run_id

    for which in filter(None, (run, against)):
        find_run_id(which, mlruns)  # here: what is wrong is told without waiting for large libraries
    from dataclasses import replace

    with wait("Loading libraries"):
        from xlprompt.studies.mistakes.inspect import inspect_run, most_confident, read_run

    stored = [
        read_run(which, mlruns, split=split, languages=languages, source=data)
        for which in filter(None, (run, against))
    ]
    with wait("Comparing mistakes"):
        found = inspect_run(*stored)
    if confident is not None:
        with wait("Asking the model again"):
            sure = most_confident(
                stored[0], mlruns, number=confident, languages=languages, device=device, model=model
            )
        found = replace(found, confident=sure)
    found = _with_texts(found, stored[0], examples)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        return
    from xlprompt.cli.tables import show_tables
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.reports.mistakes.tables import answer, tables

    console = open_console()
    console.print(f"{answer(found)}\n", highlight=False)
    show_tables(console, tables(found, examples))


def _with_texts(found: Inspection, stored: StoredRun, examples: int) -> Inspection:
    """With the texts of the examples that are shown, where they can still be read."""
    from dataclasses import replace

    from xlprompt.studies.mistakes.inspect import texts_of

    wanted: dict[str, list[int]] = {}
    for each in found.flips.examples if found.flips else ():
        if len(places := wanted.setdefault(each.language, [])) < examples:
            places.append(each.place)
    for mistake in found.confident:
        wanted.setdefault(mistake.language, []).append(mistake.place)
    texts, note = texts_of(stored, {code: places for code, places in wanted.items() if places})
    return replace(found, texts=texts, note=note)
