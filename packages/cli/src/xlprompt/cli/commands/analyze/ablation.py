"""`xlprompt analyze ablation`: what the variants of a grid came to.

The work is done by `xlprompt.studies.analyses.ablation.measure`; this file prints it and writes it to files.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from xlprompt.cli.grid_options import grid_options, grid_overrides, recipe_overrides
from xlprompt.cli.options import json_option, mlruns_option, refuse_page_beside_json


@click.command("ablation", short_help="Scores of a grid's variants, and their differences.")
@click.argument("grid", type=click.Path(path_type=Path))
@grid_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/ablations"),
    show_default=True,
    help="Folder for the page with tables and figures.",
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
    from xlprompt.cli.tables import show_section
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.analyses.ablation.measure import report_ablation

    refuse_page_beside_json(as_json)
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
    show_section(open_console(), result.section, out / grid.stem)
    if result.missing:
        click.echo(f"Not finished and left out: {', '.join(result.missing)}")
