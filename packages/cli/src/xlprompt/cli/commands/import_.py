"""`xlprompt import`: an adapter that PEFT has trained becomes a run.

The work is done by `xlprompt.training.exchange`; this file only reads arguments and says what came of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xlprompt.cli.options import (
    device_option,
    given,
    json_option,
    languages_option,
    mlruns_option,
    set_option,
    split_names,
    with_settings,
)
from xlprompt.cli.said import in_store, say, wait

_KEYS = {
    "task": "task",
    "data": "data.source",
    "languages": "data.languages",
    "limit": "data.limit",
    "seed": "seed",
}


@click.command("import", short_help="Make a run of an adapter that PEFT has trained, and score it.")
@click.argument("folder")
@click.option("--task", help="What it was trained for; not needed for what xlprompt has exported.")
@click.option("--data", help="'mini', 'hub' or a folder: score it on these. Default: the recipe's, or none.")
@languages_option
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many examples of each language.")
@click.option("--seed", type=click.IntRange(min=0), help="The seed that it was trained with, for reports.")
@click.option(
    "--labels",
    callback=split_names,
    metavar="NAMES",
    help="The labels of its logits in their order; default: the task's order.",
)
@click.option("--model", metavar="FOLDER_OR_ID", help="The backbone; default: the one that it names.")
@click.option(
    "--recipe",
    "recipes",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A recipe file that says how texts are encoded and scored; several times for several.",
)
@set_option
@click.option(
    "--report",
    "in_reports",
    is_flag=True,
    help="Count it in reports, as the newest runs of its task and method.",
)
@device_option
@mlruns_option
@json_option
def command(
    folder: str,
    labels: tuple[str, ...] | None,
    model: str | None,
    recipes: tuple[Path, ...],
    settings: tuple[str, ...],
    in_reports: bool,
    device: str | None,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a run of FOLDER, an adapter of PEFT or the hub id of one, and score it on every language.

    Prefix tuning, prompt tuning, p-tuning, LoRA and (IA)3 are taken, with a classifier (score) where one was
    trained along; without one, labels are read as the next token. Hidden states are compared with PEFT's own
    model before anything is written. `predict`, `evaluate` and `export` take the run's id then.

    \b
    Examples:
      xlprompt import adapter --task xnli --data mini
      xlprompt import adapter --task xnli --labels contradiction,neutral,entailment --data ../data
      xlprompt import adapter --recipe experiments/mini/xnli.yaml --seed 1 --report
    """
    from xlprompt.evaluation.terminal import offer, open_console
    from xlprompt.studies.grid.single_runs import count_in_reports
    from xlprompt.training.store.hub_folders import local_copy

    console = open_console(stderr=as_json)  # with --json, progress must not mix with the figures
    adapter = local_copy(folder)
    _check(adapter, recipes, model, device)
    with wait("Loading torch and transformers"):
        from xlprompt.training.exchange.peft_import import import_from_peft  # which waits for torch

    imported = import_from_peft(
        adapter,
        store=mlruns,
        console=console,
        recipe_paths=recipes,
        overrides=with_settings(given(_KEYS, options), settings),
        labels=labels or (),
        model=model,
        device=device,
    )
    if in_reports and imported.scores is None:
        raise click.ClickException(
            f"run {imported.run_name} is in the store, and in no report: these go by scores, and nothing was "
            "scored. Import it again with --data"
        )
    if in_reports:
        count_in_reports(imported.recipe, mlruns, imported.run_id)
    for note in imported.notes:
        say(note, err=True)
    if as_json:
        scores = imported.scores
        found = {
            "run_id": imported.run_id,
            "run_name": imported.run_name,
            "checkpoint": str(imported.checkpoint),
            "difference": imported.difference,
            "report": scores.report.to_dict() if scores else None,
        }
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console.print(
        f"Its hidden states differ from PEFT's by {imported.difference:.1e} at most.\n"
        f"Run {imported.run_name}, id {imported.run_id}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    where = in_store(mlruns)
    if imported.scores:
        offer(console, "See where it errs", f"xlprompt inspect {imported.run_id}{where}")
    else:
        offer(console, "Score it", f"xlprompt evaluate {imported.run_id}{where}")


def _check(adapter: Path, recipes: tuple[Path, ...], model: str | None, device: str | None) -> None:
    """Refuse what is not there, without waiting for torch."""
    from xlprompt.models import require_adapter, require_model
    from xlprompt.training.inputs.checks import check_device
    from xlprompt.training.recipes.files import read_chain

    check_device(device)
    require_adapter(adapter)
    if model is not None:
        require_model(model)
    for recipe in recipes:
        read_chain(recipe)
