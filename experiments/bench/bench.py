"""Speed and memory against PEFT and transformers, and what a study and the first seconds take.

    make bench                                       # all parts at XGLM-564M's size, random weights: hours
    python experiments/bench/bench.py --only training --layers 6 --rounds 5 --json bench.json
    python experiments/bench/bench.py --only scoring --data FOLDER --languages all --tokenizer gemma-3-270m

A figure is the median over paired rounds of the ratio within a round (see `common.paired_rounds`), so a noisy
machine disturbs all variants alike. The parts are in `training` (of prompts, and `methods`: LoRA and full
fine-tuning), `scoring`, `study` and `first_seconds`; the rivals in `rivals`.
"""

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import first_seconds
import scoring
import study
import torch
import training
from common import (
    Rounds,
    Setting,
    choose_device,
    in_own_process,
    paired_rounds,
    peak_memory,
    times_as_fast,
    tokens_per_second,
    write_results,
)
from rich.console import Console
from rich.table import Table

from xlprompt.training.machine.speed import device_peak_flops

# PEFT calls names that transformers has renamed, which would warn at each build, in child processes too.
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

Figures = dict[str, dict[str, Any]]
PARTS = ("training", "methods", "scoring", "study", "first-seconds")


@dataclass(frozen=True)
class Asked:
    """What all parts are told."""

    setting: Setting
    rounds: int
    peak_flops: float
    console: Console


def compared(rounds: Rounds, references: Sequence[str], peak_flops: float) -> Figures:
    """Figures by variant. The share of the device's rate is by the model FLOPs of ours, for rivals too."""
    ours = next(iter(rounds.values()))
    figures: Figures = {}
    for name, own in rounds.items():
        work = [(one.flops or first.flops) / one.seconds for one, first in zip(own, ours, strict=True)]
        figures[name] = {
            "tokens_per_second": tokens_per_second(own),
            "times_as_fast": {other: times_as_fast(own, rounds[other]) for other in references},
            "share_of_rate": statistics.median(work) / peak_flops,
            "peak_memory_bytes": peak_memory(own),
            "seconds": [one.seconds for one in own],
        }
    return figures


def table(title: str, figures: Figures, references: Sequence[str]) -> Table:
    """The figures of one part."""
    made = Table(title=title)
    columns = ("variant", "tokens/s", *(f"x {name}" for name in references), "of the rate", "peak memory")
    for column in columns:
        made.add_column(column, justify="left" if column == "variant" else "right")
    for variant, row in figures.items():
        made.add_row(
            variant,
            f"{row['tokens_per_second']:,.0f}",
            *(f"{row['times_as_fast'][name]:.2f}" for name in references),
            f"{row['share_of_rate']:.0%}",
            f"{row['peak_memory_bytes'] / 2**30:.2f} GiB",
        )
    return made


def train_part(name: str, asked: Asked) -> Figures:
    """Training by one kind of method, ours and theirs."""
    part, setting = training.PARTS[name], asked.setting
    rounds = paired_rounds(
        part.title, part.variants, training.measure, asked.rounds, asked.console, name, setting
    )
    figures = compared(rounds, part.references, asked.peak_flops)
    shapes = f"XGLM-564M shapes, {setting.layers} layers, batch {setting.batch_size}, {setting.device}"
    asked.console.print(table(f"{part.title}: {shapes}", figures, part.references))
    return figures


def score_part(data: str, languages: Sequence[str], limit: int, tokenizer: str, asked: Asked) -> Figures:
    """Scoring of test sets, ours and theirs."""
    setting = asked.setting
    arguments = (setting, data, tuple(languages), limit, tokenizer)
    rounds = paired_rounds(
        "Scoring", scoring.VARIANTS, scoring.measure, asked.rounds, asked.console, *arguments
    )
    figures = compared(rounds, (scoring.ALONE, *scoring.REFERENCES), asked.peak_flops)
    shared, alone = (
        [label for one in rounds[name] for label in one.answers] for name in (scoring.OURS, scoring.ALONE)
    )
    same = statistics.mean(a == b for a, b in zip(shared, alone, strict=True))
    figures[scoring.OURS]["labels_as_by_itself"] = same
    what = f"{len(languages)} languages of {data}" if data != scoring.RANDOM else "random rows"
    title = f"Scoring: {what}, XGLM-564M shapes, {setting.layers} layers, {setting.device}"
    asked.console.print(table(title, figures, (scoring.ALONE, *scoring.REFERENCES)))
    asked.console.print(f"{100 * same:.2f} % of the labels are those of each text by itself", highlight=False)
    return figures


def study_part(cells: int, workers: int, asked: Asked) -> Figures:
    """A study's overhead a cell."""
    found: dict[str, list[study.StudyTime]] = {name: [] for name in study.VARIANTS}
    for round_ in range(asked.rounds):
        for name in found if round_ % 2 == 0 else reversed(found):
            found[name].append(in_own_process(f"a study, {name}", study.measure, name, cells, workers))
        told = ", ".join(f"{name} {own[-1].wall_seconds:.1f} s" for name, own in found.items())
        asked.console.print(f"study, round {round_ + 1} of {asked.rounds}: {told}", highlight=False)
    made = Table(title=f"A study of {cells} cells of 2 steps, {workers} at a time: seconds a cell")
    for column in ("cells", "wall", "CPU", "wall beside its work", "CPU beside its work"):
        made.add_column(column, justify="left" if column == "cells" else "right")
    figures: Figures = {}
    for name, own in found.items():
        figures[name] = {
            "wall_seconds": statistics.median(one.wall_seconds * one.workers / one.cells for one in own),
            "cpu_seconds": statistics.median(one.cpu_seconds / one.cells for one in own),
            "wall_overhead": statistics.median(one.wall_overhead for one in own),
            "cpu_overhead": statistics.median(one.cpu_overhead for one in own),
        }
        made.add_row(name, *(f"{value:.2f}" for value in figures[name].values()))
    asked.console.print(made)
    return figures


@click.command(context_settings={"show_default": True})
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="These parts.  [default: all]")
@click.option("--layers", default=24, help="Layers of XGLM-564M's shape (24 is the whole model).")
@click.option("--prompt-length", default=16, help="Prompt slots in every layer.")
@click.option("--batch-size", default=16, help="Examples a step, and of a rival's batch in scoring.")
@click.option("--steps", default=8, help="Steps a round; of random rows, as many batches are scored.")
@click.option("--rounds", default=5, help="Rounds; figures are medians over them.")
@click.option(
    "--data", default="mini", help="What is scored: mini, random, or a folder with test sets of XNLI."
)
@click.option("--languages", default="en", help="Whose test sets are scored: codes with commas, or all.")
@click.option("--limit", default=96, help="Pairs of a test set.")
@click.option("--tokenizer", default="xglm-nano", help="Cuts the texts: a known model, or a folder.")
@click.option("--cells", default=8, help="Cells of a study.")
@click.option("--workers", default=2, help="Cells at a time.")
@click.option("--device", default=None, help="cpu or cuda.  [default: cuda where there is one]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures here.")
def main(only: tuple[str, ...], rounds: int, json_path: Path | None, **options: Any) -> None:
    """Measure training, scoring, a study and the first seconds against the named alternatives."""
    console, device = Console(), choose_device(options["device"])
    sizes = {name: options[name] for name in ("layers", "prompt_length", "batch_size", "steps")}
    setting, wanted = Setting(**sizes, device=device), only or PARTS
    results: dict[str, Any] = {"setting": {**asdict(setting), "rounds": rounds}}
    rate = 1.0
    if {"training", "methods", "scoring"} & set(wanted):
        peak = device_peak_flops(torch.device(device), "bfloat16")
        results["peak"], rate = asdict(peak), peak.flops_per_second
        console.print(f"The device's rate: {rate / 1e12:.3g} TFLOP/s ({peak.source})", highlight=False)
    asked = Asked(setting, rounds, rate, console)
    if "training" in wanted:
        results["training"] = train_part("prompt", asked)
    if "methods" in wanted:
        results["methods"] = {name: train_part(name, asked) for name in ("lora", "finetune")}
    if "scoring" in wanted:
        data, languages = options["data"], options["languages"].split(",")
        if data == scoring.RANDOM:
            languages = ["random"]
        elif languages == ["all"]:
            languages = scoring.languages_of(data)
        results["scoring"] = score_part(data, languages, options["limit"], options["tokenizer"], asked)
    if "study" in wanted:
        results["study"] = study_part(options["cells"], options["workers"], asked)
    if "first-seconds" in wanted:
        results["first_seconds"] = first_seconds.measured(rounds, console)
    if json_path is not None:
        write_results(json_path, results, device, console)


if __name__ == "__main__":
    main()
