"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from pathlib import Path

import click

mlruns_option = click.option(
    "--mlruns",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mlruns"),
    show_default=True,
    envvar="XLPROMPT_MLRUNS",
    help="Folder of the MLflow store.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else."
)
