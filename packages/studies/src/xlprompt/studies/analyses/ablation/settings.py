"""What can be asked about a grid's variants."""

from __future__ import annotations

from pathlib import Path

from xlprompt.studies.analyses.analysis import in_part, option
from xlprompt.studies.grid.grid import load_grid
from xlprompt.studies.grid.ledger import require_store
from xlprompt.studies.grid.overrides import Overrides, command_on_grid
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.data_settings import LIMITS
from xlprompt.training.recipes.settings import Settings as AnySettings

_LIMITS = {f"data.{key}" for key in (*LIMITS, "languages")}


class Settings(AnySettings):
    """Compare the variants of GRID, a study's file, from the runs that `xlprompt study GRID` has finished.

    Give the options that the study was called with. The outcome is kept in the store, and `xlprompt report`
    shows it.

    Examples:
      xlprompt analyze ablation experiments/ablations/scheme.yaml
      xlprompt analyze ablation experiments/ablations/length.yaml --seeds 1
    """

    grid: Path = option(..., "A study's file.")
    overrides: Overrides = Overrides()

    def check(self, store: Path) -> None:
        """Refuse a wrong grid, or a store that is not there, before anything large is imported."""
        load_grid(self.grid, self.overrides.grid)
        require_store(store, self.remedy(store))

    def part(self) -> str:
        """What alone was asked for, where that is less than the file's grid; empty where it is not."""
        asked = load_grid(self.grid, self.overrides.grid)
        try:
            whole = load_grid(self.grid)
        except RecipeError:  # it is one by what the command line adds
            whole = asked
        fewer = {
            key: getattr(asked, key)
            for key in ("tasks", "methods", "seeds", "variants")
            if not set(getattr(whole, key)) <= set(getattr(asked, key))
        }
        limits = {key: value for key, value in self.overrides.recipe.items() if key in _LIMITS}
        return in_part({**fewer, **limits})

    def remedy(self, store: Path) -> str:
        """What to do where runs are missing."""
        return f"Run it first: {command_on_grid('xlprompt study', self.grid, self.overrides, store)}"
