"""Texts with options to choose from: what such an example is, and how it becomes token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.encoded_rows import TEXTS_AT_ONCE, EncodedRows, Encoder, check_labels
from xlprompt.data.tasks.kinds.kind import Answers, Encodings, Example
from xlprompt.data.tasks.kinds.labels import named_probabilities
from xlprompt.data.tasks.kinds.layout import Layout
from xlprompt.data.tasks.kinds.texts import OneLabelAnExample, checked_texts
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Place, Task
from xlprompt.data.tokens.subtokens import tokenize_texts

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor


def _told(task: Task) -> list[str]:
    """The fields that each option stands behind."""
    return [name for name in task.text_fields if name not in task.labels]


@dataclass(frozen=True)
class Choice(OneLabelAnExample):
    """Texts and options, one of which is right; satisfies `xlprompt.data.tasks.kinds.kind.Kind`.

    A task's labels are the names of the fields that hold its options. Each option is a row of its own behind
    the other texts and has one logit, so that no answer depends on the order of the options.
    """

    name = "choice"
    hub_task = "multiple-choice"
    read_at = "the last token of a row, one row an option"
    labeled = True
    compares_readouts = True

    def rows_of(self, task: Task) -> list[tuple[str, ...]]:
        """A row an option, behind the other texts."""
        return [(*_told(task), option) for option in task.labels]

    def features(self, task: Task) -> dict[str, Any]:
        """A column a text, as the fields are called, then `label`."""
        from datasets import ClassLabel, Value

        texts = {name: Value("string") for name in task.text_fields}
        return {**texts, "label": ClassLabel(names=list(task.labels))}

    def example(
        self, task: Task, texts: Sequence[Any], answer: Any, names: Sequence[str], place: Place
    ) -> Example | Skipped:
        """Texts are strings that are not blank and can be encoded, and no two options are the same."""
        skipped = checked_texts(task, texts, names, place)
        if skipped is not None:
            return skipped
        options = [text for field, text in zip(task.text_fields, texts, strict=True) if field in task.labels]
        if len(set(options)) < len(options):
            raise place.error("two options are the same text", "Nothing tells them apart: delete the row.")
        return self.with_label(task, texts, answer, place)

    def encode(self, table: Dataset, task: Task, how: Encoder) -> EncodedRows:
        """Encode each option of an example as one row that is read at its last token.

        The row is `lead A separator B separator option end`. What is over `max_length` is cut away as
        `Layout.row` says.
        """
        told = _told(task)
        layout = Layout.of(how, len(told) + 1, self.typed_as(task))
        rows = EncodedRows()
        for start in range(0, len(table), TEXTS_AT_ONCE):
            part = table[start : start + TEXTS_AT_ONCE]
            count = len(part["label"])
            columns = [text for name in (*told, *task.labels) for text in part[name]]
            ids = tokenize_texts(how.tokenizer, columns)
            for offset, label in enumerate(part["label"]):
                example = start + offset
                check_labels([label], task, example)
                texts = how.finer(ids[offset::count], example)
                any_cut = False
                for option, text in enumerate(texts[len(told) :]):
                    row, cut = layout.row([*texts[: len(told)], text])
                    any_cut |= cut
                    if not row:
                        raise DataError(f"row {example} has an option without text", fix="Remove the row.")
                    is_right = option == label
                    rows.add(example, row, readouts=(len(row) - 1,), labels=(is_right,), words=(option,))
                rows.truncated += any_cut
        return rows

    def head_width(self, task: Task) -> int:
        """How well the option fits."""
        return 1

    def decode(self, scores: Tensor, groups: Tensor | None) -> Tensor:
        """The best option of each example, `[..., examples, 1]`; of equal ones the first."""
        return _by_example(scores, groups).argmax(dim=-1, keepdim=True)

    def weigh(self, log_probabilities: Tensor, groups: Tensor | None) -> Tensor:
        """The probability of each option, `[examples, options]`."""
        return _by_example(log_probabilities, groups).exp()

    def named(self, encoded: Encodings, weighed: Sequence[np.ndarray]) -> list[list[dict[str, float]]]:
        """By the names of the options."""
        return [named_probabilities(encoded.task, each[None]) for each in weighed]

    def gold(self, encoded: Encodings) -> Answers:
        """The number of the right option."""
        return [[int(labels.argmax())] for labels in encoded.by_example("labels")]

    def trivial(self, encoded: Encodings, language: str) -> None:
        """None: that is the commonest option."""

    def answers(self, encoded: Encodings, chosen: list[list[int]]) -> Answers:
        """The number of the chosen option."""
        return chosen


def _by_example(scores: Tensor, groups: Tensor | None) -> Tensor:
    """`[..., readouts, 1]` as `[..., examples, options]`: every example has as many."""
    assert groups is not None
    examples = int(groups[-1]) + 1 if len(groups) else 0
    return scores.reshape(*scores.shape[:-2], examples, -1)


CHOICE = Choice()
