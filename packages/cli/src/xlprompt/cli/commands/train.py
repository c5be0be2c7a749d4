"""`xlprompt train`: one training run from a recipe, and the scores of every language at its end.

The work is done by `train_alone` of xlprompt.studies, which `xlprompt.train` of Python calls, too; this file
turns options into recipe keys and prints the result.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xlprompt.cli.launch import is_launched, launch, launch_options
from xlprompt.cli.options import (
    device_option,
    given,
    json_option,
    languages_option,
    mlruns_option,
    set_option,
    train_language_option,
    with_settings,
)
from xlprompt.cli.said import in_store

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.training import RunResult

# Options and the recipe keys that they set.
KEYS = {
    "model": "model",
    "data": "data.source",
    "seed": "seed",
    "limit": "data.limit",
    "train_language": "data.train_language",
    "languages": "data.languages",
    "steps": "schedule.steps",
    "batch_size": "schedule.batch_size",
    "learning_rate": "optimizer.learning_rate",
    "prompt_length": "prompt.length",
    "scheme": "prompt.scheme",
}


@click.command("train", short_help="Train by a recipe and score every language.")
@click.argument("recipe", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Backbone: xglm-nano, gemma-3-270m, xglm-564M, any hub id, or a folder.")
@click.option("--data", help="Where the data are: 'mini' (bundled), 'hub' (as published), or a folder.")
@click.option("--seed", type=int, help="Seed of initialization, batch order and dropout.")
@click.option("--limit", type=int, help="Use at most this many examples of each split and language.")
@train_language_option
@languages_option
@click.option("--steps", type=int, help="Optimizer steps.")
@click.option("--batch-size", type=int, help="Sequences in a step.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option("--prompt-length", type=int, help="Positions of the prompt.")
@click.option("--scheme", help="Where the prompt goes in: layers, input, both or hidden.")
@set_option
@click.option(
    "--resume",
    metavar="[RUN]",
    is_flag=False,
    flag_value="latest",
    help="Go on with the newest interrupted run of this recipe, or with the one of this name or id.",
)
@click.option(
    "--resume-step", type=click.IntRange(min=1), help="With --resume: from this step's training state."
)
@click.option(
    "--engine", help="torch or deepspeed; default: deepspeed for full fine-tuning, torch for all else."
)
@click.option(
    "--deepspeed",
    "deepspeed_config",
    type=click.Path(path_type=Path),
    help="DeepSpeed's JSON file; default: ZeRO 1 without offloading. See experiments/deepspeed.",
)
@launch_options
@device_option
@mlruns_option
@json_option
def command(
    recipe: tuple[Path, ...],
    settings: tuple[str, ...],
    resume: str | None,
    resume_step: int | None,
    engine: str | None,
    deepspeed_config: Path | None,
    launcher: str | None,
    num_gpus: int | None,
    hostfile: Path | None,
    device: str | None,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Train by RECIPE, one YAML file or several, and score the result on every language of the data.

    Of several files later ones win: a task's and a method's make a recipe. A name that joins theirs, such as
    xnli-prompt.yaml, stands for both.

    The run goes into the MLflow store: parameters, progress, scores, predictions and the trained weights.
    Options replace values of the recipe for this run. A run that was interrupted, however it was, goes on
    with --resume as if nothing had happened.

    \b
    Examples:
      xlprompt train experiments/mini/xnli-prompt.yaml
      xlprompt train experiments/mini/xnli.yaml experiments/mini/prompt.yaml my-changes.yaml
      xlprompt train experiments/mini/xnli-prompt.yaml --resume
      xlprompt train experiments/gemma/pos-prompt.yaml --data ../data --limit 2000 --steps 100 --seed 1
      xlprompt train experiments/paper/xnli-prompt.yaml --set prompt.init=text --set precision=float32
      xlprompt train experiments/paper/xnli-finetune.yaml --launcher deepspeed --num-gpus 4
    """
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.grid.single_runs import train_alone
    from xlprompt.training import load_recipe
    from xlprompt.training.machine.phases import process_began
    from xlprompt.training.recipes.unused_keys import refuse_unused

    overrides = with_settings(given(KEYS, options), settings)
    console = open_console(stderr=as_json)  # with --json, progress must not mix with the figures
    if resume_step is not None and resume is None:
        raise click.UsageError("--resume-step needs --resume")
    loaded = load_recipe(recipe, overrides)
    refuse_unused(overrides, [loaded])
    status = launch(launcher, num_gpus, hostfile)
    if status is not None:
        sys.exit(status)
    result = train_alone(
        loaded,
        began=process_began(),
        store=mlruns,
        console=console,
        one_process=not is_launched(),
        recipe_path=recipe[0],
        device=device,
        engine=engine,
        deepspeed_config=deepspeed_config,
        resume=resume,
        resume_step=resume_step,
    )
    if result is None:  # not the first of several processes
        return
    if as_json:
        click.echo(json.dumps(_as_dict(result), indent=2, ensure_ascii=False))
    else:
        _print_outcome(result, mlruns, console)


def _as_dict(result: RunResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "run_name": result.run_name,
        "checkpoint": None if result.checkpoint is None else str(result.checkpoint),
        "budget": result.budget.to_dict(),
        "fit": None if result.fit is None else asdict(result.fit),
        "estimate": None if result.estimate is None else asdict(result.estimate),
        "cost": asdict(result.cost),
        "report": result.report.to_dict(),
    }


def _size(number: int) -> str:
    """A head's checkpoint has kilobytes, a fine-tuned model's gigabytes."""
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.0f} KiB"


def _print_outcome(result: RunResult, mlruns: Path, console: Console) -> None:
    from xlprompt.evaluation.terminal import offer
    from xlprompt.training.fitting.progress import duration
    from xlprompt.training.machine.phases import in_words

    cost = result.cost
    where = in_store(mlruns)
    memory = f"peak memory {cost.peak_memory_bytes / 2**30:.1f} GiB"
    trained = (
        f"{cost.train_seconds:.0f} s of them training steps at {100 * cost.model_flops_utilization:.0f} % of "
        f"the device's rate; {memory}, checkpoint {_size(cost.checkpoint_bytes)}"
    )
    if not result.fit:
        trained = f"nothing trained; {memory}"
    lines = (
        f"Finished in {duration(cost.total_seconds)}, {trained}.",
        f"Where the time went: {in_words(cost.phases)}",
        f"Run {result.run_name}, id {result.run_id}",
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if result.checkpoint:
        offer(console, "Score it again", f"xlprompt evaluate {result.run_id}{where}")
    offer(console, "See where it errs", f"xlprompt inspect {result.run_id}{where}")
    offer(console, "Look at it", f"xlprompt ui{where}")
