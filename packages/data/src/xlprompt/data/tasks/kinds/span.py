"""Questions whose answer is a part of a context: what such an example is, and how it becomes token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.answer_text import exact_match, token_f1
from xlprompt.data.tasks.kinds.encoded_rows import EncodedRows, Encoder
from xlprompt.data.tasks.kinds.kind import Answers, Counts, Encodings, Example
from xlprompt.data.tasks.kinds.layout import joints, leading_ids, windows
from xlprompt.data.tasks.kinds.overlap import closest_sentences
from xlprompt.data.tasks.kinds.span_answers import (
    FIRST,
    LAST,
    LONGEST_ANSWER,
    answer_labels,
    best_span,
    checked_answers,
)
from xlprompt.data.tasks.kinds.texts import RunningTexts, checked_texts
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Place, Task
from xlprompt.data.tokens.subtokens import tokenize_texts, tokens_in_place

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

_EXAMPLES_AT_ONCE = 1_000  # contexts are long
_METRICS: Mapping[str, Callable[[str, Sequence[str], str], float]] = {
    "f1": token_f1,
    "exact_match": exact_match,
    "squad_f1": partial(token_f1, rules="squad"),
    "squad_exact_match": partial(exact_match, rules="squad"),
}


@dataclass(frozen=True)
class Span(RunningTexts):
    """A context, a question, and a part of the context; satisfies `xlprompt.data.tasks.kinds.kind.Kind`.

    Every token of the context has two logits: that the answer begins with it, and that it ends with it. Two
    softmaxes compare the tokens of the whole context, however many rows it takes (Clark and Gardner 2018,
    arXiv 1710.10723, call that shared normalization).
    """

    name = "span"
    hub_task = "question-answering"
    read_at = "every token of the context"
    metric_titles: ClassVar[Mapping[str, str]] = {"f1": "token F1", "exact_match": "exact match"}
    json_type = list[str]
    labeled = False
    compares_readouts = True
    ends_rows = False

    def rows_of(self, task: Task) -> list[tuple[str, ...]]:
        """The question, and behind it the context or a window of it."""
        context, question = task.text_fields
        return [(question, context)]

    def features(self, task: Task) -> dict[str, Any]:
        """The columns of the texts, and `answers`: texts with where they start, in code points."""
        from datasets import List, Value

        texts = {name: Value("string") for name in task.text_fields}
        return {**texts, "answers": List({"text": Value("string"), "start": Value("int32")})}

    def example(
        self, task: Task, texts: Sequence[Any], answer: Any, names: Sequence[str], place: Place
    ) -> Example | Skipped:
        """Texts are strings that are not blank, and each answer stands in the context where it says."""
        skipped = checked_texts(task, texts, names, place)
        if skipped is not None:
            return skipped
        answers = checked_answers(texts[0], answer, names[-1], place) if place.labeled else []
        return Example(place.position, place.id, tuple(texts), answers)

    def encode(self, table: Dataset, task: Task, how: Encoder) -> EncodedRows:
        """Encode each context as one or more windows behind its question: `lead question separator window`.

        The question comes first, because a causal model has to know it when it reads the context. Every token
        of the context is read once; a later window repeats tokens in front that are not read again. A
        question over half of a row is cut. Of several right answers the first is trained on.
        """
        lead, (separator, _) = leading_ids(how.tokenizer), joints(how.tokenizer, how.settings)
        room = how.settings.max_length - len(lead) - len(separator)
        if room < 2:
            raise DataError(
                f"encoding.max_length {how.settings.max_length} leaves no room for a question and a context",
                fix="Raise encoding.max_length, or shorten encoding.separator.",
            )
        rows = EncodedRows()
        for start in range(0, len(table), _EXAMPLES_AT_ONCE):
            part = table[start : start + _EXAMPLES_AT_ONCE]
            contexts, questions = (part[name] for name in task.text_fields)
            asked = tokenize_texts(how.tokenizer, questions)
            placed = tokens_in_place(how.tokenizer, contexts)
            for offset, (question, context) in enumerate(zip(asked, placed, strict=True)):
                example = start + offset
                (question,) = how.finer([question], example)
                rows.truncated += len(question) > room // 2
                front = [*lead, *question[: room // 2], *separator]
                ids, begins, ends = _finer(context, how, example)
                labels = answer_labels(part["answers"][offset], begins, ends)
                left = how.settings.max_length - len(front)
                for shown_from, first, stop in windows([1] * len(ids), left):
                    at = len(front) + first - shown_from
                    rows.add(
                        example,
                        [*front, *ids[shown_from:stop]],
                        readouts=range(at, at + stop - first),
                        labels=labels[first:stop],
                        words=range(first, stop),
                        spans=(begins[first:stop], ends[first:stop]),
                    )
        return rows

    def head_width(self, task: Task) -> int:
        """Whether the answer begins here, and whether it ends here."""
        return 2

    def decode(self, scores: Tensor, groups: Tensor | None) -> Tensor:
        """The first and the last token of the best answer, `[..., examples, 2]`, as `best_span` finds it."""
        import torch  # here, as data without a model needs none

        first, last, _ = best_span(scores, groups)
        return torch.stack((first, last), dim=-1)

    def weigh(self, log_probabilities: Tensor, groups: Tensor | None) -> Tensor:
        """First and last token of the best answer, and how probable both are, `[examples, 3]`, float64."""
        import torch

        first, last, score = best_span(log_probabilities.double(), groups)
        return torch.stack((first.double(), last.double(), score.exp()), dim=-1)

    def named(self, encoded: Encodings, weighed: Sequence[np.ndarray]) -> list[list[dict[str, float]]]:
        """The text of the best answer alone, with the product of its two probabilities."""
        chosen = [[int(first), int(last)] for first, last, _ in weighed]
        texts = self.answers(encoded, chosen)
        return [[{text: float(each[2])}] for (text,), each in zip(texts, weighed, strict=True)]

    def gold(self, encoded: Encodings) -> Answers:
        """The texts that are right."""
        return [[each["text"] for each in answers] for answers in encoded.table["answers"]]

    def out_of_reach(self, encoded: Encodings) -> int:
        """Those whose first right answer has more than `LONGEST_ANSWER` tokens."""
        labels = np.concatenate([np.empty(0, np.int64), *encoded.by_example("labels")])
        begins, ends = (np.flatnonzero(labels & bit) for bit in (FIRST, LAST))
        return int((ends - begins >= LONGEST_ANSWER).sum())

    def trivial(self, encoded: Encodings, language: str) -> Answers:
        """The sentence of the context that shares most words with the question."""
        contexts, questions = (encoded.table[name] for name in encoded.task.text_fields)
        return [[each] for each in closest_sentences(contexts, questions, language)]

    def answers(self, encoded: Encodings, chosen: list[list[int]]) -> Answers:
        """The text from the first token to the last, without blanks around it."""
        begins, ends = encoded.by_example("begins"), encoded.by_example("ends")
        contexts = encoded.table[encoded.task.text_fields[0]]
        return [
            [context[begin[first] : end[last]].strip()]
            for context, begin, end, (first, last) in zip(contexts, begins, ends, chosen, strict=True)
        ]

    def to_json(self, answers: Sequence[Any]) -> Any:
        """A list."""
        return list(answers)

    def from_json(self, value: Any) -> list[Any]:
        """The same list."""
        return list(value)

    def counts(
        self, task: Task, gold: Answers, predicted: Answers, only: str | None, language: str | None
    ) -> Counts:
        """Token F1 and exact match, each over 1, by the rules of `answer_text`."""
        counts: Counts = {}
        for metric in [only] if only else task.metrics:
            measure = _METRICS[metric]
            pairs = zip(predicted, gold, strict=True)
            values = [measure(answer, right, language or "") for (answer,), right in pairs]
            counts[metric] = np.array(values, np.float64), np.ones(len(values))
        return counts


def _finer(
    context: tuple[list[int], list[int], list[int]], how: Encoder, example: int
) -> tuple[list[int], list[int], list[int]]:
    """A context's ids and where they begin and end; parts of a token that is cut keep its place."""
    if how.cutter is None:
        return context
    ids, begins, ends = [], [], []
    words = how.cutter.words([[each] for each in context[0]], example, 1)
    for parts, begin, end in zip(words, *context[1:], strict=True):
        ids += parts
        begins += [begin] * len(parts)
        ends += [end] * len(parts)
    return ids, begins, ends


SPAN = Span()
