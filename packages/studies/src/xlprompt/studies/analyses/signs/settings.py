"""What can be asked about signs that pick a learning rate."""

from __future__ import annotations

from pathlib import Path

from xlprompt.studies.analyses.analysis import option
from xlprompt.studies.grid.ledger import require_store
from xlprompt.training.recipes.settings import Settings as AnySettings

REMEDY = "Run several learning rates first: xlprompt study experiments/ablations/rates.yaml"


class Settings(AnySettings):
    """Which sign without labels of the target languages picks the learning rate that transfers best.

    Finished runs count that differ in the learning rate and the seed alone. Each sign picks a rate of them;
    its regret is what the best rate's zero-shot mean is above that of the picked one. The signs are read off
    the predictions that runs keep; entropy needs runs of this version. Nothing is trained or scored here.
    What comes out is kept for `xlprompt report`.

    Examples:
      xlprompt study experiments/ablations/rates.yaml && xlprompt analyze signs
      xlprompt analyze signs --tasks xnli,ner --methods prompt --json
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
