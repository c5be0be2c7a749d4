"""From a trained model to scores by language: predictions, metrics with standard errors, a transfer report.

It knows tasks and encoded examples (xlprompt.data) and runs a task model (xlprompt.models); it neither trains
nor tracks runs. `load_runs`, `compare` and `judge` make a study's statistics from stored predictions. The
names below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.evaluation.answers.inference import Predictions, predict
    from xlprompt.evaluation.answers.predictions import SavedPredictions, load_predictions, save_predictions
    from xlprompt.evaluation.comparison.compare import compare
    from xlprompt.evaluation.comparison.compared import Comparison
    from xlprompt.evaluation.comparison.counts import TaskRuns, load_runs
    from xlprompt.evaluation.comparison.verdicts import Verdict, judge
    from xlprompt.evaluation.scores.alignment_table import sweep_figure, sweep_table
    from xlprompt.evaluation.scores.chart import bar_chart
    from xlprompt.evaluation.scores.metrics import LabelShares, Score, label_shares, main_metric, score
    from xlprompt.evaluation.scores.table import score_table
    from xlprompt.evaluation.scores.transfer_scores import LanguageResult, TransferReport, language_result

__all__ = [
    "Comparison",
    "LabelShares",
    "LanguageResult",
    "Predictions",
    "SavedPredictions",
    "Score",
    "TaskRuns",
    "TransferReport",
    "Verdict",
    "bar_chart",
    "compare",
    "judge",
    "label_shares",
    "language_result",
    "load_predictions",
    "load_runs",
    "main_metric",
    "predict",
    "save_predictions",
    "score",
    "score_table",
    "sweep_figure",
    "sweep_table",
]

_HOMES = {
    "answers.inference": (
        "Predictions",
        "predict",
    ),
    "answers.predictions": (
        "SavedPredictions",
        "load_predictions",
        "save_predictions",
    ),
    "comparison.compare": (
        "Comparison",
        "compare",
    ),
    "comparison.counts": (
        "TaskRuns",
        "load_runs",
    ),
    "comparison.verdicts": (
        "Verdict",
        "judge",
    ),
    "scores.alignment_table": (
        "sweep_figure",
        "sweep_table",
    ),
    "scores.chart": ("bar_chart",),
    "scores.metrics": (
        "LabelShares",
        "Score",
        "label_shares",
        "main_metric",
        "score",
    ),
    "scores.table": ("score_table",),
    "scores.transfer_scores": (
        "LanguageResult",
        "TransferReport",
        "language_result",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
