"""What a kind of task brings: each kind is a file beside this one, and nothing else asks which it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from xlprompt.data.tasks.kinds.encoded_rows import EncodedRows, Encoder
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Place, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

Answers = Sequence[Sequence[int]]
"""Of each example its answers in order: one, or one a word."""
Counts = dict[str, tuple[np.ndarray, np.ndarray]]
"""By metric, numerators and denominators `[examples]`; a score is the ratio of their sums."""

Shown = Mapping[str, Sequence[tuple[str, str]]]


class Example(NamedTuple):
    """A row that counts.

    Attributes:
        position: Place among the file's rows of that language, those that are left out counted too.
        id: Its own id, or else its position.
        texts: Its texts; of a tagged sentence the list of its words.
        answer: Number of its label; of a tagged sentence the list of its words' labels.
    """

    position: int
    id: str
    texts: tuple[Any, ...]
    answer: Any


class Kind(Protocol):
    """A kind of task."""

    @property
    def name(self) -> str:
        """What stored predictions and fingerprints call it."""
        ...

    @property
    def by_word(self) -> bool:
        """Whether an example is given as words and each is answered; else texts are, and one answer is."""
        ...

    @property
    def json_type(self) -> Any:
        """What an example's answers are in JSON, with names for numbers."""
        ...

    def features(self, task: Task) -> dict[str, Any]:
        """The columns of a data set besides `id`: those of an example's texts, then that of its answer."""
        ...

    def example(
        self, task: Task, texts: Sequence[Any], answer: Any, names: Sequence[str], place: Place
    ) -> Example | Skipped:
        """An example of its parts, checked; `names` are what its file calls the fields.

        Raises:
            DataError: A part is not as this kind of task has it.
        """
        ...

    def typed(self, task: Task, texts: Sequence[str]) -> list[tuple[Any, ...]]:
        """The texts of examples, from texts as they are typed.

        Raises:
            DataError: There are not as many as the task takes.
        """
        ...

    def typed_as(self, task: Task) -> str:
        """What is to be typed for an example, in words."""
        ...

    def encode(self, table: Dataset, task: Task, how: Encoder) -> EncodedRows:
        """Rows of token ids, and where in them a model is read for which label.

        Args:
            table: Columns as in `features`.
            task: Their task.
            how: The tokenizer and how it is to be used.

        Raises:
            DataError: A label that the task does not have, or no room for text.
        """
        ...

    def head_width(self, task: Task) -> int:
        """Logits a read-out."""
        ...

    def decode(self, logits: Tensor, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Answers `[..., answers]` by logits `[..., readouts, width]`, and the example and word of each."""
        ...

    def gold(self, labels: list[list[int]]) -> list[list[int]]:
        """The right answers of each example, by the labels at its read-outs."""
        ...

    def to_json(self, answers: Sequence[Any]) -> Any:
        """An example's answers, or what goes with each of them, as JSON holds them."""
        ...

    def from_json(self, value: Any) -> list[Any]:
        """The answers that `to_json` was given."""
        ...

    def shown(self, task: Task, texts: Sequence[Any], answers: Sequence[str]) -> Shown:
        """What to show of an example: lines by name, of words or a text, each with its answer or nothing."""
        ...

    def counts(self, task: Task, gold: Answers, predicted: Answers, only: str | None) -> Counts:
        """Reduce each example to two counts for each metric, for one metric alone if that is less work."""
        ...

    def is_defined(self, task: Task, metric: str, gold: Answers) -> bool:
        """Whether right answers are ones that the metric says something of."""
        ...
