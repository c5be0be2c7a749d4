"""Sentences with one label a word: what such an example is, and how it becomes token ids."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.tasks.kinds.encoded_rows import (
    TEXTS_AT_ONCE,
    EncodedRows,
    Encoder,
    check_labels,
)
from xlprompt.data.tasks.kinds.kind import Answers, Counts, Encodings, Example, Shown
from xlprompt.data.tasks.kinds.labels import OneLabelAReadout, json_type, label_number, right_answers
from xlprompt.data.tasks.kinds.layout import leading_ids, windows
from xlprompt.data.tasks.rules import NO_TAG, WITHHELD, Skipped, words_withheld
from xlprompt.data.tasks.task_type import Place, Task
from xlprompt.data.tokens.subtokens import tokenize_words

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Tagging(OneLabelAReadout):
    """Sentences with one label a word; satisfies `xlprompt.data.tasks.kinds.kind.Kind`."""

    name = "tagging"
    hub_task = "token-classification"
    read_at = "one subtoken of each word"
    by_word = True
    ends_rows = False
    metric_titles: ClassVar[Mapping[str, str]] = {"f1": "entity F1"}
    json_type = list[str]

    def rows_of(self, task: Task) -> list[tuple[str, ...]]:
        """One row of the words, or several of a long sentence."""
        return [task.text_fields]

    def features(self, task: Task) -> dict[str, Any]:
        """The columns `tokens` and `tags`, lists of equal lengths."""
        from datasets import ClassLabel, List, Value

        return {"tokens": List(Value("string")), "tags": List(ClassLabel(names=list(task.labels)))}

    def example(
        self, task: Task, texts: Sequence[Any], answer: Any, names: Sequence[str], place: Place
    ) -> Example | Skipped:
        """The words are strings that are not empty and can be encoded, with a tag each."""
        (tokens,) = texts
        if not place.labeled:
            answer = [0] * len(tokens) if isinstance(tokens, list) else []
        if not isinstance(tokens, list) or not isinstance(answer, list):
            wrong, value = ("tokens", tokens) if not isinstance(tokens, list) else ("tags", answer)
            raise place.error(f"{wrong} is not a list but {json_type(value)}")
        if not tokens:
            raise place.error("a sentence without words", "Delete it.")
        if len(tokens) != len(answer):
            raise place.error(
                f"{how_many(len(tokens), 'token')} but {how_many(len(answer), 'tag')}",
                "Each token needs one tag; correct or delete the sentence.",
            )
        for number, token in enumerate(tokens, start=1):
            if not isinstance(token, str) or not token:
                raise place.error(f"token {number} is {'empty' if token == '' else 'not a string'}")
        text = " ".join(tokens)
        place.check_text("the sentence", text)
        if place.labeled and task.no_label and task.no_label in answer:
            return Skipped(NO_TAG)
        tags = [label_number(task, tag, place) for tag in answer]
        if "_" in text and words_withheld(task, tokens, tags if place.labeled else None):
            return Skipped(WITHHELD)
        return Example(place.position, place.id, (tokens,), tags)

    def typed(self, task: Task, texts: Sequence[str]) -> list[tuple[Any, ...]]:
        """Each text is a sentence, with spaces between its words."""
        return [(text.split(),) for text in texts]

    def typed_as(self, task: Task) -> str:
        """A sentence."""
        return "a sentence"

    def encode(self, table: Dataset, task: Task, how: Encoder) -> EncodedRows:
        """Encode each sentence as one or more windows in which every word is read once.

        The words of a sentence are tokenized one at a time, each with the space in front of it. This gives
        the ids of the running sentence (for Gemma 3's tokenizer in each of 10,000 sentences of 20 languages;
        XGLM's splits at spaces before anything else) and an exact map from words to subtokens. Without spaces
        the two differ: in running text 16 % of the words of Chinese UD, 41 % of Japanese and 11 % of Thai
        share a token with a neighbor (Gemma 3), and one token cannot be read for two tags. So the words of
        these languages stand side by side, without a space but with a token boundary between them.

        A sentence over `max_length` becomes several windows of whole words; later ones repeat words in front
        that are not read again. A word without a subtoken (an empty one, say) becomes the unknown token.
        """
        tokenizer, settings, cutter, spaced = how
        lead = leading_ids(tokenizer)
        room = settings.max_length - len(lead)
        last = settings.label_on == "last"
        glued = settings.word_spaces == "script" and not spaced
        rows = EncodedRows()
        for start in range(0, len(table), TEXTS_AT_ONCE):
            part = table[start : start + TEXTS_AT_ONCE]
            pieces = tokenize_words(tokenizer, part["tokens"], glued=glued)
            for example, (words, tags) in enumerate(zip(pieces, part["tags"], strict=True), start):
                if len(words) != len(tags):
                    raise DataError(
                        f"row {example} has {how_many(len(words), 'word')} and {how_many(len(tags), 'tag')}",
                        fix="Give each word one tag.",
                    )
                check_labels(tags, task, example)
                if cutter is not None:
                    words = cutter.words(words, example)
                if max(map(len, words), default=0) > room:
                    # What is read has to stay: the last pieces, or the first.
                    words = [word[-room:] if last else word[:room] for word in words]
                    rows.truncated += 1
                for context, first, stop in windows([len(word) for word in words], room):
                    shown = words[context:stop]
                    ends = list(accumulate(map(len, shown), initial=len(lead)))
                    columns = [end - 1 for end in ends[1:]] if last else ends[:-1]
                    rows.add(
                        example,
                        [*lead, *chain.from_iterable(shown)],
                        readouts=columns[first - context :],
                        labels=tags[first:stop],
                        words=range(first, stop),
                    )
        return rows

    def to_json(self, answers: Sequence[Any]) -> Any:
        """A list."""
        return list(answers)

    def from_json(self, value: Any) -> list[Any]:
        """The same list."""
        return list(value)

    def shown(self, task: Task, texts: Sequence[Any], answers: Sequence[str]) -> Shown:
        """One line of words with their tags."""
        return {"words": list(zip(texts[0], answers, strict=True))}

    def counts(
        self, task: Task, gold: Answers, predicted: Answers, only: str | None, language: str | None
    ) -> Counts:
        """Accuracy over words, and precision, recall and F1 of seqeval's chunks: those that the task has.

        F1 is twice the right chunks over gold and predicted chunks together; precision and recall are right
        chunks over predicted and over gold ones. A chunk belongs to the sentence in which it ends. Chunks
        take a second for 40,000 words, and are not looked for where `only` is accuracy.
        """
        found: Counts = {"accuracy": right_answers(gold, predicted)}
        if only != "accuracy":
            lengths = np.array([len(labels) for labels in gold], dtype=np.int64)
            gold_chunks, predicted_chunks = _chunks(task, gold), _chunks(task, predicted)
            num_gold = _chunks_per_sentence(gold_chunks, lengths)
            num_predicted = _chunks_per_sentence(predicted_chunks, lengths)
            num_right = _chunks_per_sentence(gold_chunks & predicted_chunks, lengths)
            found["f1"] = (2 * num_right, num_gold + num_predicted)
            found["precision"] = (num_right, num_predicted)
            found["recall"] = (num_right, num_gold)
        return {metric: counts for metric, counts in found.items() if metric in task.metrics}

    def out_of_reach(self, encoded: Encodings) -> int:
        """None."""
        return 0

    def is_defined(self, task: Task, metric: str, gold: Answers) -> bool:
        """Entity scores need entities: who rightly finds none where there is none would be given 0."""
        if metric == "accuracy" or "O" not in task.labels:
            return True
        outside = task.labels.index("O")
        return any(label != outside for labels in gold for label in labels)


def _chunks(task: Task, labels: Answers) -> set[tuple[str, int, int]]:
    """Return seqeval's chunks of a whole split: type, first and last position in its flat order.

    seqeval strings all sentences together with an O after each, and its reading of a sentence can depend on
    the one before (a UPOS X at the start). So it is asked once for the whole split, and not sentence by
    sentence.
    """
    from seqeval.metrics.sequence_labeling import get_entities  # here, for it loads scikit-learn

    names = [[task.labels[index] for index in sentence] for sentence in labels]
    with warnings.catch_warnings():
        # UPOS tags are no NE tags; seqeval would say so at every word.
        warnings.filterwarnings("ignore", message=".* seems not to be NE tag", category=UserWarning)
        return set(get_entities(names))


def _chunks_per_sentence(chunks: set[tuple[str, int, int]], lengths: np.ndarray) -> np.ndarray:
    """Count chunks by the sentence in which they end, `[sentences]`."""
    sentence_ends = np.cumsum(lengths + 1)  # + 1 for the O that seqeval puts after each sentence
    last_words = np.array([end for _, _, end in chunks], dtype=np.int64)
    sentences = np.searchsorted(sentence_ends, last_words, side="right")
    return np.bincount(sentences, minlength=len(lengths)).astype(np.float64)


TAGGING = Tagging()
