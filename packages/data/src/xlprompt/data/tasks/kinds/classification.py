"""One to four texts with one label: what such an example is, and how it becomes token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.encoded_rows import (
    TEXTS_AT_ONCE,
    EncodedRows,
    Encoder,
    check_labels,
)
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.kinds.labels import OneLabelAReadout
from xlprompt.data.tasks.kinds.layout import Layout
from xlprompt.data.tasks.kinds.texts import OneLabelAnExample, checked_texts
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Place, Task
from xlprompt.data.tokens.subtokens import tokenize_texts

if TYPE_CHECKING:
    from datasets import Dataset

_COLUMNS = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class Classification(OneLabelAnExample, OneLabelAReadout):
    """Texts with one label; satisfies `xlprompt.data.tasks.kinds.kind.Kind`."""

    name = "pair"  # as it was called when there were two texts always
    hub_task = "text-classification"
    read_at = "the last token of a row"

    def features(self, task: Task) -> dict[str, Any]:
        """Columns of texts, then `label`."""
        from datasets import ClassLabel, Value

        texts = {column: Value("string") for column, _ in zip(_COLUMNS, task.text_fields, strict=False)}
        return {**texts, "label": ClassLabel(names=list(task.labels))}

    def example(
        self, task: Task, texts: Sequence[Any], answer: Any, names: Sequence[str], place: Place
    ) -> Example | Skipped:
        """Texts are strings that are not blank and can be encoded."""
        skipped = checked_texts(task, texts, names, place)
        if skipped is not None:
            return skipped
        return self.with_label(task, texts, answer, place)

    def encode(self, table: Dataset, task: Task, how: Encoder) -> EncodedRows:
        """Encode each example as one row that is read at its last token: `lead A separator B end`.

        What is over `max_length` is cut away as `Layout.row` says.
        """
        columns = _COLUMNS[: len(task.text_fields)]
        layout = Layout.of(how, len(columns), self.typed_as(task))
        rows = EncodedRows()
        for start in range(0, len(table), TEXTS_AT_ONCE):
            part = table[start : start + TEXTS_AT_ONCE]
            count = len(part["label"])
            ids = tokenize_texts(how.tokenizer, [text for column in columns for text in part[column]])
            for offset, label in enumerate(part["label"]):
                example = start + offset
                check_labels([label], task, example)
                row, cut = layout.row(how.finer(ids[offset::count], example))
                rows.truncated += cut
                if not row:
                    raise DataError(f"row {example} has no text in either column", fix="Remove the row.")
                rows.add(example, row, readouts=(len(row) - 1,), labels=(label,), words=(0,))
        return rows


CLASSIFICATION = Classification()
