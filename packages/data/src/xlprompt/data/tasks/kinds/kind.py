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

Answers = Sequence[Sequence[Any]]
"""Of each example its answers: the number of its label, or of each word's label; of a span texts."""
Counts = dict[str, tuple[np.ndarray, np.ndarray]]
"""By metric, numerators and denominators `[examples]`; a score is the ratio of their sums."""

Shown = Mapping[str, Sequence[tuple[str, str]]]


class Example(NamedTuple):
    """A row that counts.

    Attributes:
        position: Place among the file's rows of that language, those that are left out counted too.
        id: Its own id, or else its position, in an own task with a digest of its texts.
        texts: Its texts; of a tagged sentence the list of its words.
        answer: Number of its label; of a tagged sentence the list of its words' labels; of a span those texts
            that are right, each with where it starts.
        language: What its own column of this name tells, of text without labels: a code, or what else stands
            there; None where nothing does.
    """

    position: int
    id: str
    texts: tuple[Any, ...]
    answer: Any
    language: str | None = None


class Encodings(Protocol):
    """What a kind asks of encoded examples; satisfied by `xlprompt.data.encoding.encode.Encoded`."""

    @property
    def task(self) -> Task:
        """Their task."""
        ...

    @property
    def table(self) -> Dataset:
        """The examples themselves, in the columns of the kind's `features`."""
        ...

    def by_example(self, column: str) -> list[np.ndarray]:
        """One of the columns of `EncodedRows`, the read-outs of each example in their order."""
        ...


class Kind(Protocol):
    """A kind of task."""

    @property
    def name(self) -> str:
        """What stored predictions and fingerprints call it."""
        ...

    @property
    def hub_task(self) -> str:
        """What the Hugging Face hub calls it, a `pipeline_tag`."""
        ...

    @property
    def read_at(self) -> str:
        """Where in a row of tokens a model is read, in words."""
        ...

    @property
    def by_word(self) -> bool:
        """Whether an example is given as words and each is answered; else texts are, and one answer is."""
        ...

    @property
    def ends_rows(self) -> bool:
        """Whether a row of texts ends with the ids of `encoding.end`."""
        ...

    def rows_of(self, task: Task) -> list[tuple[str, ...]]:
        """The fields whose texts each row of an example holds, in their order."""
        ...

    @property
    def metric_titles(self) -> Mapping[str, str]:
        """What metrics are called for people, those that are called otherwise than in `Task.metrics`."""
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

    @property
    def labeled(self) -> bool:
        """Whether answers are labels of the task; else they are texts."""
        ...

    @property
    def compares_readouts(self) -> bool:
        """Whether one softmax compares the read-outs of an example; else the labels at each read-out."""
        ...

    def head_width(self, task: Task) -> int:
        """Logits a read-out."""
        ...

    def decode(self, scores: Tensor, groups: Tensor | None) -> Tensor:
        """Choose answers.

        Args:
            scores: Logits or their log-softmax, `[..., readouts, width]`.
            groups: `[readouts]`, rising from 0: the example that each read-out is of; None where labels are
                compared.

        Returns:
            The label of each read-out, `[..., readouts]`; where read-outs are compared, the places of those
            that are chosen among their example's, `[..., examples, chosen]`.
        """
        ...

    def weigh(self, log_probabilities: Tensor, groups: Tensor | None) -> Tensor:
        """How probable answers are.

        Args:
            log_probabilities: `[readouts, width]`, as the softmax of this kind has them.
            groups: As in `decode`.

        Returns:
            For each read-out or example, what `named` reads: `[readouts or examples, numbers]`.
        """
        ...

    def named(self, encoded: Encodings, weighed: Sequence[np.ndarray]) -> list[list[dict[str, float]]]:
        """Of each example, what its answers may be with their probabilities, by its part of `weigh`."""
        ...

    def gold(self, encoded: Encodings) -> Answers:
        """The right answers of each example."""
        ...

    def out_of_reach(self, encoded: Encodings) -> int:
        """How many examples have a right answer that is never given, as it is too long."""
        ...

    def trivial(self, encoded: Encodings, language: str) -> Answers | None:
        """Answers that need no model; None where that is the commonest label, which the right ones tell."""
        ...

    def answers(self, encoded: Encodings, chosen: list[list[int]]) -> Answers:
        """The answers of each example, by its part of `decode`."""
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

    def counts(
        self, task: Task, gold: Answers, predicted: Answers, only: str | None, language: str | None
    ) -> Counts:
        """Reduce each example to two counts for each metric, for one metric alone if that is less work."""
        ...

    def is_defined(self, task: Task, metric: str, gold: Answers) -> bool:
        """Whether right answers are ones that the metric says something of."""
        ...
