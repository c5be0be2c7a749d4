"""What a language model is given and asked to continue with, for each label of an example.

The words are lm-evaluation-harness's (`templates.yaml`); three of its faults are not repeated. It drops the
last character of every XCOPA premise, which is a letter in Thai and Tamil: here only punctuation is dropped.
It keeps PAWS-X's untranslated pairs, which our sources leave out. In most XNLI languages its neutral word
means "therefore": `words="mended"` has others, `words="harness"` is for comparison with its figures.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import yaml

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.task_type import Task

Words = Literal["mended", "harness"]
_ENGLISH = "en"
# Spaces that tokenization has put around punctuation, one kind after the other.
_TOKENIZED = (
    (re.compile(r" n't"), "n't"),
    (re.compile(r" \)"), ")"),
    (re.compile(r"\( "), "("),
    (re.compile(r'" '), '"'),
    (re.compile(r' "'), '"'),
    (re.compile(r" (['.,])"), r"\1"),
)


class Question(NamedTuple):
    """What is given, perhaps nothing, and what may follow: one text for each answer."""

    context: str
    continuations: tuple[str, ...]


def has_templates(task_name: str) -> bool:
    """Whether a task can be asked about in words."""
    return task_name in _templates()


def tasks_with_templates() -> tuple[str, ...]:
    """Names of the tasks that can be."""
    return tuple(_templates())


def template_language(task: Task, language: str) -> str:
    """The language of the words: the examples' own, or English where there are none in it."""
    return language if language in _of(task)["words"] else _ENGLISH


def questions(
    task: Task, language: str, rows: Mapping[str, Sequence[Any]], words: Words = "mended"
) -> list[Question]:
    """What to score for each example, its continuations in the order of the task's labels.

    Args:
        task: One with templates.
        language: The examples' language.
        rows: Columns of a data set of the task.
        words: Whose words.

    Raises:
        DataError: The task has no templates.
    """
    entry, code = _of(task), template_language(task, language)
    own = list(entry["words"][code])
    if words == "mended":
        for label, word in entry.get("mended", {}).get(code, {}).items():
            own[1 + task.labels.index(label)] = word
    texts = zip(*(rows[name] for name in task.columns[:-1]), strict=True)
    if task.name == "xcopa":
        return [_continued(own, *each) for each in texts]
    tidied, delimiter = code in entry.get("tidied", ()), " " if task.name == "xnli" else ""
    return [_asked(own, *each, tidied=tidied and language == code, delimiter=delimiter) for each in texts]


def _asked(words: Sequence[str], first: str, second: str, *, tidied: bool, delimiter: str) -> Question:
    """Both texts with the question and a label's word between them; nothing is given before them."""
    if tidied:
        first, second = _tidy(first), _tidy(second)
        first = first[:-1] if first.endswith((".", ",", ";")) else first
        second = _lowered(second)
    question, *answers = words
    return Question("", tuple(f"{delimiter}{first}, {question}? {word}, {second}" for word in answers))


def _continued(words: Sequence[str], premise: str, question: str, *choices: str) -> Question:
    """The premise and its connector, which a choice continues."""
    connector = words[("cause", "effect").index(question)]
    return Question(
        f"{_without_stop(premise.strip())} {connector}", tuple(f" {_lowered(each)}" for each in choices)
    )


def _without_stop(text: str) -> str:
    return text[:-1] if text and unicodedata.category(text[-1]).startswith("P") else text


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _tidy(text: str) -> str:
    for pattern, replacement in _TOKENIZED:
        text = pattern.sub(replacement, text)
    return text.strip()


def _of(task: Task) -> Mapping[str, Any]:
    entry: Mapping[str, Any] | None = _templates().get(task.name)
    if entry is None:
        raise DataError(
            f"lm-evaluation-harness has no words to ask about {task.name}",
            fix=f"It has some for {', '.join(_templates())}.",
        )
    return entry


@functools.cache
def _templates() -> dict[str, Any]:
    text = files("xlprompt.evaluation.zeroshot").joinpath("templates.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded
