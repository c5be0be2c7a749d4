"""What is right and what was answered, as pairs of names, whatever kind of task the answers are of."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.tasks.kinds.answer_text import normalized
from xlprompt.evaluation.answers.predictions import SavedPredictions

EXACT = "exact"
"""Of an answer in a text: what it should be, and what it is where it is right."""

EMPTY, TOO_LONG, TOO_SHORT, SHIFTED, ELSEWHERE = "empty", "too long", "too short", "shifted", "elsewhere"
"""How a part of a text can miss the answer."""


def answer_pairs(saved: SavedPredictions) -> list[list[tuple[str, str]]]:
    """Of each example the right name and the given one: one pair, or one a word.

    Names are labels. Of answers in a text the right one is EXACT, and the given one how it misses.
    """
    rows = zip(saved.gold, saved.predicted, strict=True)
    if not saved.labels:
        return [[(EXACT, miss(answer, right, saved.language))] for right, (answer,) in rows]
    names = saved.labels
    return [
        [(names[right], names[given]) for right, given in zip(gold, predicted, strict=True)]
        for gold, predicted in rows
    ]


def miss(answer: str, right: Sequence[str], language: str) -> str:
    """How an answer misses those that are right, by the tokens that count in MLQA's rules.

    Args:
        answer: The part of the text that was given.
        right: The right ones; it counts as what it is to the one that it is nearest to.
        language: Code of their language.

    Returns:
        EXACT; TOO_LONG or TOO_SHORT where one holds the other; SHIFTED where they share a token; ELSEWHERE
        where they share none; EMPTY where nothing of the answer counts.
    """
    given = normalized(answer, language).split()
    if not given:
        return EMPTY
    order = (EXACT, TOO_LONG, TOO_SHORT, SHIFTED, ELSEWHERE)
    return min((_miss(given, normalized(each, language).split()) for each in right), key=order.index)


def _miss(given: Sequence[str], right: Sequence[str]) -> str:
    if given == right:
        return EXACT
    if right and _holds(given, right):
        return TOO_LONG
    if _holds(right, given):
        return TOO_SHORT
    return SHIFTED if {*given} & {*right} else ELSEWHERE


def _holds(longer: Sequence[str], shorter: Sequence[str]) -> bool:
    """Whether the tokens of one follow each other in the other."""
    size = len(shorter)
    return any(longer[start : start + size] == shorter for start in range(len(longer) - size + 1))
