"""From a trained model to scores by language: predictions, metrics with standard errors, a transfer report.

It knows tasks and encoded examples (xlprompt.data) and runs a task model (xlprompt.models); it neither trains
nor tracks runs. `load_runs`, `compare` and `judge` make a study's statistics from stored predictions. The
names below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.evaluation.alignment_table import sweep_figure, sweep_table
    from xlprompt.evaluation.chart import bar_chart
    from xlprompt.evaluation.comparison import Comparison, compare
    from xlprompt.evaluation.inference import Predictions, predict
    from xlprompt.evaluation.metrics import LabelShares, Score, label_shares, main_metric, score
    from xlprompt.evaluation.predictions import SavedPredictions, load_predictions, save_predictions
    from xlprompt.evaluation.report import LanguageResult, TransferReport, language_result
    from xlprompt.evaluation.runs import TaskRuns, load_runs
    from xlprompt.evaluation.table import score_table
    from xlprompt.evaluation.verdicts import Verdict, judge

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
    "alignment_table": ("sweep_figure", "sweep_table"),
    "chart": ("bar_chart",),
    "comparison": ("Comparison", "compare"),
    "inference": ("Predictions", "predict"),
    "metrics": ("LabelShares", "Score", "label_shares", "main_metric", "score"),
    "predictions": ("SavedPredictions", "load_predictions", "save_predictions"),
    "report": ("LanguageResult", "TransferReport", "language_result"),
    "runs": ("TaskRuns", "load_runs"),
    "table": ("score_table",),
    "verdicts": ("Verdict", "judge"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
