"""Labels as answers: from their names in files to counts of right ones, for every kind that has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from xlprompt.data.tasks.kinds.kind import Answers, Encodings
from xlprompt.data.tasks.task_type import Place, Task

if TYPE_CHECKING:
    from torch import Tensor


class OneLabelAReadout:
    """The part of a kind whose softmax is over a task's labels, at every read-out."""

    labeled = True
    compares_readouts = False

    def head_width(self, task: Task) -> int:
        """A logit a label."""
        return len(task.labels)

    def decode(self, scores: Tensor, groups: Tensor | None) -> Tensor:
        """The likeliest label of each read-out."""
        return scores.argmax(dim=-1)

    def weigh(self, log_probabilities: Tensor, groups: Tensor | None) -> Tensor:
        """The probability of each label, `[readouts, labels]`."""
        return log_probabilities.exp()

    def named(self, encoded: Encodings, weighed: Sequence[np.ndarray]) -> list[list[dict[str, float]]]:
        """By the names of the labels, one for each read-out."""
        return [named_probabilities(encoded.task, each) for each in weighed]

    def gold(self, encoded: Encodings) -> Answers:
        """The labels themselves."""
        return [labels.tolist() for labels in encoded.by_example("labels")]

    def trivial(self, encoded: Encodings, language: str) -> None:
        """None: that is the commonest label."""

    def answers(self, encoded: Encodings, chosen: list[list[int]]) -> Answers:
        """The chosen labels themselves."""
        return chosen


def named_probabilities(task: Task, probabilities: np.ndarray) -> list[dict[str, float]]:
    """Probabilities `[answers, labels]` by the names of the labels."""
    return [dict(zip(task.labels, row.tolist(), strict=True)) for row in probabilities]


def right_answers(gold: Answers, predicted: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Right answers and all answers of each example, float64 `[examples]`: what accuracy is the ratio of."""
    lengths = np.array([len(labels) for labels in gold], dtype=np.int64)
    right = np.fromiter(chain.from_iterable(gold), np.int64) == np.fromiter(
        chain.from_iterable(predicted), np.int64
    )
    return sum_by_example(right, lengths), lengths.astype(np.float64)


def sum_by_example(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sum one value per word, `[words]`, within each example: float64 `[examples]`."""
    return np.bincount(np.repeat(np.arange(len(lengths)), lengths), weights=values, minlength=len(lengths))


def label_number(task: Task, value: object, place: Place) -> int:
    """Turn a label as it stands in a file into its number, its place in ``task.labels``.

    Args:
        task: Task with the label names.
        value: A label's name, an alias of the published files, or (JSON only) its number.
        place: For the message.

    Raises:
        DataError: Neither a name nor a number of the task.
    """
    if isinstance(value, str):
        name = value if value in task.labels else dict(task.aliases).get(value, value)
        if name in task.labels:
            return task.labels.index(name)
    elif isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(task.labels):
            return value
        raise place.error(
            f"label {value} is out of range",
            f"Labels of {task.name} are 0 to {len(task.labels) - 1}: {', '.join(task.labels)}.",
        )
    raise place.error(f"unknown label {value!r}", f"Labels of {task.name}: {', '.join(task.labels)}.")


def json_type(value: object) -> str:
    """What JSON calls a value, with its article."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a string")
