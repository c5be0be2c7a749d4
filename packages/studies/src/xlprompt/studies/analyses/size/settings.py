"""What can be asked about a model's size."""

from __future__ import annotations

from typing import ClassVar

from xlprompt.studies.analyses.analysis import option
from xlprompt.studies.analyses.kept_runs import OfPublishedRuns


class Settings(OfPublishedRuns):
    """How prompt tuning and LoRA compare with full fine-tuning as a model grows.

    Of each task and method finished runs count that differ in the model and the seed alone, of published ones
    (--runs) in those parameters that they have; of each model the newest study counts. Each task has a slope:
    by how many points the difference of the zero-shot mean changes as parameters double. Nothing is trained
    or scored here. What comes out is kept for `xlprompt report`, for each of the models.

    Examples:
      make ablation NAME=size
      xlprompt analyze size --tasks xnli --methods prompt
      xlprompt analyze size --models xglm-564M,xglm-1.7B,xglm-2.9B --json
      xlprompt analyze size --runs results/small/runs.jsonl.gz --runs results/large/runs.jsonl.gz
    """

    remedy: ClassVar[str] = "Run the study of sizes first: make ablation NAME=size"

    models: tuple[str, ...] = option(
        (),
        "Models of one family and different sizes; default: xglm-nano's five.",
        names=("--models", "--model"),
    )
    best_rate: bool = option(
        False,
        "Where a model has studies of several learning rates, take the one with the best development score "
        "instead of one rate for all models.",
    )
