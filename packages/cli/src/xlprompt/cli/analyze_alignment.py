"""`xlprompt analyze alignment`: what moving hidden states to the training language's place gains.

The work is done by `xlprompt.training.alignment_report`; this file lays out its tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import json_option, mlruns_option

if TYPE_CHECKING:
    from rich.table import Table

    from xlprompt.evaluation import Verdict
    from xlprompt.evaluation.statistics import Estimate
    from xlprompt.training.alignment_report import Gain

MARKS = {"win": "*", "loss": "*", "tie": " "}


@click.command("alignment", short_help="Gains by aligning languages without labels.")
@click.option("--task", "tasks", multiple=True, help="xnli, pawsx, ner or pos; may be given more than once.")
@click.option("--model", help="Backbone; default: all that the store has.")
@mlruns_option
@json_option
def command(tasks: tuple[str, ...], model: str | None, mlruns: Path, as_json: bool) -> None:
    """Compare stored predictions with and without alignment, by language and seed by seed.

    The predictions are made by `xlprompt evaluate RUN_ID --align mean,mean_scale`, or by training runs whose
    recipe names kinds in evaluation.alignment.kinds.

    \b
    Examples:
      xlprompt analyze alignment
      xlprompt analyze alignment --task pos --json
    """
    from rich.console import Console

    from xlprompt.training.alignment_report import analyze_alignment

    findings = analyze_alignment(mlruns, tasks=tasks, model=model)
    if as_json:
        click.echo(json.dumps(findings.to_dict(), indent=2, ensure_ascii=False))
        return
    console = Console()
    cells = dict.fromkeys(
        (task, gain.model, gain.method) for gain in findings.gains for task in gain.comparison.tasks
    )
    for task, name, method in cells:
        gains = [gain for gain in findings.gains if (gain.model, gain.method) == (name, method)]
        console.print(_gain_table(task, name, method, gains))
    for name in dict.fromkeys(name for name, _ in findings.verdicts):
        by_kind = {kind: each for (model_, kind), each in findings.verdicts.items() if model_ == name}
        console.print(_verdict_table(name, by_kind))
    for note in findings.notes:
        console.print(note, highlight=False)


def _gain_table(task: str, model: str, method: str, gains: list[Gain]) -> Table:
    from rich import box
    from rich.table import Table

    from xlprompt.data.languages import language

    gains = [gain for gain in gains if task in gain.comparison.tasks]
    first = gains[0].comparison
    seeds = first.tasks[task].method_seeds
    one_seed = len(seeds) == 1
    table = Table(
        title=f"{task} · {method} · {model} · seeds {' '.join(map(str, seeds))} · gain by alignment, points",
        caption="± standard error over examples; one seed says nothing of others."
        if one_seed
        else "± half the 95 % interval over seeds and examples. * significant after Holm over languages.",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("language", no_wrap=True)
    table.add_column("none", justify="right", no_wrap=True)
    for gain in gains:
        table.add_column(gain.kind, justify="right", no_wrap=True)
    rows = [[row for row in gain.comparison.differences if row.task == task] for gain in gains]
    for of_language in zip(*rows, strict=True):
        row = of_language[0]
        table.add_row(
            f"{language(row.language).name} ({row.language})",
            f"{row.baseline:.1f}",
            *(f"{_figure(each.estimate)}{MARKS[each.outcome]}" for each in of_language),
        )
    table.add_section()
    for wanted in ("zero-shot", "resource level"):
        groups = [
            [row for row in gain.comparison.groups if (row.task, row.grouping) == (task, wanted)]
            for gain in gains
        ]
        for of_group in zip(*groups, strict=True):
            name = of_group[0].group if wanted == "zero-shot" else f" {of_group[0].group}"
            table.add_row(
                f"{name} ({len(of_group[0].languages)})",
                f"{of_group[0].baseline:.1f}",
                *(f"{_figure(each.estimate)} " for each in of_group),
                style="bold" if wanted == "zero-shot" else "",
            )
    return table


def _figure(estimate: Estimate) -> str:
    if estimate.low is not None and estimate.high is not None:
        return f"{estimate.value:+.1f} ±{(estimate.high - estimate.low) / 2:.1f}"
    error = "" if estimate.example_stderr is None else f" ±{estimate.example_stderr:.1f}"
    return f"{estimate.value:+.1f}{error}"


def _verdict_table(model: str, by_kind: dict[str, tuple[Verdict, ...]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=f"The paper's claims with alignment · {model}", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim")
    for kind in by_kind:
        table.add_column(kind, no_wrap=True)
    for of_claim in zip(*by_kind.values(), strict=True):
        table.add_row(of_claim[0].claim, *(verdict.verdict for verdict in of_claim))
    return table
