"""What is about to run, as a table that is shown before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from xlprompt.evaluation.processes import Processes
from xlprompt.models import ParameterBudget
from xlprompt.training.fitting.choose_engine import EngineChoice
from xlprompt.training.fitting.progress import duration
from xlprompt.training.inputs.preparation import Setup, Split
from xlprompt.training.machine.environment import Environment
from xlprompt.training.runs.cost import CostEstimate


def plan_table(
    setup: Setup,
    engine: EngineChoice,
    budget: ParameterBudget,
    train_split: Split,
    development: Split,
    languages: Sequence[str],
    environment: Environment,
    expected: CostEstimate,
    store: Path,
    *,
    aligned_languages: Sequence[str] = (),
) -> Table:
    """What is about to run and what it trains, shown before it starts."""
    recipe, schedule = setup.recipe, setup.recipe.schedule
    sequences = schedule.steps * schedule.batch_size
    epochs = sequences / len(train_split.encoded.dataset)
    table = Table.grid(padding=(0, 2))
    table.title = Text(f"{recipe.task} · {recipe.method} · {recipe.model} · seed {recipe.seed}")
    table.title_justify = "left"
    rows = {
        "trainable": _trainable(budget),
        "data": f"{setup.source.name}: {'+'.join(recipe.data.train_languages)}, "
        f"{train_split.record.examples:,} training and {development.record.examples:,} development examples",
        "test": f"{len(languages)} languages: {' '.join(languages)}",
        "training": f"{schedule.steps:,} steps of {schedule.batch_size} sequences ({_epochs(epochs)}), "
        f"development score every {schedule.evaluate_every}",
        "device": f"{environment.device} ({environment.cpu}, {environment.cores} cores), {recipe.precision}",
        "engine": f"{engine}; {_processes(setup.processes)}",
        "estimate": f"{duration(expected.train_seconds)} of training, "
        f"{duration(expected.development_seconds)} of development scores, "
        f"{expected.peak_memory_bytes / 2**30:.1f} GiB of memory",
        "store": str(store),
    }
    if aligned_languages:
        rows["alignment"] = (
            f"loss of weight {recipe.alignment_loss.weight:g}, unlabelled text of {len(aligned_languages)} "
            f"languages: {' '.join(aligned_languages)}"
        )
    for title, text in rows.items():
        table.add_row(title, Text(text))  # a path may hold brackets, which rich would take for markup
    return table


def _processes(processes: Processes) -> str:
    return f"{processes.size} processes share each step" if processes.size > 1 else "one process"


def _trainable(budget: ParameterBudget) -> str:
    if budget.trainable_params > budget.total_params:  # a share of the backbone would be more than all of it
        return f"{budget.trainable_params:,} parameters, all of the backbone's among them: {_parts(budget)}"
    share = f"{budget.trainable_percent:.3f} %"
    return f"{budget.trainable_params:,} of {budget.total_params:,} parameters ({share}): {_parts(budget)}"


def _epochs(number: float) -> str:
    """In full: `0.04 epochs`, `1.5 epochs`, `600 epochs`; a power of ten would be read as six."""
    if number < 0.005:
        return "less than 0.01 epochs"
    digits = 0 if number >= 10 else 1 if number >= 1 else 2
    shown = f"{number:,.{digits}f}"
    shown = shown.rstrip("0").rstrip(".") if digits else shown
    return f"{shown} epoch{'' if shown == '1' else 's'}"


def _parts(budget: ParameterBudget) -> str:
    parts = {
        "prompt": budget.prompt_params,
        "added": budget.adapter_params,
        "head": budget.head_params,
        "backbone": budget.finetuned_params,
    }
    return ", ".join(f"{name} {number:,}" for name, number in parts.items() if number)
