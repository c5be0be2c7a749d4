"""One to four texts with one label: what such an example is, and how it becomes token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasets import ClassLabel, Dataset, Value

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.encoded_rows import (
    TEXTS_AT_ONCE,
    EncodedRows,
    Encoder,
    check_labels,
    leading_ids,
)
from xlprompt.data.tasks.kinds.kind import Answers, Counts, Example, Shown
from xlprompt.data.tasks.kinds.labels import OneLabelAReadout, json_type, label_number, right_answers
from xlprompt.data.tasks.rules import NO_LABEL, NOT_TRANSLATED, Skipped, untranslated
from xlprompt.data.tasks.task_type import Place, Task
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.data.tokens.subtokens import tokenize_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COLUMNS = ("first", "second", "third", "fourth")
_TYPED = ("a text", "two texts", "three texts", "four texts")


@dataclass(frozen=True)
class Classification(OneLabelAReadout):
    """Texts with one label; satisfies `xlprompt.data.tasks.kinds.kind.Kind`."""

    name = "pair"  # as it was called when there were two texts always
    by_word = False
    json_type = str

    def features(self, task: Task) -> dict[str, Any]:
        """Columns of texts, then `label`."""
        texts = {column: Value("string") for column, _ in zip(_COLUMNS, task.text_fields, strict=False)}
        return {**texts, "label": ClassLabel(names=list(task.labels))}

    def example(
        self, task: Task, texts: Sequence[Any], answer: Any, names: Sequence[str], place: Place
    ) -> Example | Skipped:
        """Texts are strings that are not blank and can be encoded."""
        for name, text in zip(names, texts, strict=False):
            if not isinstance(text, str):
                raise place.error(f"{name} is not a string but {json_type(text)}")
            place.check_text(name, text)
        if untranslated(task, texts):
            return Skipped(NOT_TRANSLATED)
        for name, text in zip(names, texts, strict=False):
            if not text.strip():
                raise place.error(f"{name} is blank", "Fill it in or delete the row.")
        if place.labeled and task.no_label and answer == task.no_label:
            return Skipped(NO_LABEL)
        number = label_number(task, answer, place) if place.labeled else 0
        return Example(place.position, place.id, tuple(texts), number)

    def typed(self, task: Task, texts: Sequence[str]) -> list[tuple[Any, ...]]:
        """The texts of one example; of a task with one text, any number of them."""
        wanted = task.text_fields
        if len(wanted) == 1:
            return [(text,) for text in texts]
        if len(texts) != len(wanted):
            raise DataError(
                f"{len(texts)} text{'s' if len(texts) != 1 else ''} where {task.name} takes "
                f"{self.typed_as(task).removesuffix(' texts')}",
                fix=f"Give a {' and a '.join(wanted)}; many pairs can stand in a file.",
            )
        return [tuple(texts)]

    def typed_as(self, task: Task) -> str:
        """As many texts as the task has."""
        return _TYPED[len(task.text_fields) - 1]

    def encode(self, table: Dataset, task: Task, how: Encoder) -> EncodedRows:
        """Encode each example as one row that is read at its last token.

        A pair is `lead A separator B end`, where `lead` is what the tokenizer puts in front by itself (XGLM
        `</s>`, Gemma `<bos>`). If that is over `max_length`, tokens are taken from the end of the longest
        text until there are two of its length, then from both, and so on.
        """
        tokenizer, settings, cutter, spaced = how
        lead = leading_ids(tokenizer)
        separator, end = _joints(tokenizer, settings)
        columns = _COLUMNS[: len(task.text_fields)]
        room = settings.max_length - len(lead) - (len(columns) - 1) * len(separator) - len(end)
        if room < len(columns):
            raise DataError(
                f"encoding.max_length {settings.max_length} leaves no room for {self.typed_as(task)} beside "
                f"{settings.max_length - room} tokens in front of, between and behind them",
                fix="Raise encoding.max_length, or shorten encoding.separator and encoding.end.",
            )
        rows = EncodedRows()
        for start in range(0, len(table), TEXTS_AT_ONCE):
            part = table[start : start + TEXTS_AT_ONCE]
            count = len(part["label"])
            ids = tokenize_texts(tokenizer, [text for column in columns for text in part[column]])
            for offset, label in enumerate(part["label"]):
                example = start + offset
                check_labels([label], task, example)
                texts = ids[offset::count]
                if cutter is not None:
                    texts = [cutter.text(text, example, k, spaced=spaced) for k, text in enumerate(texts)]
                lengths = [len(text) for text in texts]
                kept = _longest_first(lengths, room)
                rows.truncated += kept != lengths
                row = [*lead, *texts[0][: kept[0]]]
                for text, keep in zip(texts[1:], kept[1:], strict=True):
                    row += [*separator, *text[:keep]]
                row += end
                if not row:
                    raise DataError(f"row {example} has no text in either column", fix="Remove the row.")
                rows.add(example, row, readouts=(len(row) - 1,), labels=(label,), words=(0,))
        return rows

    def to_json(self, answers: Sequence[Any]) -> Any:
        """The one answer."""
        (answer,) = answers
        return answer

    def from_json(self, value: Any) -> list[Any]:
        """The answer alone in a list."""
        return [value]

    def shown(self, task: Task, texts: Sequence[Any], answers: Sequence[str]) -> Shown:
        """A line a text; the label goes with all of them."""
        return {name: [(text, "")] for name, text in zip(task.text_fields, texts, strict=True)}

    def counts(self, task: Task, gold: Answers, predicted: Answers, only: str | None) -> Counts:
        """Accuracy: 1 or 0 over 1."""
        return {"accuracy": right_answers(gold, predicted)}

    def is_defined(self, task: Task, metric: str, gold: Answers) -> bool:
        """Always."""
        return True


def _longest_first(lengths: list[int], room: int) -> list[int]:
    """How many tokens of each text stay; of texts that are over their share, the first get the odd tokens."""
    kept, left = list(lengths), room
    cut = sorted(range(len(lengths)), key=lengths.__getitem__)
    while cut and lengths[cut[0]] <= left // len(cut):
        left -= lengths[cut.pop(0)]
    for rank, place in enumerate(sorted(cut)):
        kept[place] = left // len(cut) + (rank < left % len(cut))
    return kept


def _joints(tokenizer: PreTrainedTokenizerFast, settings: EncodingSettings) -> tuple[list[int], list[int]]:
    """The ids between texts and those behind the last.

    A tokenizer's own pair template counts only where it separates by `sep` or `eos`, as XGLM's does, whose
    training text had `</s>` for line breaks (fairseq, examples/xglm/README.md). Gemma's and Llama's templates
    begin the second text with another `<bos>`, as if it had nothing to do with the first.
    """
    encoded = tokenizer("a", "b")
    texts = encoded.sequence_ids()
    own = encoded["input_ids"][texts.index(0) : texts.index(1)][texts.count(0) :]
    closing = {tokenizer.sep_token_id, tokenizer.eos_token_id} - {None}
    has_own = bool(own) and closing.issuperset(own)

    def given(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    separator = own if has_own else given("\n")
    end = own[-1:] if has_own else given("\n")
    if settings.separator is not None:
        separator = given(settings.separator)
    if settings.end is not None:
        end = given(settings.end)
    return separator, end


CLASSIFICATION = Classification()
