"""What can be asked about learning by language."""

from __future__ import annotations

from pathlib import Path

from xlprompt.studies.analyses.analysis import option
from xlprompt.studies.grid.ledger import require_store
from xlprompt.training.recipes.settings import Settings as AnySettings

REMEDY = "Run a study with curves first: xlprompt study experiments/ablations/curves.yaml"


class Settings(AnySettings):
    """How fast and how steadily runs learned each language, from the curves that they kept.

    Runs have curves over languages where their recipe says evaluation.curve_every. Of each task and method
    the newest study with curves counts. What comes out is kept for `xlprompt report`.

    Examples:
      xlprompt study experiments/ablations/curves.yaml && xlprompt analyze learning
      xlprompt analyze learning --tasks ner --json
    """

    tasks: tuple[str, ...] = option(
        (),
        "Some of the tasks, such as xnli,ner; such a look leaves the report's section as it is.",
        names=("--tasks", "--task"),
    )
    methods: tuple[str, ...] = option((), "Some of the methods, such as prompt,finetune; likewise.")
    model: str | None = option(None, "Backbone; default: all that the store has.")

    def check(self, store: Path) -> None:
        """Refuse a store that is not there before anything large is imported."""
        require_store(store, REMEDY)
