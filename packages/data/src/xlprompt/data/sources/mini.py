"""The mini benchmark as a source: items of the four tasks, said in each of the study's languages.

Nothing is stored: items are drawn and said on demand, in about half a second a language and split.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

from xlprompt.data.errors import DataError
from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.data.languages import STUDY_LANGUAGES
from xlprompt.data.mini import items, realize
from xlprompt.data.sources.rows import check_limit, to_dataset
from xlprompt.data.splits import check_split
from xlprompt.data.tasks.kinds.classification import Pair
from xlprompt.data.tasks.kinds.tagging import Sentence

if TYPE_CHECKING:
    from datasets import Dataset

    from xlprompt.data.tasks.task_type import Task


class MiniSource:
    """The bundled benchmark; satisfies `xlprompt.data.sources.Source`."""

    name = "mini"

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """Return the study's languages: every task and split is there in all of them, and parallel."""
        check_split(split)
        return STUDY_LANGUAGES

    def load(self, task: Task, language: str, split: str, limit: int | None = None) -> Dataset:
        """Make one language and split.

        Args:
            task: The task.
            language: One of the study's languages.
            split: "train" (4,000 items), "validation" or "test" (500 each).
            limit: At most so many rows: a random subset, the same in every language.

        Returns:
            Rows in the columns of `rows.schema`, in memory.

        Raises:
            DataError: The mini benchmark does not have the language or split, or the limit is below 1.
        """
        check_limit(limit)
        _check_language(language)
        wanted = check_split(split)
        rows = _pairs(task, language, wanted) if task.kind == "pair" else _sentences(task, language, wanted)
        return to_dataset(task, rows, limit=limit, fingerprint=self.fingerprint(task, language, split))

    def fingerprint(self, task: Task, language: str, split: str) -> str:
        """Return a digest of what the rows are made from: the items' version and the language's file."""
        _check_language(language)
        written = (files(realize.__package__) / "languages" / f"{language}.yaml").read_text(encoding="utf-8")
        return fingerprint_of(["mini", items.VERSION, task.name, task.version, check_split(split), written])


def _check_language(code: str) -> None:
    if code not in STUDY_LANGUAGES:
        raise DataError(
            f"the mini benchmark has no {code!r}",
            fix=f"It has {' '.join(STUDY_LANGUAGES)}. For others give DATA=hub or DATA=<folder>.",
        )


def _pairs(task: Task, language: str, split: items.Split) -> Iterator[Pair]:
    for position, item in enumerate(items.pair_items(task.name, split)):
        first, second = (realize.sentence(language, *clauses).text for clauses in (item.first, item.second))
        yield Pair(position, f"{split}-{position}", first, second, item.label)


def _sentences(task: Task, language: str, split: items.Split) -> Iterator[Sentence]:
    for position, item in enumerate(items.sentence_items(task.name, split)):
        said = realize.sentence(language, *item.clauses)
        tags = said.entities if task.name == "ner" else said.pos
        numbers = [task.labels.index(tag) for tag in tags]
        yield Sentence(position, f"{split}-{position}", said.tokens, numbers)
