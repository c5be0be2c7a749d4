"""`xlprompt search`: learning rate, prompt length and whatever else a search file names.

The work is done by `xlprompt.studies.search.search`; this file turns options into keys of the search file and
the recipe, and prints what came of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xlprompt.cli.options import (
    given,
    json_option,
    mlruns_option,
    set_option,
    train_language_option,
    with_settings,
)
from xlprompt.cli.said import wait

EXIT_FAILED = 1
# Options and the keys of the search file, or of the recipe, that they set.
SEARCH_KEYS = {"trials": "trials", "workers": "executor.workers", "threads": "executor.threads"}
RECIPE_KEYS = {
    "model": "model",
    "data": "data.source",
    "limit": "data.limit",
    "train_language": "data.train_language",
    "seed": "seed",
}


@click.command("search", short_help="Search learning rate, prompt length and more.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", required=True, help="A task, such as xnli; or own, the task that --data is.")
@click.option("--method", default="prompt", show_default=True, help="A method of the search file.")
@click.option("--trials", type=click.IntRange(min=1), help="Trials in all, those of earlier calls included.")
@set_option
@click.option("--model", help="Backbone instead of the recipe's.")
@click.option("--data", help="Data instead of the recipe's: 'mini', 'hub', or a folder.")
@click.option("--limit", type=int, help="Use at most this many examples of each split.")
@train_language_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of every trial, and of what is drawn.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Trials at a time; 0: in this process, for debuggers. [default: the search file's]",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a trial.")
@click.option(
    "--database",
    metavar="URL",
    envvar="XLPROMPT_SEARCH_DATABASE",
    help="Optuna database, which several machines may share. [default: search.db in the store's folder]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/search"),
    show_default=True,
    help="Folder of the recipe with the best trial.",
)
@mlruns_option
@json_option
def command(
    file: Path,
    task: str,
    method: str,
    settings: tuple[str, ...],
    database: str | None,
    out: Path,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Try values of the space in FILE, a YAML file, for a task and method, and write the best as a recipe.

    The first trial is the recipe as it is; the others are drawn by Optuna. A trial is scored on the training
    language's development set alone, and cut short where it falls behind. A search that was stopped goes on
    with the same command; called elsewhere with the same --database, the command joins in. The store's MLflow
    run of the search has the trials, a table and plots.

    \b
    Examples:
      xlprompt search experiments/mini/search.yaml --task xnli
      xlprompt search experiments/mini/search.yaml --task pos --method finetune --trials 24 --workers 2
      xlprompt search experiments/paper/search.yaml --task ner --database postgresql://user@host/search
    """
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.search.asked import ask_recipe
    from xlprompt.training.inputs.checks import check_training

    console = open_console(stderr=as_json)
    overrides = {
        "search_overrides": given(SEARCH_KEYS, options),
        "recipe_overrides": with_settings(given(RECIPE_KEYS, options), settings),
    }
    _, recipe, _ = ask_recipe(file, task, method, *overrides.values())
    check_training(recipe, store=mlruns)
    with wait("Loading Optuna and torch"):
        from xlprompt.studies import run_search  # which waits for them

    result = run_search(
        file,
        task=task,
        method=method,
        store=mlruns,
        console=console,
        out=out,
        database=database,
        **overrides,
    )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    for error in result.failures:
        console.print(f"Failed: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if result.stopped_by is not None:
        console.print("Interrupted. The same command goes on.", style="red", highlight=False)
        raise SystemExit(128 + result.stopped_by)  # as shells report a death by signal
    if result.failures:
        raise SystemExit(EXIT_FAILED)
