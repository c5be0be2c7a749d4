"""Pairs of texts with one label: their rows, and how they become token ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from datasets import Dataset

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.encoded_rows import TEXTS_AT_ONCE, EncodedRows, check_labels, leading_ids
from xlprompt.data.tasks.kinds.labels import id_or_position, json_type, label_number
from xlprompt.data.tasks.rules import NO_LABEL, NOT_TRANSLATED, Skipped, check_text, untranslated
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.tokens.cutter import Cutter
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.data.tokens.subtokens import tokenize_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def encode_pairs(
    table: Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerFast,
    settings: EncodingSettings,
    cutter: Cutter | None,
    *,
    spaced: bool,
) -> EncodedRows:
    """Encode pairs, each as one row that is read at its last token."""
    lead = leading_ids(tokenizer)
    separator, end = _joints(tokenizer, settings)
    room = settings.max_length - len(lead) - len(separator) - len(end)
    if room < 2:
        raise DataError(
            f"encoding.max_length {settings.max_length} leaves no room for two texts beside "
            f"{settings.max_length - room} tokens in front of, between and behind them",
            fix="Raise encoding.max_length, or shorten encoding.separator and encoding.end.",
        )
    rows = EncodedRows()
    for start in range(0, len(table), TEXTS_AT_ONCE):
        part = table[start : start + TEXTS_AT_ONCE]
        count = len(part["label"])
        ids = tokenize_texts(tokenizer, part["first"] + part["second"])
        texts = zip(ids[:count], ids[count:], part["label"], strict=True)
        for example, (first, second, label) in enumerate(texts, start):
            check_labels([label], task, example)
            if cutter is not None:
                first = cutter.text(first, example, 0, spaced=spaced)
                second = cutter.text(second, example, 1, spaced=spaced)
            keep_first, keep_second = _longest_first(len(first), len(second), room)
            rows.truncated += keep_first + keep_second < len(first) + len(second)
            row = [*lead, *first[:keep_first], *separator, *second[:keep_second], *end]
            if not row:
                raise DataError(f"row {example} has no text in either column", fix="Remove the row.")
            rows.add(example, row, readouts=(len(row) - 1,), labels=(label,), words=(0,))
    return rows


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text stay; of two texts over half the room, the first gets the odd token."""
    keep_first = min(first, max(room - second, (room + 1) // 2))
    return keep_first, min(second, room - keep_first)


def _joints(tokenizer: PreTrainedTokenizerFast, settings: EncodingSettings) -> tuple[list[int], list[int]]:
    """The ids between the texts of a pair and those behind it.

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


class Pair(NamedTuple):
    """Two texts and a label number; `position` counts the file's rows of that language, skipped ones too."""

    position: int
    id: str
    first: str
    second: str
    label: int


def make_pair(
    task: Task,
    texts: Sequence[object],
    label: object,
    *,
    position: int,
    row_id: str | None,
    names: Sequence[str],
    file: str | Path,
    line: int | None,
    labeled: bool = True,
) -> Pair | Skipped:
    """Check the parts of a pair and build it.

    Args:
        task: A pair task.
        texts: The two texts.
        label: Label as in the file.
        position: Place among the rows of its language and split.
        row_id: The row's own id; its position stands in for None.
        names: What the file calls the two texts.
        file: For the message.
        line: For the message.
        labeled: Whether there is a label; the first of the task stands in for one, and means nothing.

    Returns:
        The pair, or why a pair like this is left out.

    Raises:
        DataError: A text is not a string, is blank or cannot be encoded, or the label is unknown.
    """
    first, second = (
        _string(name, text, file=file, line=line) for name, text in zip(names, texts, strict=True)
    )
    if untranslated(task, (first, second)):
        return Skipped(NOT_TRANSLATED)
    for name, text in zip(names, (first, second), strict=True):
        if not text.strip():
            raise DataError(f"{name} is blank", file=file, line=line, fix="Fill it in or delete the row.")
    if labeled and task.no_label and label == task.no_label:
        return Skipped(NO_LABEL)
    number = label_number(task, label, file=file, line=line) if labeled else 0
    return Pair(position, id_or_position(row_id, position, file=file, line=line), first, second, number)


def _string(name: str, value: object, *, file: str | Path, line: int | None) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} is not a string but {json_type(value)}", file=file, line=line)
    check_text(name, value, file=file, line=line)
    return value
