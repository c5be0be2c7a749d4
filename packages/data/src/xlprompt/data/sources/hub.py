"""The Hugging Face hub as a source.

A task says which data set, configuration and columns it has there. Label numbers are mapped by the label
names in the data set's own features, never by an assumed order. No code from the hub is run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from xlprompt.data.errors import DataError
from xlprompt.data.languages import in_study_order, language
from xlprompt.data.sources.reading import as_in_english, sound, without_blind, without_test
from xlprompt.data.sources.rows import Outcome, check_limit, to_dataset, usable
from xlprompt.data.splits import Split, check_split
from xlprompt.data.tasks.task_type import HubTable, Place, Task

if TYPE_CHECKING:
    from datasets import Dataset

_log = logging.getLogger(__name__)

REVISIONS = ("main", "refs/convert/parquet")
"""Tried in this order. Where the first still holds a loading script, which the datasets library refuses,
the second is the hub's own conversion of it; it has one folder a configuration."""

_BATCH = 1000


class HubSource:
    """Data on the hub; satisfies `xlprompt.data.sources.Source`."""

    name = "hub"

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """Return the languages that the hub has of a task and split."""
        wanted, hub = check_split(split), task.hub
        if hub is None:
            return ()
        codes = {*task.languages, *hub.more_languages}
        return in_study_order({code for code in codes if wanted in hub.of(code, wanted).splits(code)})

    def load(
        self, task: Task, language: str, split: str, limit: int | None = None, *, labeled: bool = True
    ) -> Dataset:
        """Load one language and split through the datasets library's cache.

        Args:
            task: The task.
            language: Language code.
            split: "train", "validation" or "test".
            limit: As in `FolderSource.load`.
            labeled: Of no effect: each row has an answer.

        Returns:
            Rows in the columns of `rows.schema`, in memory.

        Raises:
            DataError: The hub does not have it or cannot be reached, or its columns are not those expected.
        """
        check_limit(limit)
        hub, config = self._place(task, language, split)
        wanted = check_split(split)
        place = f"{hub.repository}/{config}"
        outcomes: Iterable[Outcome] = without_blind(task, _examples(task, hub, language, wanted), place)
        if task.test_in_validation and wanted == "validation":
            test, _ = self._place(task, language, "test")
            outcomes = without_test(
                outcomes, (row.id for row in sound(_examples(task, test, language, "test")))
            )
        if task.as_in_english and language != "en":
            outcomes = _as_in_english(task, outcomes, language, wanted)
        rows = usable(outcomes, file=place, language=language)
        return to_dataset(task, rows, limit=limit, fingerprint=self.fingerprint(task, language, split))

    def fingerprint(self, task: Task, language: str, split: str) -> str:
        """Return the SHA-256 of id, configuration, split and revision; nothing is downloaded for it."""
        hub, config = self._place(task, language, split)
        place = f"{hub.repository}@{REVISIONS[0]} {config} {split}"
        return hashlib.sha256(f"{place} version {task.version}".encode()).hexdigest()

    def _place(self, task: Task, code: str, split: str) -> tuple[HubTable, str]:
        """The task's table and the language's configuration."""
        there = self.languages(task, split)
        if task.hub is None or code not in there:
            language(code)
            raise DataError(
                f"the hub has no {split} split of {task.name} for {code!r}",
                fix=f"It has: {' '.join(there) or 'none'}. For others give DATA=<folder>.",
            )
        table = task.hub.of(code, check_split(split))
        return table, table.config(code)


def _download(repository: str, config: str, split: Split) -> Dataset:
    """Load one split, from the hub's own conversion where the main revision cannot be used."""
    import datasets

    main, converted = REVISIONS
    # What these calls raise has no common class: the libraries below datasets have their own, as httpx2's
    # ConnectError, which is no OSError, and change them.
    try:
        return datasets.load_dataset(repository, config, split=split, revision=main)
    except Exception as error:
        if _is_offline(error):
            raise _unreachable(repository, error) from error
        first = error
    try:
        return datasets.load_dataset(repository, data_dir=config, split=split, revision=converted)
    except Exception as error:
        if _is_offline(error):
            raise _unreachable(repository, error) from error
        raise DataError(
            f"{repository} ({config}, {split}) cannot be loaded from the hub: {_brief(first)}; "
            f"its parquet conversion: {_brief(error)}",
            fix="Give DATA=<folder> with the task's published files.",
        ) from error


def _is_offline(error: Exception) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    return isinstance(error, ConnectionError) or "TransportError" in names


def _unreachable(repository: str, error: Exception) -> DataError:
    return DataError(
        f"the hub cannot be reached for {repository} ({_brief(error)})",
        fix="Go online once to fill the cache, or give DATA=<folder> with the task's published files.",
    )


def _brief(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
        if str(error).strip()
        else type(error).__name__
    )


def _as_in_english(task: Task, rows: Iterable[Outcome], language: str, split: Split) -> Iterable[Outcome]:
    """Take fields from the English rows, which may be there without their labels, as SuperGLUE's test is."""
    hub = task.hub.of("en", "train") if task.hub else HubTable("")
    labeled = split in hub.splits("en")
    english = list(sound(_examples(task, hub, "en", split, labeled=labeled)))
    outcomes, note, _ = as_in_english(task, rows, english, labeled=labeled)
    if note:
        _log.info("%s %s %s: %s", task.name, language, split, note)
    return outcomes


def _examples(
    task: Task, hub: HubTable, language: str, split: Split, *, labeled: bool = True
) -> Iterator[Outcome]:
    from datasets import List

    config = hub.config(language)
    table = _download(hub.repository, config, dict(hub.split_names).get(split, split))
    place = f"{hub.repository}/{config}"
    columns = hub.columns or task.fields
    _require(table, columns, hub.repository)
    feature = table.features[columns[-1]]
    names = _label_names(feature.feature if isinstance(feature, List) else feature)
    for position, row in enumerate(_stream(table, hub.repository)):
        answer = row[columns[-1]]
        if isinstance(feature, List):
            named: Any = [_named(each, names) for each in answer or ()]
        else:
            named = _named(answer, names) if task.labels else answer
        mended = hub.row({**row, columns[-1]: named})
        if mended is not None:
            row_id = str(row[hub.row_id]) if hub.row_id in row else None
            yield task.example(mended, Place(position, place, position + 1, row_id, labeled), columns)


def _stream(table: Dataset, repository: str) -> Iterator[dict[str, Any]]:
    try:
        for batch in table.iter(batch_size=_BATCH):
            names = list(batch)
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(names, values, strict=True))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"the copy of {repository} in the datasets library's cache cannot be read ({_brief(error)})",
            fix="Delete the copy, so that it is fetched again.",
        ) from error


def _named(label: Any, names: list[str] | None) -> str:
    """Return a label's name; a number that has none (-1 stands for no label) stays as it is.

    As text: a bare number says nothing about its order, except in PAWS-X, whose labels are the numbers.
    """
    return str(names[label] if names and isinstance(label, int) and 0 <= label < len(names) else label)


def _label_names(feature: object) -> list[str] | None:
    from datasets import ClassLabel

    return list(feature.names) if isinstance(feature, ClassLabel) else None


def _require(table: Dataset, columns: tuple[str, ...], repository: str) -> None:
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise DataError(
            f"{repository} has no column {', '.join(missing)} (it has {', '.join(table.column_names)})",
            fix="The data set has changed; give DATA=<folder> with the task's published files.",
        )
