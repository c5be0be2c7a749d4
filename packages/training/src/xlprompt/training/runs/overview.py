"""What is about to run and what it will cost, told before it starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from xlprompt.data.encoding.batches import lengths_in_training, shared_rows, training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.how_many import how_many
from xlprompt.evaluation.fitted_table import show_table
from xlprompt.evaluation.processes import Processes
from xlprompt.evaluation.waiting import waiting
from xlprompt.models import ParameterBudget
from xlprompt.training.fitting.progress import duration
from xlprompt.training.fitting.read_once import ReadOnce, what_is_read_once
from xlprompt.training.inputs.curve_samples import curve_steps
from xlprompt.training.machine.out_of_memory import out_of_memory_explained
from xlprompt.training.machine.speed import PeakRate, device_peak_flops
from xlprompt.training.runs.cost import training_flops, unlabelled_flops
from xlprompt.training.runs.estimate import CostEstimate, Workload, estimate
from xlprompt.training.runs.opened import TrainingRun


@dataclass(frozen=True)
class ToldCost:
    """What the user is told before a run starts, and what its cost is held against.

    Attributes:
        expected: What training will take on this device.
        peak: The device's rate.
        flops_per_step: Model FLOPs of a step, on average.
        flops_once: Those of reading the training set once, where that is all that reads it.
    """

    expected: CostEstimate
    peak: PeakRate
    flops_per_step: float
    flops_once: int = 0


def tell_cost(run: TrainingRun) -> ToldCost:
    """Show what is about to run and what it will cost, by one pass of its first step's first micro-batch."""
    setup, recipe, schedule, aligned = run.setup, run.recipe, run.recipe.schedule, run.alignment
    lengths, processes = run.train.encoded.lengths, setup.processes
    step = next(
        training_steps(
            run.train.encoded,
            batch_size=schedule.batch_size,
            token_budget=schedule.token_budget,
            seed=recipe.seed,
            pad_id=setup.pad_id,
            longest_first=True,
            processes=processes.size,
            share=run.model.trains_on_trees,
        )
    )
    once = what_is_read_once(run.model, recipe, run.train.encoded, run.development.encoded, aligned)
    read = lengths_in_training(run.train.encoded) if run.model.trains_on_trees else lengths
    scored = _read_in_scoring(run, run.development.encoded)
    rows_a_sequence = len(lengths) / run.train.encoded.sequences
    workload = Workload(
        schedule.steps,
        round(-(-schedule.batch_size // processes.size) * rows_a_sequence),
        lengths,
        scored,
        evaluations=-(-schedule.steps // schedule.evaluate_every),
        unlabelled=aligned.reads() if aligned else None,
        once=once,
        read_lengths=read,
        readouts=(readouts := run.train.encoded.num_readouts / len(lengths)),
        processes=processes.size,
    )
    state = run.engine.memory(run.budget, recipe.precision, processes.size)
    with out_of_memory_explained(), waiting(run.console, "Measuring a step for the estimate"):
        expected = estimate(run.model, step.micro_batches, workload, state=state, device=setup.device)
    peak = device_peak_flops(setup.device, recipe.precision)
    one_epoch = training_flops(run.model, lengths, len(lengths), readouts=readouts, read=read)
    flops = one_epoch / len(lengths) * schedule.batch_size * rows_a_sequence
    flops += unlabelled_flops(run.model, aligned.reads(), steps=1, readouts=readouts) if aligned else 0
    tokens = sum(int(_read_in_scoring(run, sample.encoded).sum()) for sample in run.curve)
    a_point = expected.forward_seconds_per_token * tokens / processes.size
    show_table(run.console, plan_table(run, expected, once, a_point))
    if once.train:
        return ToldCost(expected, peak, 0.0, one_epoch)
    return ToldCost(expected, peak, flops)


def _read_in_scoring(run: TrainingRun, encoded: Encoded) -> np.ndarray:
    """Tokens of each row that a score of these examples reads, `[rows]`."""
    budget = run.recipe.evaluation.token_budget
    return shared_rows(encoded, budget).lengths if run.model.reads_trees else encoded.lengths


def plan_table(run: TrainingRun, expected: CostEstimate, once: ReadOnce, a_point: float = 0.0) -> Table:
    """What is about to run and what it trains; a score of all languages' samples takes `a_point` seconds."""
    setup, environment = run.setup, run.environment
    recipe, schedule = setup.recipe, setup.recipe.schedule
    sequences = schedule.steps * schedule.batch_size
    epochs = sequences / run.train.encoded.sequences
    developed = run.development.record.examples
    table = Table.grid(padding=(0, 2))
    table.title = Text(f"{recipe.task} · {recipe.method} · {recipe.model} · seed {recipe.seed}")
    table.title_justify = "left"
    rows = {
        "trainable": _trainable(run.budget),
        "data": f"{setup.source.name}: {'+'.join(recipe.data.train_languages)}, "
        f"{run.train.record.examples:,} training and {developed:,} development examples",
        "test": f"{how_many(len(run.languages), 'language')}: {' '.join(run.languages)}",
        "training": f"{how_many(schedule.steps, 'step')} of {how_many(schedule.batch_size, 'sequence')} "
        f"({_epochs(epochs)}), development score every {schedule.evaluate_every}",
        "device": f"{environment.device} ({environment.cpu}, {how_many(environment.cores, 'core')}), "
        f"{recipe.precision}",
        "engine": f"{run.engine}; {_processes(setup.processes)}",
        "estimate": f"{duration(expected.train_seconds)} of training, "
        f"{duration(expected.development_seconds)} of development scores, "
        f"{expected.peak_memory_bytes / 2**30:.1f} GiB of memory",
        "store": str(run.store),
    }
    if once.bytes:
        kept = {"training": once.train, "development": once.development}
        sets = " and ".join(name for name, is_kept in kept.items() if is_kept)
        rows["read once"] = f"{sets} set; states kept in {once.bytes / 2**20:.1f} MiB of memory"
    if run.alignment:
        aligned = run.alignment.languages
        rows["alignment"] = (
            f"loss of weight {recipe.alignment_loss.weight:g}, unlabelled text of "
            f"{how_many(len(aligned), 'language')}: {' '.join(aligned)}"
        )
    if run.curve and (every := recipe.evaluation.curve_every) is not None:
        points = len(curve_steps(schedule.steps, every))
        rows["curve"] = (
            f"up to {recipe.evaluation.curve_examples} test examples of each language every {every} steps, "
            f"at {points} in all, about {duration(a_point * points)}; nothing is chosen by it"
        )
    for title, text in rows.items():
        table.add_row(title, Text(text))  # a path may hold brackets, which rich would take for markup
    return table


def _processes(processes: Processes) -> str:
    return f"{processes.size} processes share each step" if processes.size > 1 else "one process"


def _trainable(budget: ParameterBudget) -> str:
    if budget.trainable_params > budget.total_params:  # a share of the backbone would be more than all of it
        return f"{budget.trainable_params:,} parameters, all of the backbone's among them: {_parts(budget)}"
    share = f"{budget.trainable_percent:.3g} %"
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
