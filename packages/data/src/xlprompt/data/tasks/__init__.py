"""The task table: labels, languages and metric of each benchmark task.

A task is a row. Where its files are and what they look like is the business of `sources`; how a score is
computed that of the evaluation package.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.task_type import Task


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Languages: google-research/xtreme, evaluate.py. Label orders: the hub's ClassLabel orders of facebook/xnli,
# google-research-datasets/paws-x and unimelb-nlp/wikiann; UPOS alphabetically, as in google/xtreme.
_ROWS = (
    Task(
        name="xnli",
        kind="pair",
        labels=("entailment", "neutral", "contradiction"),
        metric="accuracy",
        languages=_words("ar bg de el en es fr hi ru sw th tr ur vi zh"),
        text_columns=("premise", "hypothesis"),
        label_words=("yes", "maybe", "no"),
        version=1,
        no_label="-",
    ),
    Task(
        name="pawsx",
        kind="pair",
        labels=("different", "paraphrase"),
        metric="accuracy",
        languages=_words("de en es fr ja ko zh"),
        text_columns=("sentence1", "sentence2"),
        label_words=("no", "yes"),
        version=1,
        untranslated=("", "NS"),  # google-research-datasets/paws, issues 4 and 15
    ),
    Task(
        name="ner",
        kind="tagging",
        labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
        metric="entity_f1",
        languages=_words(
            "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru "
            "sw ta te th tl tr ur vi yo zh"
        ),
        text_columns=("tokens", "tags"),
        label_words=("other", "person", "surname", "organization", "company", "place", "area"),
        version=1,
    ),
    Task(
        name="pos",
        kind="tagging",
        labels=_words("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"),
        metric="accuracy",
        languages=_words(
            "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo "
            "zh"
        ),
        text_columns=("tokens", "tags"),
        label_words=_words(
            "adjective preposition adverb auxiliary conjunction determiner interjection noun number particle "
            "pronoun name punctuation because symbol verb other"
        ),
        version=1,
        no_label="_",
        symbols=("PUNCT", "SYM"),
    ),
)

TASKS: Mapping[str, Task] = MappingProxyType({row.name: row for row in _ROWS})


def task(name: str) -> Task:
    """Look a task up by its name.

    Args:
        name: One of `TASKS`.

    Returns:
        The row of the table.

    Raises:
        DataError: No such task; the message names the nearest one, or all.
    """
    row = TASKS.get(name)
    if row is not None:
        return row
    near = get_close_matches(name.lower(), TASKS, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]}?" if near else f"Tasks: {', '.join(TASKS)}."
    raise DataError(f"unknown task {name!r}", fix=fix)
