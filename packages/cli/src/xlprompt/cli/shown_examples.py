"""Which examples `xlprompt data show` shows of a source, and what each of them says.

Nothing is printed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from datasets import Dataset

    from xlprompt.data import Source, Task


@dataclass(frozen=True)
class Item:
    """An example in one language, or in several that say the same.

    Attributes:
        task: Its task.
        id: Its id in the source.
        rows: Language -> its row there, in the columns of `xlprompt.data.sources.rows.schema`.
    """

    task: Task
    id: str
    rows: dict[str, dict[str, Any]]

    @property
    def label(self) -> str:
        """Name of its label; empty where words have their own, or an answer is a text in each language."""
        kind = self.task.kind
        return "" if kind.by_word or not kind.labeled else self._names(next(iter(self.rows)))[0]

    def _names(self, code: str) -> list[str]:
        answer = self.rows[code][self.task.columns[-1]]
        if not self.task.kind.labeled:
            return [each["text"] for each in answer]
        return [self.task.labels[each] for each in self.task.kind.from_json(answer)]

    def lines(self, code: str) -> dict[str, list[tuple[str, str]]]:
        """Lines by name, each of a text or of words, with the tags that are not O; last, answers in texts."""
        texts = [self.rows[code][column] for column in self.task.columns[:-1]]
        names = self._names(code)
        shown = dict(self.task.kind.shown(self.task, texts, names))
        if not self.task.kind.labeled:
            shown[self.task.fields[-1]] = [(" / ".join(dict.fromkeys(names)), "")]
        return {
            name: [(on_one_line(text), "" if tag == "O" else tag) for text, tag in line]
            for name, line in shown.items()
        }

    def to_dicts(self, split: str) -> list[dict[str, Any]]:
        """A row a language, with names for labels."""
        found = []
        for code, row in self.rows.items():
            place = {"task": self.task.name, "split": split, "language": code}
            found.append(place | row | {self.task.columns[-1]: self.task.kind.to_json(self._names(code))})
        return found


def find_parts(
    source: Source, task_name: str | None, codes: list[str], split: str, *, every_language: bool
) -> list[tuple[Task, list[str]]]:
    """The tasks to show, and in which languages.

    Raises:
        DataError: There is no such task or language, or nothing of it in the source.
    """
    from xlprompt.data import TASKS, DataError, language, task

    for code in codes:
        language(code)
    parts = []
    offered: dict[str, None] = {}
    for one in [task(task_name)] if task_name else TASKS.values():
        there = list(source.languages(one, split))
        offered |= dict.fromkeys(there)
        if codes:
            # Of a task asked for by name everything has to be there; the source words best what is missing.
            there = codes if task_name else [code for code in codes if code in there]
        elif not every_language:
            there = there[:1]
        if there:
            parts.append((one, there))
    missing = [code for code in codes if not any(code in there for _, there in parts)]
    if missing or not parts:
        message = f"no {split} split of {task_name or 'any task'}"
        raise DataError(
            f"{message} for {', '.join(map(repr, missing))}" if missing else message,
            file=source.name,
            fix=f"It has {' '.join(offered)}."
            if offered
            else "See what it holds: xlprompt data check FOLDER.",
        )
    return parts


def choose(source: Source, task: Task, codes: list[str], split: str, number: int) -> list[Item]:
    """So many examples of a task, of every kind of answer; in several languages where these are parallel.

    Args:
        source: Where they are from.
        task: The task.
        codes: The languages.
        split: "train", "validation" or "test".
        number: How many; of languages that are not parallel, in each.
    """
    from xlprompt.data.sources import MiniSource

    loaded = {code: source.load(task, code, split) for code in codes}
    keys = {code: _keys(task, rows) for code, rows in loaded.items()}
    groups = [[code] for code in codes]
    # Benchmarks of texts are translated. Those of tagged sentences have other sentences in every language,
    # also where ids agree; only the bundled benchmark says the same everywhere.
    if (not task.kind.by_word or isinstance(source, MiniSource)) and set.intersection(
        *map(set, keys.values())
    ):
        groups = [codes]
    items = []
    for group in groups:
        first = group[0]
        shared = set.intersection(*(set(keys[code]) for code in group))
        places = [place for place, key in enumerate(keys[first]) if key in shared]
        kinds = _kinds(task, loaded[first])
        for chosen in _varied([kinds[place] for place in places], number):
            key = keys[first][places[chosen]]
            rows = {code: loaded[code][keys[code].index(key)] for code in group}
            items.append(Item(task, rows[first]["id"], rows))
    return items


def _keys(task: Task, rows: Dataset) -> list[Hashable]:
    """What a row has in common with its translations: its id, and the label of a whole example."""
    if task.kind.by_word or not task.kind.labeled:
        return list(rows["id"])
    return list(zip(rows["id"], rows[task.columns[-1]], strict=True))


def _kinds(task: Task, rows: Dataset) -> list[Hashable]:
    """The set of each row's labels; nothing where answers are texts."""
    if not task.kind.labeled:
        return [None] * len(rows)
    return [frozenset(task.kind.from_json(each)) for each in rows[task.columns[-1]]]


def _varied(kinds: Iterable[Hashable], number: int) -> list[int]:
    """Places of the first row of every kind, then of the second of every kind and so on; sorted."""
    before: Counter[Hashable] = Counter()
    ranked = []
    for place, kind in enumerate(kinds):
        ranked.append((before[kind], place))
        before[kind] += 1
    return sorted(place for _, place in sorted(ranked)[:number])


def on_one_line(text: str) -> str:
    """The text without line breaks and what a terminal would obey."""
    from xlprompt.data.printable import printable

    return printable(" ".join(text.split()))
