"""What can be asked about learning by language."""

from __future__ import annotations

from typing import ClassVar

from xlprompt.studies.analyses.analysis import option
from xlprompt.studies.analyses.kept_runs import OfKeptRuns, OfPublishedRuns


class Settings(OfPublishedRuns, OfKeptRuns):
    """How fast and how steadily runs learned each language, from the curves that they kept.

    Runs have curves over languages where their recipe says evaluation.curve_every. Of each task and method
    the newest study with curves counts, all of them trained on the same language. What comes out is kept for
    `xlprompt report`.

    Examples:
      xlprompt study experiments/ablations/curves.yaml && xlprompt analyze learning
      xlprompt analyze learning --tasks ner --json
      xlprompt analyze learning --runs experiments/results/curves/runs.jsonl.gz
    """

    train_language: str | None = option(
        None,
        "Of the runs trained on this language, or these (en+de); likewise. Default: en, or what was trained "
        "on last.",
        metavar="CODE",
    )

    @property
    def are_all(self) -> bool:
        """Whether nothing is left out by an option, so that what comes out is kept for the report."""
        return super().are_all and self.train_language is None

    remedy: ClassVar[str] = "Run a study with curves first: xlprompt study experiments/ablations/curves.yaml"
