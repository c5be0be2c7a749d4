"""What can be asked about signs that pick a learning rate."""

from __future__ import annotations

from typing import ClassVar

from xlprompt.studies.analyses.kept_runs import OfKeptRuns


class Settings(OfKeptRuns):
    """Which sign without labels of the target languages picks the learning rate that transfers best.

    Finished runs count that differ in the learning rate and the seed alone. Each sign picks a rate of them;
    its regret is what the best rate's zero-shot mean is above that of the picked one. The signs are read off
    the predictions that runs keep; entropy needs runs of this version. Nothing is trained or scored here.
    What comes out is kept for `xlprompt report`.

    Examples:
      xlprompt study experiments/ablations/rates.yaml && xlprompt analyze signs
      xlprompt analyze signs --tasks xnli,ner --methods prompt --json
    """

    remedy: ClassVar[str] = (
        "Run several learning rates first: xlprompt study experiments/ablations/rates.yaml"
    )
