import shlex
from pathlib import Path

import click
import pytest

from xlprompt.cli.grid_options import grid_options, grid_overrides, recipe_overrides
from xlprompt.studies.grid.overrides import Overrides, command_on_grid


@click.command()
@click.argument("grid")
@click.option("--mlruns")
@grid_options
def _asked(grid, mlruns, **options):
    return grid, mlruns, Overrides(grid_overrides(options), recipe_overrides(options))


@pytest.mark.parametrize(
    "words",
    [
        "'my grid.yaml'",
        "grid.yaml --tasks xnli,pos --methods prompt --seeds 2 --recipe '../mini/{task}-{method}.yaml'",
        "grid.yaml --seeds 4, --limit 24 --model xglm-nano --data ../data --train-language de",
        "grid.yaml --seeds 0,4 --set schedule.steps=4 --set prompt.init=null --set optimizer.betas=[0,1]",
        "grid.yaml --set optimizer.learning_rate=1e-05 --mlruns /far/away",
    ],
)
def test_a_command_asks_for_what_an_earlier_one_was_called_with(words):
    grid, store, overrides = _asked(shlex.split(words), standalone_mode=False)
    command = command_on_grid("xlprompt study", grid, overrides, Path(store or "mlruns"))
    program, name, *again = shlex.split(command)
    assert (program, name) == ("xlprompt", "study")
    assert _asked(again, standalone_mode=False) == (grid, store, overrides)
