"""`xlprompt study`: every task, method and seed of a grid that has no finished run yet.

The work is done by `xlprompt.studies.grid.study`; this file turns options into grid and recipe keys and
prints what came of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xlprompt.cli.grid_options import grid_options, grid_overrides, recipe_overrides
from xlprompt.cli.options import given, json_option, mlruns_option, parse_settings
from xlprompt.cli.said import in_store, wait

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.studies import StudyResult

EXIT_FAILED = 1
EXECUTOR_KEYS = {
    "executor": "executor.kind",
    "workers": "executor.workers",
    "threads": "executor.threads",
    "engine": "executor.engine",
}


def _slurm_settings(ctx: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any]:
    """Grid keys and values of `--slurm`: keys of `executor.slurm`, `gpus`, and any option of sbatch."""
    from xlprompt.studies.executors.settings import SlurmSettings

    if value is None:
        return {}
    keys = {"gpus": "executor.gpus", **{key: f"executor.slurm.{key}" for key in SlurmSettings.model_fields}}
    settings = parse_settings(tuple(part for part in value.replace(",", " ").split()))
    return {keys.get(key, f"executor.slurm.extra.{key}"): given for key, given in settings.items()}


def _gpus_of_a_cell(ctx: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any]:
    """The grid key of `--gpus`, where it is given."""
    if value is None:
        return {}
    if value == "any":
        return {"executor.gpus": None}
    number: Any = value  # which click turns into one
    return {"executor.gpus": click.FloatRange(min=0).convert(number, parameter, ctx)}


@click.command("study", short_help="Run tasks x methods x seeds, and sum up.")
@click.argument("grid", type=click.Path(path_type=Path))
@grid_options
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "slurm"]),
    help="Processes of this machine, a Ray cluster, or jobs of a Slurm cluster.",
)
@click.option(
    "--slurm",
    callback=_slurm_settings,
    metavar="KEY=VALUE,...",
    help="With --executor slurm: what a cell asks for, such as partition=gpu,minutes=240,gpus=1,qos=long.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Cells at a time; 0: in this process, for debuggers. [default: as many as the cores allow]",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a cell.")
@click.option(
    "--gpus",
    callback=_gpus_of_a_cell,
    metavar="N|any",
    help="GPUs of a cell: 0 for none, below 1 cells share one; any: one where there is one. [default: the "
    "grid's]",
)
@click.option(
    "--engine",
    type=click.Choice(["torch", "deepspeed"]),
    help="What full fine-tuning is trained by. [default: deepspeed]",
)
@click.option(
    "--address", help="With --executor ray: a running cluster's, such as auto. [default: a local one]"
)
@click.option("--force", is_flag=True, help="Run finished cells again; the old runs leave the study.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@mlruns_option
@json_option
def command(
    grid: Path,
    address: str | None,
    slurm: dict[str, Any],
    gpus: dict[str, Any],
    force: bool,
    dry_run: bool,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Run every task with every method and seed of GRID, a YAML file, and sum up over seeds.

    A cell (one recipe and seed) that has a finished run with the same recipe, data, backbone and code is not
    run again; one that was interrupted goes on from its training state. So a study that was stopped, however
    it was, goes on with the same command. A cell that fails does not stop the others.

    \b
    Examples:
      xlprompt study experiments/mini/study.yaml
      xlprompt study experiments/mini/study.yaml --tasks xnli --seeds 5 --workers 1
      xlprompt study experiments/gemma/study.yaml --data ../data --limit 2000 --dry-run
      xlprompt study experiments/paper/study.yaml --executor ray --address auto --mlruns /shared/mlruns
      xlprompt study experiments/paper/study.yaml --executor slurm --slurm partition=gpu,minutes=240,gpus=1
    """
    from xlprompt.evaluation.terminal import offer, open_console
    from xlprompt.studies.grid.overrides import Overrides, command_on_grid

    with wait("Loading libraries"):
        from xlprompt.studies import run_study

    console = open_console(stderr=as_json)
    result = run_study(
        grid,
        store=mlruns,
        console=console,
        grid_overrides=grid_overrides(options) | given(EXECUTOR_KEYS, options) | gpus | slurm,
        recipe_overrides=recipe_overrides(options),
        address=address,
        force=force,
        dry_run=dry_run,
    )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    _end(result, force, dry_run, console)
    if dry_run:
        return
    where = in_store(mlruns)
    if any(group.variant for group in result.plan.groups):
        asked = Overrides(grid_overrides(options), recipe_overrides(options))
        offer(
            console,
            "Compare the variants",
            command_on_grid("xlprompt analyze ablation", grid, asked, mlruns),
        )
    elif any(group.cells[0].recipe.evaluation.curve_every for group in result.plan.groups):
        offer(console, "See how each language was learned", f"xlprompt analyze learning{where}")
    elif {"prompt", "finetune"} <= {group.method for group in result.plan.groups}:  # what it compares
        offer(console, "Read more", f"xlprompt report{where}")
    else:
        offer(console, "Look at it", f"xlprompt ui{where}")


def _end(result: StudyResult, force: bool, dry_run: bool, console: Console) -> None:
    """Say what is missing, and leave with an exit code that says so too."""
    for name, error in result.failures.items():
        console.print(f"{name} failed: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if result.stopped_by is not None:
        again = "The same command goes on" + (", without --force" if force else "")
        console.print(f"Interrupted. {again}.", style="red", highlight=False)
        raise SystemExit(128 + result.stopped_by)  # as shells report a death by signal
    if not dry_run and not result.finished:
        raise SystemExit(EXIT_FAILED)
