"""`xlprompt evaluate`: scores of a trained model by language, on the recipe's data or on others.

The work is done by `xlprompt.training.evaluate`; this file only reads arguments and prints JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from xlprompt.cli.options import device_option, json_option, languages_option, mlruns_option


def _split(value: str | None) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in (value or "").split(",")) if part)


def _split_kinds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return _split(value)


def _split_numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    if not all(part.isdecimal() and int(part) > 0 for part in _split(value)):
        raise click.BadParameter(f"expected numbers above zero by commas, got '{value}'")
    return tuple(int(part) for part in _split(value))


def _split_layers(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int | None, ...]:
    numbers = ",".join(part for part in _split(value) if part != "head")
    _split_numbers(ctx, parameter, numbers)
    return tuple(None if part == "head" else int(part) for part in _split(value))


@click.command("evaluate", short_help="Score a trained prompt on every language.")
@click.argument("checkpoint")
@click.option("--data", help="A folder, or 'hub'; default: the data that it was trained on.")
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
@click.option(
    "--align",
    callback=_split_kinds,
    metavar="KINDS",
    help="Also score with hidden states moved to the training language's: mean, mean_scale, principal, "
    "subspace, or several by commas; default: the recipe's choice.",
)
@click.option(
    "--align-sentences",
    callback=_split_numbers,
    metavar="N",
    help="Unlabelled sentences of a language that this is made of, at most. Several, such as 5,50,500, give "
    "a curve.",
)
@click.option(
    "--align-layer",
    "align_layers",
    callback=_split_layers,
    metavar="LAYER",
    help="Where: a decoder layer's number, or 'head' for what the head reads. Several, such as 6,12,head, "
    "are compared.",
)
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
    device: str | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Score CHECKPOINT on every language of the data, and write the scores to the MLflow store.

    CHECKPOINT is the id of a training run in the store (`xlprompt train` prints it, `xlprompt ui` lists
    them), or the folder of a checkpoint.

    \b
    Examples:
      xlprompt evaluate 0123456789abcdef0123456789abcdef
      xlprompt evaluate RUN_ID --data ../data --languages de,sw --json
      xlprompt evaluate RUN_ID --align mean,mean_scale --align-sentences 5,20,100,500
    """
    from rich.console import Console

    from xlprompt.training import evaluate

    scores = evaluate(
        checkpoint,
        store=mlruns,
        console=Console(stderr=as_json),  # with --json, progress must not mix with the figures
        source=data,
        languages=languages,
        limit=limit,
        split=split,
        device=device,
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
