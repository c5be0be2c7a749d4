"""`xlprompt analyze alignment`: what moving hidden states to the training language's place gains.

The work is done by `xlprompt.studies.analyses.alignment.sweep` and `measure`; this file reads options and
lays out gains by language.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xlprompt.cli.grid_options import split_seeds
from xlprompt.cli.options import (
    align_options,
    device_option,
    json_option,
    languages_option,
    mlruns_option,
    out_option,
    refuse_page_beside_json,
    split_names,
)
from xlprompt.cli.tables import show_sections

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from xlprompt.evaluation.comparison.statistics import Estimate
    from xlprompt.studies.analyses.alignment.findings import Gain
    from xlprompt.studies.analyses.alignment.measure import AlignmentFindings

EXIT_FAILED = 1
MARKS = {"win": "*", "loss": "*", "tie": " "}


def _split_tasks(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return split_names(ctx, parameter, ",".join(values)) or () if values else ()


@click.command("alignment", short_help="Gains by aligning languages without labels.")
@click.option(
    "--tasks",
    "--task",
    "tasks",
    multiple=True,
    callback=_split_tasks,
    metavar="NAMES",
    help="Some of the tasks, such as xnli,pos; without --sweep such a look leaves the report's section as it "
    "is.",
)
@click.option("--model", help="Backbone; default: all that the store has.")
@click.option(
    "--sweep",
    is_flag=True,
    help="First score every finished run of the newest study of the model with alignment, but for what has "
    "been scored already. The options from here to --workers belong to it.",
)
@click.option(
    "--methods", callback=split_names, metavar="NAMES", help="Some of the methods, such as prompt,finetune."
)
@click.option(
    "--seeds", callback=split_seeds, metavar="N|LIST", help="How many seeds, or a list such as 0,4."
)
@align_options
@languages_option
@click.option(
    "--limit", type=click.IntRange(min=1), help="Score at most this many test examples of each language."
)
@device_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Runs to score at a time; they share the cores and the GPU. [default: 1]",
)
@out_option
@mlruns_option
@json_option
def command(
    tasks: tuple[str, ...],
    model: str | None,
    sweep: bool,
    out: Path,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare stored predictions with and without alignment, by language and seed by seed.

    The predictions are made by --sweep for a whole study, by `xlprompt evaluate RUN_ID --align
    mean,mean_scale` for one run, or by training runs whose recipe names kinds in evaluation.alignment.kinds.
    What comes out is kept for `xlprompt report`. --sweep goes on where it was stopped; without more options
    it takes mean, mean_scale, principal and subspace of 5, 10, 20, 50, 100 and 200 sentences, at the head.

    \b
    Examples:
      xlprompt analyze alignment
      xlprompt analyze alignment --task pos --json
      xlprompt analyze alignment --sweep
      xlprompt analyze alignment --sweep --tasks pos --align mean_scale --align-layer 4,8,head --workers 2
    """
    from rich.text import Text

    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.analyses.alignment.measure import analyze_alignment

    refuse_page_beside_json(as_json)
    console = open_console(stderr=as_json)
    failed = False
    if sweep:
        model, failed = _sweep(tasks, model, mlruns, console, options)
    elif named := [name for name, value in options.items() if value]:
        option = {"align_layers": "align_layer"}.get(named[0], named[0]).replace("_", "-")
        raise click.UsageError(f"--{option} says what to score, which is done with --sweep only")
    # What has been scored belongs into the report, whichever tasks it was.
    with open_console(stderr=True).status("Looking for aligned predictions") as status:
        findings = analyze_alignment(
            mlruns, tasks=() if sweep else tasks, model=model, say=lambda text: status.update(Text(text))
        )
    if as_json:
        click.echo(json.dumps(findings.to_dict(), indent=2, ensure_ascii=False))
    else:
        _show(findings, console, out)
    if failed:
        raise SystemExit(EXIT_FAILED)


def _sweep(
    tasks: tuple[str, ...], model: str | None, store: Path, console: Console, options: Mapping[str, Any]
) -> tuple[str, bool]:
    """Make the scorings; returns the backbone, and whether some could not be made."""
    from xlprompt.studies.analyses.alignment.sweep import AlignmentSweep, sweep_alignment

    names = {"align": "kinds", "align_sentences": "sentences", "align_layers": "layers"}
    given: dict[str, Any] = {
        names.get(name, name): tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if name not in ("device", "workers") and value
    }
    result = sweep_alignment(
        AlignmentSweep(tasks=tasks, model=model, **given),
        store=store,
        console=console,
        device=options["device"],
        workers=options["workers"] or 1,
    )
    for name, error in result.failures.items():
        console.print(f"{name} failed: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if result.stopped_by is not None:
        console.print("Interrupted. The same command goes on.", style="red", highlight=False)
        raise SystemExit(128 + result.stopped_by)
    return result.model, bool(result.failures)


def _show(findings: AlignmentFindings, console: Console, out: Path) -> None:
    """Gains by language, and then the sections that the report has."""
    from xlprompt.evaluation.fitted_table import show_table

    cells = dict.fromkeys(
        (task, gain.model, gain.method) for gain in findings.gains for task in gain.comparison.tasks
    )
    for task, name, method in cells:
        gains = [gain for gain in findings.gains if (gain.model, gain.method) == (name, method)]
        show_table(console, _gain_table(task, name, method, gains))
    show_sections(console, [findings.section(model) for model in findings.models], out)


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
    table.add_column("none", justify="right", no_wrap=True, min_width=5)
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
        half = (estimate.high - estimate.low) / 2
        return f"{estimate.value:+.1f} ±{half:.{0 if half > 99 else 1}f}"
    error = "" if estimate.example_stderr is None else f" ±{estimate.example_stderr:.1f}"
    return f"{estimate.value:+.1f}{error}"
