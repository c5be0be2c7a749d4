"""`xlprompt analyze ablation`: what the variants of a grid came to.

The work is done by `xlprompt.training.ablation_run`; this file prints it and writes it to files.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xlprompt.cli.grid_options import grid_options, grid_overrides, recipe_overrides
from xlprompt.cli.options import json_option, mlruns_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlprompt.evaluation.report_page import Table as PageTable


@click.command("ablation", short_help="Scores of a grid's variants, and their differences.")
@click.argument("grid", type=click.Path(path_type=Path))
@grid_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/ablations"),
    show_default=True,
    help="Folder for the table and the figures.",
)
@mlruns_option
@json_option
def command(
    grid: Path,
    out: Path,
    mlruns: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the variants of GRID, a study's file, from the runs that `xlprompt study GRID` has finished.

    Give the options that the study was called with. The outcome is kept in the store, and `xlprompt report`
    shows it.

    \b
    Examples:
      xlprompt analyze ablation experiments/ablations/scheme.yaml
      xlprompt analyze ablation experiments/ablations/length.yaml --seeds 1
    """
    from xlprompt.evaluation.report_page import Image, Table, markdown_section
    from xlprompt.training.ablation_run import report_ablation

    result = report_ablation(
        grid,
        store=mlruns,
        grid_overrides=grid_overrides(options),
        recipe_overrides=recipe_overrides(options),
    )
    if as_json:
        values = {"ablations": [asdict(each) for each in result.ablations], "missing": result.missing}
        click.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    folder = out / grid.stem
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "ablation.md"]
    paths[0].write_text(markdown_section(result.section) + "\n", encoding="utf-8")
    for number, image in enumerate((part for part in result.section.content if isinstance(part, Image)), 1):
        paths.append(folder / f"figure-{number}.svg")
        paths[-1].write_text(image.svg, encoding="utf-8")
    _print([part for part in result.section.content if isinstance(part, Table)])
    if result.missing:
        click.echo(f"Not finished and left out: {', '.join(result.missing)}")
    for path in paths:
        click.echo(path)


def _print(tables: Sequence[PageTable]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for each in tables:
        shown = Table(title=each.title, caption=each.note, caption_justify="left", box=box.SIMPLE_HEAD)
        for number, column in enumerate(each.columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in each.rows:
            shown.add_row(*row)
        console.print(shown)
