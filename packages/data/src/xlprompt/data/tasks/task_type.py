"""What a task is, and where it lies on the hub; each task is a file beside this one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xlprompt.data.errors import DataError
from xlprompt.data.splits import SPLITS, Split

if TYPE_CHECKING:
    from xlprompt.data.tasks.kinds.kind import Example, Kind
    from xlprompt.data.tasks.rules import Skipped

_UNENCODABLE = re.compile("[\0\ud800-\udfff]")


def _same(language: str) -> str:
    return language


def _all_splits(language: str) -> tuple[Split, ...]:
    return SPLITS


def _whole(row: dict[str, Any]) -> dict[str, Any] | None:
    return row


@dataclass(frozen=True)
class HubTable:
    """Where a task is on the hub.

    Attributes:
        repository: Data set id.
        columns: What it calls the task's fields; empty where it calls them so, too.
        row_id: Column of ids; empty if there is none.
        more_languages: Those that it has besides the task's.
        config: Gives the configuration of a language.
        splits: Gives the splits of a language.
        split_names: Splits that it calls otherwise, and what.
        row: Mends a row, whose label numbers have become names; gives None for one that is left out.
        english: Where the English rows to train on and to choose by are, if not here.
    """

    repository: str
    columns: tuple[str, ...] = ()
    row_id: str = ""
    more_languages: tuple[str, ...] = ()
    config: Callable[[str], str] = _same
    splits: Callable[[str], tuple[Split, ...]] = _all_splits
    split_names: tuple[tuple[Split, Split], ...] = ()
    row: Callable[[dict[str, Any]], dict[str, Any] | None] = _whole
    english: HubTable | None = None

    def of(self, language: str, split: Split) -> HubTable:
        """The table that holds a language's split: this one, or the other of English."""
        return self.english if self.english and language == "en" and split != "test" else self


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for long lists of labels or languages."""
    return tuple(text.split())


class Place(NamedTuple):
    """Where a record stands, and whether it is answered there.

    Attributes:
        position: Its place among the rows of its language and split, those that are left out counted too.
        file: Its file, for messages.
        line: Its line, for messages.
        row_id: Its own id, if it has one.
        labeled: Whether there is an answer; another stands in for one that is not, and means nothing.
    """

    position: int
    file: str | Path
    line: int | None
    row_id: str | None = None
    labeled: bool = True

    @property
    def id(self) -> str:
        """The record's own id, or its position where it has none."""
        if self.row_id is None:
            return str(self.position)
        self.check_text("the id", self.row_id)
        return self.row_id

    def error(self, message: str, fix: str | None = None) -> DataError:
        """What is wrong here."""
        return DataError(message, file=self.file, line=self.line, fix=fix)

    def check_text(self, name: str, text: str) -> None:
        """Refuse text that holds what no encoder takes: half a character, as JSON can hold it, or a NUL.

        Raises:
            DataError: It does; the message says where.
        """
        found = _UNENCODABLE.search(text)
        if found is None:
            return
        at = f"at place {found.start() + 1}"
        if found[0] == "\0":
            raise self.error(f"{name} holds a NUL {at}", "Take it out.")
        raise self.error(
            f"{name} holds half a character (U+{ord(found[0]):04X}) {at}; "
            "the text was cut there, or is not UTF-8",
            "Mend the text or delete the row.",
        )


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Short name, as in recipes, file names and Make targets.
        kind: What an example is, and how it is encoded, answered and counted.
        version: Moves when a change here, or in how the task's files are read, could move a score.
        fields: Names of an example's parts in JSON Lines: texts, or words, and last the answer.
        labels: Label names; a label's number is its place here.
        label_words: A word for each logit, for heads that read the language model's vocabulary; empty where
            no word stands for one.
        metrics: Metrics that the kind has; the first one judges.
        languages: The benchmark's own languages. A source may hold more, or fewer.
        hub: Where it is on the hub; None for nowhere.
        aliases: Names that published files use for labels, and the labels.
        no_label: What publishers write where a row or word has no label; such a row is left out.
        untranslated: What they write for a text that was not translated; such a row is left out.
        symbols: Tags of what is no word: an underscore under another tag stands for a word that is withheld.
        as_in_english: Text fields that are wrong in some languages' files: the English row's of the same id
            are taken, where a file is parallel to the English one.
        test_in_validation: Whether published validation files hold the test's rows, which are left out then.
        blind_label: Label of every row in copies that are published without the answers; such are refused.
        only: Text fields that have one of a few values, with these.
    """

    name: str
    kind: Kind
    version: int
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    label_words: tuple[str, ...]
    metrics: tuple[str, ...]
    languages: tuple[str, ...]
    hub: HubTable | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    no_label: str = ""
    untranslated: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    as_in_english: tuple[str, ...] = ()
    test_in_validation: bool = False
    blind_label: str = ""
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The fields without the answer."""
        return self.fields[:-1]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a data set besides `id`: those of texts, then that of answers."""
        return tuple(self.kind.features(self))

    def example(
        self, record: Mapping[str, Any], place: Place, names: tuple[str, ...] = ()
    ) -> Example | Skipped:
        """Check a record, such as a line of JSON, and make an example of it.

        Args:
            record: The fields by name, perhaps among others.
            place: Where it stands.
            names: What the file calls the fields; as the task does if not given.

        Returns:
            The example, or why one like this is left out.

        Raises:
            DataError: A field is missing, or is not as the kind of task has it.
        """
        names = names or self.fields
        for name in names if place.labeled else names[:-1]:
            if name not in record:
                there = ", ".join(map(str, record)) or "none"
                raise place.error(f"missing column {name!r}", f"The row's columns: {there}.")
        texts = [
            self._as_named(field, record[name])
            for field, name in zip(self.text_fields, names[:-1], strict=True)
        ]
        return self.kind.example(self, texts, record[names[-1]] if place.labeled else None, names, place)

    def values_of(self, field: str) -> tuple[str, ...]:
        """The few values that a text field has; empty where it takes any text."""
        return next((values for name, values in self.only if name == field), ())

    def _as_named(self, field: str, text: Any) -> Any:
        """The text; of a field in `only` its value, also where it is in capitals or has spaces around it."""
        values = self.values_of(field)
        word = text.strip().lower() if values and isinstance(text, str) else text
        return word if word in values else text
