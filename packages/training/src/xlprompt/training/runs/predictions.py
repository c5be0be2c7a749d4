"""What a trained model says of new text: labels with the probability of every one, and as lines of a file."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlprompt.data import Task
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.whole_files import write_whole
from xlprompt.training.errors import RunError


@dataclass(frozen=True)
class Answer:
    """What a model says of one example or word: the likeliest label, and every label's probability by name.

    Of a part of a text, that part, and its probability alone.
    """

    label: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """The likeliest label's, from 0 to 1."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Prediction:
    """One text, or what is one example of the task, with its answers.

    Attributes:
        task: The task.
        row: The text.
        answers: One for texts, one a word for a sentence.
        cut: Whether it was longer than the model was trained to read, and its surplus was left away.
    """

    task: Task
    row: Example
    answers: tuple[Answer, ...]
    cut: bool

    def __repr__(self) -> str:
        """The answer in short, with the probability to two digits."""
        probability = self._of_each([round(answer.probability, 2) for answer in self.answers])
        return f"Prediction(label={self.label!r}, probability={probability})"

    @property
    def label(self) -> Any:
        """The likeliest label, or the part of a text that answers; of a sentence a list, one a word."""
        return self._of_each([answer.label for answer in self.answers])

    @property
    def probabilities(self) -> Any:
        """Every label's probability by its name; of a sentence a list, one a word."""
        return self._of_each([answer.probabilities for answer in self.answers])

    @property
    def probability(self) -> Any:
        """The likeliest label's probability, from 0 to 1; of a sentence a list, one a word."""
        return self._of_each([answer.probability for answer in self.answers])

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds: the fields of a data folder's file, the answer as text, and what goes with it."""
        kind = self.task.kind
        answer = kind.to_json([each.label for each in self.answers])
        rounded = [
            {name: round(value, 6) for name, value in each.probabilities.items()} for each in self.answers
        ]
        return {
            "id": self.row.id,
            **({"language": self.row.language} if self.row.language else {}),
            **dict(zip(self.task.fields, (*self.row.texts, answer), strict=True)),
            "probabilities": kind.to_json(rounded),
            "cut": self.cut,
        }

    def _of_each(self, values: list[Any]) -> Any:
        return values if self.task.kind.by_word else values[0]


@dataclass(frozen=True)
class Predicted:
    """The answers to all texts.

    Attributes:
        task: The task of the checkpoint.
        language: What the text was taken for, with commas in between where rows tell several.
        max_length: Most tokens of a row, beyond which text is cut.
        alignment: How hidden states were moved, in words; None where they were not.
        rows: In the order in which they were given.
    """

    task: Task
    language: str
    max_length: int
    alignment: str | None
    rows: tuple[Prediction, ...]


def write_predicted(path: Path, predicted: Predicted) -> None:
    """Write JSON Lines, gzipped where the name ends in `.gz`, whole or not at all.

    Raises:
        RunError: The file cannot be written.
    """
    lines = (json.dumps(row.to_dict(), ensure_ascii=False) for row in predicted.rows)
    content = "".join(f"{line}\n" for line in lines).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error}). Name another file with --out") from error
