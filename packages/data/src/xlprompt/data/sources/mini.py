"""The mini benchmark as a source: items of its tasks, said in each of the study's languages.

Nothing is stored: items are drawn and said on demand, in about half a second a language and split. `mini` has
the newest items of each task. `mini-1` has the first ones of `ner` and `pos`, which published results of
before are about; all other tasks are the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from xlprompt.data.errors import DataError
from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.data.languages import STUDY_LANGUAGES
from xlprompt.data.mini import causes, invented, items, questions, realize, tagged, topics
from xlprompt.data.mini.meaning import Meaning
from xlprompt.data.mini.world import Person
from xlprompt.data.sources.rows import check_limit, to_dataset
from xlprompt.data.splits import check_split
from xlprompt.data.tasks.kinds.kind import Example

if TYPE_CHECKING:
    from datasets import Dataset

    from xlprompt.data.tasks.task_type import Task


class MiniSource:
    """The bundled benchmark; satisfies `xlprompt.data.sources.Source`."""

    def __init__(self, name: str = "mini") -> None:
        """Take the newest version, or the one that a name of `BUNDLED` stands for."""
        self.name = name
        self._makers = _MAKERS if name == "mini" else {**_MAKERS, **_FIRST_MAKERS}

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """Return the study's languages: its tasks and splits are there in all of them, and parallel."""
        check_split(split)
        return STUDY_LANGUAGES if task.name in _MAKERS else ()

    def load(
        self, task: Task, language: str, split: str, limit: int | None = None, *, labeled: bool = True
    ) -> Dataset:
        """Make one language and split.

        Args:
            task: The task.
            language: One of the study's languages.
            split: "train" (4,000 items), "validation" or "test" (500 each).
            limit: At most so many rows: a random subset, the same in every language.
            labeled: Of no effect: each row has an answer.

        Returns:
            Rows in the columns of `rows.schema`, in memory.

        Raises:
            DataError: The mini benchmark does not have the task, language or split, or the limit is below 1.
        """
        check_limit(limit)
        _check(task, language)
        wanted = check_split(split)
        made = enumerate(self._makers[task.name](task, language, wanted))
        rows = (Example(place, f"{split}-{place}", texts, answer) for place, (texts, answer) in made)
        return to_dataset(task, rows, limit=limit, fingerprint=self.fingerprint(task, language, split))

    def fingerprint(self, task: Task, language: str, split: str) -> str:
        """Return a digest of what the rows are made from: the items' version and the language's file."""
        _check(task, language)
        written = (files(realize.__package__) / "languages" / f"{language}.yaml").read_text(encoding="utf-8")
        version = _VERSIONS.get(task.name, items.VERSION)
        parts = ["mini", version, task.name, task.version, check_split(split), written]
        if task.name in _FIRST_MAKERS and self.name == "mini":
            parts[1:2] = [tagged.VERSION, invented.table_text()]
        return fingerprint_of(parts)


def _check(task: Task, code: str) -> None:
    if task.name not in _MAKERS:
        raise DataError(
            f"the mini benchmark has no {task.name}",
            fix=f"It has {', '.join(_MAKERS)}. For others give DATA=hub or DATA=<folder>.",
        )
    if code not in STUDY_LANGUAGES:
        raise DataError(
            f"the mini benchmark has no {code!r}",
            fix=f"It has {' '.join(STUDY_LANGUAGES)}. For others give DATA=hub or DATA=<folder>.",
        )


def _pairs(task: Task, language: str, split: items.Split) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for item in items.pair_items(task.name, split):
        yield tuple(realize.sentence(language, *each).text for each in (item.first, item.second)), item.label


_Tags: TypeAlias = Callable[[realize.Sentence], Sequence[str]]
_ItemsOf: TypeAlias = Callable[[str, items.Split], Sequence[items.SentenceItem]]


def _sentences(
    tags: _Tags, items_of: _ItemsOf, task: Task, language: str, split: items.Split
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for item in items_of(task.name, split):
        said = realize.sentence(language, *item.clauses)
        if item.small:
            said = said.small
        yield (said.tokens,), [task.labels.index(tag) for tag in tags(said)]


def _entities(said: realize.Sentence) -> Sequence[str]:
    return said.entities


def _parts_of_speech(said: realize.Sentence) -> Sequence[str]:
    return said.pos


def _texts(task: Task, language: str, split: items.Split) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for item in topics.text_items(split):
        yield (realize.text(language, *item.sentences),), item.label


def _choices(task: Task, language: str, split: items.Split) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for item in causes.choice_items(split):
        first, second = (_choice(language, choice) for choice in item.choices)
        yield (realize.text(language, item.premise), item.question, first, second), item.label


def _questions(task: Task, language: str, split: items.Split) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for item in questions.question_items(split):
        said = questions.write(item, language)
        yield (said.context, said.question), [{"text": said.answer, "start": said.start}]


def _choice(language: str, choice: causes.Choice) -> str:
    if isinstance(choice, Person):
        return realize.fragment(language, Meaning("stay", choice), "agent").text
    return realize.text(language, choice)


BUNDLED = ("mini", "mini-1")
"""What names the benchmark: its newest version, and its first one."""

_Maker: TypeAlias = "Callable[[Task, str, items.Split], Iterator[tuple[tuple[Any, ...], Any]]]"

_MAKERS: Mapping[str, _Maker] = MappingProxyType(
    {
        "xnli": _pairs,
        "pawsx": _pairs,
        "ner": partial(_sentences, _entities, tagged.tagged_items),
        "pos": partial(_sentences, _parts_of_speech, tagged.tagged_items),
        "sib200": _texts,
        "xcopa": _choices,
        "xquad": _questions,
    }
)
"""By task, texts and answers of its items, said in a language."""

_FIRST_MAKERS: Mapping[str, _Maker] = MappingProxyType(
    {
        "ner": partial(_sentences, _entities, items.sentence_items),
        "pos": partial(_sentences, _parts_of_speech, items.sentence_items),
    }
)
"""Those of `mini-1` that differ."""

_VERSIONS: Mapping[str, int] = MappingProxyType(
    {"sib200": topics.VERSION, "xcopa": causes.VERSION, "xquad": questions.VERSION}
)
"""Versions of the items of tasks that are not among those of `items`."""
