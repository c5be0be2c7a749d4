"""A task of the user's own: its definition as data, which a recipe keeps, and the `Task` that it makes.

Where a definition comes from, a task file or what lies in a folder, is the business of `sources.own`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xlprompt.data.how_many import how_many
from xlprompt.data.tasks.kinds.choice import CHOICE
from xlprompt.data.tasks.kinds.classification import CLASSIFICATION
from xlprompt.data.tasks.kinds.kind import Kind
from xlprompt.data.tasks.kinds.span import SPAN
from xlprompt.data.tasks.kinds.tagging import TAGGING
from xlprompt.data.tasks.task_type import Task

OWN = "own"
"""What recipes and options call the task that a data folder is, whatever its name."""

KindName = Literal["classification", "tagging", "choice", "span"]

OWN_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"classification": CLASSIFICATION, "tagging": TAGGING, "choice": CHOICE, "span": SPAN}
)
"""The kinds that an own task can have, by the names that task files give them."""

METRICS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "classification": ("accuracy",),
        "tagging": ("accuracy", "f1", "precision", "recall"),
        "choice": ("accuracy",),
        "span": ("f1", "exact_match", "squad_f1", "squad_exact_match"),
    }
)
"""What each kind can be judged by."""

MOST_TEXTS = 4
"""Of classification."""
MOST_FIELDS = 9
_MOST_CHARACTERS = 4500  # of a definition; a tag of the store holds 5,000
_NAME = re.compile(r"\w[\w.-]{0,59}")


class TaskDefinition(BaseModel):
    """What a task is, apart from its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: KindName = Field(
        description="'classification' (texts with one label), 'tagging' (a tag a word), 'choice' (one of "
        "several options) or 'span' (a part of a context)."
    )
    fields: tuple[str, ...] = Field(
        min_length=2,
        max_length=MOST_FIELDS,
        description="The columns: those of the texts, or of the words, and last that of the answer.",
    )
    labels: tuple[str, ...] = Field(
        description="Names of labels; a label's number is its place here. Of a choice the columns of its "
        "options, of spans none."
    )
    label_words: tuple[str, ...] = Field(
        default=(), description="A word for each label, for the verbalizer head; empty for the names."
    )
    metrics: tuple[str, ...] = Field(min_length=1, description="The first judges.")
    version: int = Field(default=1, ge=1, description="Raise it where a change could move a score.")

    @model_validator(mode="after")
    def _parts_fit(self) -> TaskDefinition:
        for key, names in (("fields", self.fields), ("labels", self.labels), ("metrics", self.metrics)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: {twice[0]!r} is there twice; remove one")
        if problem := _problem_of_kind(OWN_KINDS[self.kind], self.fields[:-1], self.labels):
            raise ValueError(problem)
        if self.label_words and len(self.label_words) != len(self.labels):
            words, labels = how_many(len(self.label_words), "word"), how_many(len(self.labels), "label")
            raise ValueError(f"label_words: {words} for {labels}; give each one")
        if unknown := [name for name in self.metrics if name not in METRICS[self.kind]]:
            raise ValueError(
                f"metrics: {unknown[0]!r} is none of {self.kind}; give {' or '.join(METRICS[self.kind])}"
            )
        if len(self.as_text()) > _MOST_CHARACTERS:
            raise ValueError(
                f"labels: their names are too long together ({len(self.as_text()):,} characters of "
                f"{_MOST_CHARACTERS:,}, with all else); shorten them"
            )
        return self

    def as_text(self) -> str:
        """The definition as JSON; equal definitions have equal texts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    def task(self, name: str) -> Task:
        """The task of that name."""
        return Task(
            name=name,
            kind=OWN_KINDS[self.kind],
            version=self.version,
            fields=self.fields,
            labels=self.labels,
            label_words=self.label_words or _words(OWN_KINDS[self.kind], self.labels),
            metrics=self.metrics,
            languages=(),
        )


def _words(kind: Kind, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The words that stand for logits where none are given."""
    return ("yes",) if kind.labeled and kind.compares_readouts else labels


def _problem_of_kind(kind: Kind, texts: tuple[str, ...], labels: tuple[str, ...]) -> str | None:
    """What texts and labels of a task of the kind cannot be."""
    if not kind.labeled:
        if labels:
            return "labels: the answers to questions are parts of the context; leave labels out"
        return None if len(texts) == 2 else "texts: give two columns, the context's and the question's"
    if len(labels) < 2:
        return "labels: at least two are needed"
    if kind.by_word:
        return None if len(texts) == 1 else "texts: tagging has a column of words and no other"
    if kind.compares_readouts:
        unknown = [name for name in labels if name not in texts]
        return (
            f"labels: are the columns of the options, and {unknown[0]!r} is none of texts"
            if unknown
            else None
        )
    return None if len(texts) <= MOST_TEXTS else f"texts: at most {MOST_TEXTS}"


def definition_of(task: Task) -> TaskDefinition:
    """The definition of a task that one has made."""
    kind = next(name for name, kind in OWN_KINDS.items() if kind == task.kind)
    words = () if task.label_words == _words(task.kind, task.labels) else task.label_words
    return TaskDefinition.model_validate(
        {
            "kind": kind,
            "fields": task.fields,
            "labels": task.labels,
            "label_words": words,
            "metrics": task.metrics,
            "version": task.version,
        }
    )


def read_definition(values: Mapping[str, Any] | str) -> TaskDefinition:
    """A definition that was stored, as JSON or as what JSON holds.

    Raises:
        ValueError: It is none.
    """
    try:
        given = json.loads(values) if isinstance(values, str) else values
        return TaskDefinition.model_validate(given)
    except (ValidationError, RecursionError) as error:
        raise ValueError("no definition of a task") from error


def name_problem(name: str, bundled: Mapping[str, Any]) -> str | None:
    """What is wrong with an own task's name, or None."""
    if name == OWN or name in bundled:
        what = "means whatever task a folder is" if name == OWN else "is a bundled task"
        return f"{name!r} {what}; call yours otherwise"
    if not _NAME.fullmatch(name):
        return f"{name[:80]!r} is no name: give up to 60 letters, digits and any of _ . -, a letter first"
    return None
