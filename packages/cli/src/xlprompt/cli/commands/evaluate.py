"""`xlprompt evaluate`: scores of a trained model by language, on the recipe's data or on others.

The work is done by `xlprompt.training.evaluate`; this file only reads arguments and prints JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from xlprompt.cli.options import (
    align_options,
    device_option,
    json_option,
    languages_option,
    mlruns_option,
    model_place_option,
)


@click.command("evaluate", short_help="Score a trained model on every language.")
@click.argument("checkpoint", metavar="RUN")
@click.option("--data", help="'mini', 'hub' or a folder; default: the data that it was trained on.")
@languages_option
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="What to score.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Score at most this many examples of each language."
)
@align_options
@model_place_option
@device_option
@mlruns_option
@json_option
def command(
    checkpoint: str,
    data: str | None,
    languages: tuple[str, ...] | None,
    split: str,
    limit: int | None,
    align: tuple[str, ...],
    align_sentences: tuple[int, ...],
    align_layers: tuple[int | None, ...],
    model: str | None,
    device: str | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Score RUN on every language of the data, and write the scores to the MLflow store.

    RUN is "latest", a training run's name or the first letters of its id (`xlprompt runs` lists them), the
    folder of a checkpoint, or the hub id of one.

    \b
    Examples:
      xlprompt evaluate latest
      xlprompt evaluate xnli-prompt-xglm-nano-seed0 --data ../data --languages de,sw --json
      xlprompt evaluate 0123abcd --align mean,mean_scale --align-sentences 5,20,100,500
    """
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.training import evaluate

    scores = evaluate(
        checkpoint,
        store=mlruns,
        console=open_console(stderr=as_json),  # with --json, progress must not mix with the figures
        source=data,
        languages=languages,
        limit=limit,
        split=split,
        device=device,
        model=model,
        align=align,
        align_sentences=align_sentences,
        align_layers=align_layers,
    )
    if as_json:
        found = scores.report.to_dict()
        if scores.aligned:
            found["aligned"] = {kind: report.to_dict() for kind, report in scores.aligned.items()}
        if scores.sweep:
            found["sweep"] = scores.sweep
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
