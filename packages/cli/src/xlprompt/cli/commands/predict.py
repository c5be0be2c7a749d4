"""`xlprompt predict`: labels for new text by a trained model.

The work is done by `xlprompt.training.predict`; this file only reads arguments and shows what came of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from xlprompt.cli.options import device_option, mlruns_option, model_place_option
from xlprompt.cli.said import wait

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.data import Task
    from xlprompt.data.tasks.kinds.kind import Example
    from xlprompt.models import AlignmentKind
    from xlprompt.training import Predicted

_STANDARD_INPUT = Path("-")


@click.command("predict", short_help="Label new text with a trained model.")
@click.argument("checkpoint", metavar="RUN")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--premise", "--sentence1", "first", help="The first text of one pair.")
@click.option("--hypothesis", "--sentence2", "second", help="The second text of one pair.")
@click.option(
    "--file",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Read text from a file, or '-' for standard input: JSON Lines as in a data folder, without labels; "
    "CSV with its columns; or pairs as two texts with a tab between them, or sentences, their words between "
    "spaces or as CoNLL-U.",
)
@click.option(
    "--language",
    metavar="CODE",
    help="The text's language, such as de; matters for --align, and for zh, ja and th, whose words are put "
    "together without spaces. Default: what a column 'language' tells, or the one trained on.",
)
@click.option(
    "--align",
    type=click.Choice(["mean", "mean_scale", "principal", "subspace"]),
    help="Move hidden states to the training language's, by the moments beside the checkpoint.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write JSON Lines to this file instead of showing a table; gzipped if it ends in .gz.",
)
@model_place_option
@device_option
@mlruns_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines on standard output and nothing else.")
def command(
    checkpoint: str,
    texts: tuple[str, ...],
    first: str | None,
    second: str | None,
    source: Path | None,
    language: str | None,
    align: str | None,
    out: Path | None,
    model: str | None,
    device: str | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Predict the labels of new text with RUN, and say how probable they are.

    RUN is "latest", a training run's name or the first letters of its id (`xlprompt runs` lists them), the
    folder of a checkpoint, or the hub id of one. For xnli and pawsx, TEXT is the two texts of a pair; for
    xcopa a premise, "cause" or "effect" and two choices, for xquad a context and a question; for sib200 each
    TEXT is a text, and for ner and pos a sentence, with spaces between its words. Nothing is written to the
    store.

    \b
    Examples:
      xlprompt predict latest "A man sleeps." "Nobody sleeps."
      xlprompt predict 0123abcd --premise "Ein Mann schläft." --hypothesis "Niemand schläft." --language de
      xlprompt predict pos-lora-xglm-nano-seed0 --file sentences.txt --language de --align mean --json
      cat pairs.tsv | xlprompt predict latest --file - --out build/predicted.jsonl
    """
    from xlprompt.data import language as language_row
    from xlprompt.data.languages import code_of
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.training import find_directory, load_checkpoint, read_metadata
    from xlprompt.training.inputs.checks import check_device
    from xlprompt.training.machine.imports import quick_imports
    from xlprompt.training.runs.predictions import write_predicted

    pair = tuple(text for text in (first, second) if text is not None)
    if sum(map(bool, (texts, pair, source))) > 1:
        raise click.UsageError(
            "Give text as arguments, as --premise and --hypothesis, or by --file: one of them."
        )
    directory, _ = find_directory(checkpoint, mlruns)
    task = read_metadata(directory).known_task
    assert task is not None  # or it would not have been read
    if pair and len(task.text_fields) != 2:
        raise click.UsageError(
            f"--premise and --hypothesis are the texts of a pair, and the model is for {task.name}: give "
            f"{task.kind.typed_as(task)} without them, or --file."
        )
    if len(pair) == 1:
        raise click.UsageError("--premise and --hypothesis belong together: give both.")
    rows = _rows(task, texts or pair, source)
    check_device(device)
    if language is not None:
        language_row(code_of(language) or language)
    with (
        wait("Loading torch and transformers"),
        quick_imports(),
    ):  # here: what is wrong is told without waiting for torch
        from xlprompt.training import predict

    kind = cast("AlignmentKind", align or "none")
    found = load_checkpoint(directory)
    with wait("Loading the model and predicting"):
        predicted = predict(found, rows, language=language, align=kind, device=device, model=model)
    notes = open_console(stderr=True)
    cut = [row for row in predicted.rows if row.cut]
    if cut:
        notes.print(_about_cut(predicted, [row.row.id for row in cut]), highlight=False, markup=False)
    if out is not None:
        write_predicted(out, predicted)
        click.echo(out)
    if as_json:
        for row in predicted.rows:
            click.echo(json.dumps(row.to_dict(), ensure_ascii=False))
    elif out is None:
        _show(open_console(), predicted)


def _rows(task: Task, texts: tuple[str, ...], source: Path | None) -> list[Example]:
    from xlprompt.data.sources.unlabeled import read_rows, typed_rows

    if texts:
        return typed_rows(task, texts)
    if source is None:
        what = task.kind.typed_as(task)
        raise click.UsageError(f"There is no text. The model is for {task.name}: give {what}, or --file.")
    if source == _STANDARD_INPUT:
        if sys.stdin is None:
            raise click.UsageError("Standard input is closed: give a file.")
        return read_rows(task, Path("standard input"), sys.stdin.buffer)
    return read_rows(task, source)


def _about_cut(predicted: Predicted, ids: list[str]) -> str:
    from xlprompt.data.printable import printable

    some = printable(", ".join(ids[:5])) + (", …" if len(ids) > 5 else "")
    return (
        f"{len(ids)} of {len(predicted.rows)} longer than the {predicted.max_length} tokens that the model "
        f"reads, and cut: {some}. Shorten them; or train with a larger encoding.max_length."
    )


def _show(console: Console, predicted: Predicted) -> None:
    """A table of texts; sentences with a label under each word."""
    from rich.columns import Columns
    from rich.table import Table
    from rich.text import Text

    from xlprompt.data.printable import printable
    from xlprompt.evaluation.fitted_table import show_table

    task = predicted.task
    moved = f" · aligned by {predicted.alignment}" if predicted.alignment else ""
    title = f"{task.name} · {predicted.language}{moved}"
    table = Table(title=title, title_justify="left")
    for name in (*task.text_fields, "label"):
        table.add_column(name)
    table.add_column("probability", justify="right")
    sentences: list[Columns] = []
    for each in predicted.rows:
        if not task.kind.by_word:
            (answer,) = each.answers
            table.add_row(
                *(Text(printable(text)) for text in each.row.texts),
                answer.label,
                f"{answer.probability:.1%}",
            )
            continue
        words = []
        for word, answer in zip(*each.row.texts, each.answers, strict=True):
            style = "dim" if answer.label == "O" else "bold"
            words.append(
                Text.assemble(
                    f"{printable(word)}\n", (f"{answer.label}\n", style), f"{answer.probability:.0%}"
                )
            )
        sentences.append(Columns(words, padding=(0, 2)))
    if not task.kind.by_word:
        show_table(console, table)
        return
    console.print(Text(title, style="italic"))
    for sentence in sentences:
        console.print()
        console.print(sentence)
