"""An answer to a question about a context that needs no model: the sentence that shares most words with it.

What a model reaches beyond it is what it has learned. Words are those of MLQA's rules (see `answer_text`), so
that of languages without spaces characters are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xlprompt.data.tasks.kinds.answer_text import normalized

_ENDS = re.compile(r"(?<=[.!?؟۔।॥።…])\s+|(?<=[。！？｡])\s*|\s*\n\s*")
_BLANKS = re.compile(r"\s+")
_WITHOUT_MARKS = ("th", "lo")


def sentences(text: str, language: str) -> list[str]:
    """Split a text behind the marks that end its sentences; abbreviations are no exception.

    Thai and Lao have no such marks: there a blank ends a sentence or a clause, and so it does here.

    Args:
        text: Any text.
        language: Code of its language.

    Returns:
        Parts without blanks around them, none of them empty; the text itself where it is blank.
    """
    ends = _BLANKS if language in _WITHOUT_MARKS else _ENDS
    return [part for part in ends.split(text.strip()) if part] or [text]


def closest_sentences(contexts: Iterable[str], questions: Iterable[str], language: str) -> list[str]:
    """Of each context the sentence that shares most different words with its question, the first of equals.

    Args:
        contexts: One for each question, the same one any number of times.
        questions: The questions.
        language: Code of their language.
    """
    told: dict[str, list[tuple[str, set[str]]]] = {}
    closest = []
    for context, question in zip(contexts, questions, strict=True):
        if context not in told:
            told[context] = [(each, _words(each, language)) for each in sentences(context, language)]
        asked = _words(question, language)
        closest.append(max(told[context], key=lambda sentence: len(asked & sentence[1]))[0])
    return closest


def _words(text: str, language: str) -> set[str]:
    return set(normalized(text, language).split())
