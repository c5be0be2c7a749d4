"""Answers that are parts of a context: their checks, and the best one by the scores of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xlprompt.data.tasks.kinds.labels import json_type
from xlprompt.data.tasks.task_type import Place

if TYPE_CHECKING:
    from torch import Tensor

FIRST, LAST = 1, 2
"""Bits of a token's label: an answer begins with it, ends with it."""

LONGEST_ANSWER = 64
"""Most tokens of an answer that is given."""

_SHOWN = 60


def checked_answers(context: str, answers: Any, name: str, place: Place) -> list[dict[str, Any]]:
    """Check the answers to a question.

    Args:
        context: The text that they stand in.
        answers: A list of objects with `text` and `start` (SQuAD's files: `answer_start`), or an object of
            two such lists, as the hub has it. `start` counts code points of the context as it is published.
        name: What the file calls them.
        place: For messages.

    Returns:
        A list of one or more `{"text", "start"}`.

    Raises:
        DataError: There is none, one is empty, or one does not stand where it says.
    """
    if isinstance(answers, Mapping):
        answers = _rows(answers, name, place)
    if not isinstance(answers, list):
        raise place.error(
            f"{name} is not a list but {json_type(answers)}",
            "An answer has a text and a start: give JSON Lines or Parquet, as a cell of CSV holds no list.",
        )
    if not answers:
        raise place.error(f"{name} is empty: a question without an answer", "Delete the row.")
    return [
        _checked(context, each, f"{name}, {number}", place) for number, each in enumerate(answers, start=1)
    ]


def _rows(answers: Mapping[str, Any], name: str, place: Place) -> list[dict[str, Any]]:
    texts, starts = answers.get("text"), answers.get("start", answers.get("answer_start"))
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise place.error(f"{name} is no object of two lists of one length, text and answer_start")
    return [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]


def _checked(context: str, answer: Any, name: str, place: Place) -> dict[str, Any]:
    if not isinstance(answer, Mapping):
        raise place.error(f"{name} is not an object but {json_type(answer)}")
    text, start = answer.get("text"), answer.get("start", answer.get("answer_start"))
    if not isinstance(text, str):
        raise place.error(f"{name}: text is not a string but {json_type(text)}")
    if isinstance(start, bool) or not isinstance(start, int):
        raise place.error(f"{name}: start is not a whole number but {json_type(start)}")
    if not text.strip():
        raise place.error(
            f"{name}: the answer is blank, as in copies without answers", "Get the file with them."
        )
    if start < 0 or context[start : start + len(text)] != text:
        there = context[start : start + len(text)] if start >= 0 else ""
        raise place.error(
            f"{name}: at {start} of the context stands {_short(there)!r} and not {_short(text)!r}",
            "start counts code points from 0, in the text as it is published, which was perhaps normalized.",
        )
    return {"text": text, "start": start}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def answer_labels(
    answers: Sequence[Mapping[str, Any]], begins: Sequence[int], ends: Sequence[int]
) -> list[int]:
    """Bits of each token for the first answer: those that hold its first and its last character."""
    labels = [0] * len(begins)
    for answer in answers[:1]:
        start, stop = answer["start"], answer["start"] + len(answer["text"])
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(begins, stop, side="left")) - 1
        # A character that the tokenizer drops belongs to no token; its neighbor stands for it.
        first, last = min(first, len(labels) - 1), min(max(last, 0), len(labels) - 1)
        labels[min(first, last)] |= FIRST
        labels[max(first, last)] |= LAST
    return labels


def best_span(scores: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The answer of each example whose two scores add up to most.

    It ends where it begins or later, within LONGEST_ANSWER tokens. Of equal ones the first is taken, and of
    those the shortest.

    Args:
        scores: `[..., readouts, 2]`.
        groups: `[readouts]`, rising from 0.

    Returns:
        First and last token, by place among the example's read-outs, and the sum: each `[..., examples]`.
    """
    assert groups is not None
    starts, ends = scores[..., 0], scores[..., 1]
    total = len(groups)
    lowest = float("-inf")
    best, extra = starts.new_full(starts.shape, lowest), groups.new_zeros(starts.shape)
    for length in range(min(LONGEST_ANSWER, total)):
        stop = total - length
        both = (starts[..., :stop] + ends[..., length:]).masked_fill(groups[:stop] != groups[length:], lowest)
        better = both > best[..., :stop]
        best[..., :stop] = both.where(better, best[..., :stop])
        extra[..., :stop] = extra[..., :stop].masked_fill(better, length)
    examples = int(groups[-1]) + 1 if total else 0
    into = groups.expand(best.shape)
    top = best.new_full((*best.shape[:-1], examples), lowest).scatter_reduce(-1, into, best, "amax")
    places = groups.new_ones(total).cumsum(0) - 1
    is_top = best == top.gather(-1, into)
    candidates = places.expand(best.shape).masked_fill(~is_top, total)
    first = groups.new_full(top.shape, total).scatter_reduce(-1, into, candidates, "amin")
    begin = groups.new_full((examples,), total).scatter_reduce(-1, groups, places, "amin")
    return first - begin, first - begin + extra.gather(-1, first), top
