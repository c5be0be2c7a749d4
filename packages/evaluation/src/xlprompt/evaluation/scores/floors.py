"""What needs no model: the score that a trained model has to beat to be worth anything.

Where answers are labels it is the majority baseline, the accuracy of always giving the commonest one, which
metrics.py and counts.py take from the right answers. Where they are parts of texts it is the trivial
baseline, which needs the texts. So it is computed where they are at hand, once a scored test set, and stored
with the predictions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xlprompt.data.tasks import task as task_row
from xlprompt.evaluation.scores.metrics import main_value

if TYPE_CHECKING:
    from xlprompt.data.encoding.encode import Encoded

TRIVIAL_ANSWER = "the context's sentence that shares most words with the question"
"""What always gives the trivial baseline, in the words of tables and rules."""


def trivial_baseline(encoded: Encoded, language: str) -> float | None:
    """Score the answers that need no model on the examples' own language.

    Args:
        encoded: The examples of a test set.
        language: Their language's code.

    Returns:
        The score in percent that the task is judged by; None where answers are labels.
    """
    answers = encoded.task.kind.trivial(encoded, language)
    if answers is None:
        return None
    return main_value(encoded.task, encoded.gold(), answers, language=language)


def has_trivial(tasks: Iterable[str]) -> bool:
    """Whether answers of one of the tasks are parts of texts."""
    return any(not task_row(name).kind.labeled for name in tasks)


def floor_name(tasks: Iterable[str]) -> str:
    """What a report on these tasks calls what needs no model.

    Args:
        tasks: Names of tasks.
    """
    labeled = [task_row(name).kind.labeled for name in tasks]
    if all(labeled):
        return "majority baseline"
    return "majority or trivial baseline" if any(labeled) else "trivial baseline"
