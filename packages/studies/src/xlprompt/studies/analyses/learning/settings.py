"""What can be asked about learning by language."""

from __future__ import annotations

from typing import ClassVar

from xlprompt.studies.analyses.kept_runs import OfKeptRuns, OfPublishedRuns


class Settings(OfPublishedRuns, OfKeptRuns):
    """How fast and how steadily runs learned each language, from the curves that they kept.

    Runs have curves over languages where their recipe says evaluation.curve_every. Of each task and method
    the newest study with curves counts. What comes out is kept for `xlprompt report`.

    Examples:
      xlprompt study experiments/ablations/curves.yaml && xlprompt analyze learning
      xlprompt analyze learning --tasks ner --json
      xlprompt analyze learning --runs experiments/results/curves/runs.jsonl.gz
    """

    remedy: ClassVar[str] = "Run a study with curves first: xlprompt study experiments/ablations/curves.yaml"
