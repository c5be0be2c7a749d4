"""`xlprompt runs`: the training runs of a store with their scores, in the shell.

The work is done by `xlprompt.training.store.listing`; this file only reads arguments and draws a table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import json_option, mlruns_option
from xlprompt.cli.said import in_store, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from xlprompt.training.store.listing import ListedRun

_SHORTEST = 8  # letters of an id that are shown


@click.command("runs", short_help="List training runs with their scores.")
@click.option("--task", help="Only runs of this task.")
@click.option("--method", help="Only runs of this method.")
@click.option("--model", help="Only runs on this backbone, such as xglm-nano.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="List at most this many."
)
@mlruns_option
@json_option
def command(
    task: str | None, method: str | None, model: str | None, limit: int, mlruns: Path, as_json: bool
) -> None:
    """List the training runs of the store, newest first.

    Scores are of the test set in percent: of the language trained on, and the mean of the others. Runs of
    an ablation have their variant's name.

    A run is named by what stands here: the first letters of its id (four or more), or
    task-method-model-seedN, as in xnli-prompt-xglm-nano-seed0, which means the newest of several; "latest"
    is the newest that has finished, of those with a checkpoint where a command needs one.

    \b
    Examples:
      xlprompt runs
      xlprompt runs --task xnli --method lora --limit 5
      xlprompt predict latest "A man sleeps." "Nobody sleeps."
    """
    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.evaluation.terminal import offer, open_console
    from xlprompt.training.store.listing import list_runs

    asked = list_runs(mlruns, task=task, method=method, model=model, limit=limit + 1)
    found = asked[:limit]
    if as_json:
        click.echo(json.dumps([run.to_dict() for run in found], indent=2, ensure_ascii=False))
    elif not found:
        say("No such run in this store." if task or method or model else "No training run in this store.")
    else:
        show_table(open_console(), _table(found))
        if len(asked) > limit:
            say(f"Older runs are not listed: --limit {5 * limit} lists more.", err=True)
        finished = next((run.run for run in found if run.state == "FINISHED"), None)
        if finished:
            command = f"xlprompt inspect {finished}{in_store(mlruns)}"
            offer(open_console(stderr=True), "See where one errs", command)


def _table(runs: Sequence[ListedRun]) -> Table:
    from rich import box
    from rich.table import Table

    has_variants = any(run.variant for run in runs)
    all_finished = all(run.state == "FINISHED" for run in runs)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)  # so that it fits 80 columns
    for name in ("id", "task", "method", *(["variant"] if has_variants else []), "model"):
        table.add_column(name)
    for name in ("seed", "trained\non", "score", "zero-\nshot", "trained\n(%)", "begun"):
        table.add_column(name, justify="right")
    if not all_finished:
        table.add_column("state")
    letters = _letters_needed([run.run for run in runs])
    for run in runs:
        table.add_row(
            run.run[:letters],
            run.task,
            run.method,
            *((run.variant,) if has_variants else ()),
            run.model,
            str(run.seed),
            run.trained_on,
            _number(run.score, ".1f"),
            _number(run.zero_shot, ".1f"),
            _number(run.trainable_percent, ".3g"),
            run.started.astimezone().strftime("%Y-%m-%d %H:%M"),
            *(() if all_finished else (run.state.lower(),)),
        )
    return table


def _letters_needed(ids: Sequence[str]) -> int:
    """How many letters tell ids apart."""
    return next(
        (length for length in range(_SHORTEST, 32) if len({each[:length] for each in ids}) == len(ids)), 32
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
