"""The Hugging Face hub as a source.

One table says which data set, configuration and columns a task has. Label numbers are mapped by the label
names in the data set's own features, never by an assumed order. No code from the hub is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import datasets
import pyarrow as pa
from datasets import ClassLabel, Dataset, List

from xlprompt.data.errors import DataError
from xlprompt.data.languages import in_study_order, language
from xlprompt.data.sources.rows import Outcome, check_limit, to_dataset, usable
from xlprompt.data.splits import SPLITS, Split, check_split
from xlprompt.data.tasks.kinds.classification import make_pair
from xlprompt.data.tasks.kinds.tagging import make_sentence
from xlprompt.data.tasks.pos import hub_splits, hub_treebank
from xlprompt.data.tasks.task_type import Task

REVISIONS = ("main", "refs/convert/parquet")
"""Tried in this order. Where the first still holds a loading script, which the datasets library refuses,
the second is the hub's own conversion of it; it has one folder a configuration."""

_BATCH = 1000


@dataclass(frozen=True)
class HubTable:
    """Where a task is on the hub.

    Attributes:
        repository: Data set id.
        first: Column of first texts or of words.
        second: Column of second texts or of tags.
        label: Column of labels; empty for tagging.
        row_id: Column of ids; empty if there is none.
    """

    repository: str
    first: str
    second: str
    label: str = ""
    row_id: str = ""


# POS comes from single treebanks and not from google/xtreme's udpos configurations, which mix Ancient Greek
# into Greek, Classical Chinese into Chinese, and likewise for French and Russian.
HUB_TABLES: Mapping[str, HubTable] = MappingProxyType(
    {
        "xnli": HubTable("facebook/xnli", "premise", "hypothesis", label="label"),
        "pawsx": HubTable(
            "google-research-datasets/paws-x", "sentence1", "sentence2", label="label", row_id="id"
        ),
        "ner": HubTable("unimelb-nlp/wikiann", "tokens", "ner_tags"),
        "pos": HubTable("universal-dependencies/universal_dependencies", "tokens", "upos", row_id="idx"),
    }
)
# wikiann has these besides XTREME's languages.
_MORE_NER_LANGUAGES = ("ca", "qu")


class HubSource:
    """Data on the hub; satisfies `xlprompt.data.sources.Source`."""

    name = "hub"

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """Return the languages that the hub has of a task and split."""
        wanted = check_split(split)
        codes = {*task.languages, *(_MORE_NER_LANGUAGES if task.name == "ner" else ())}
        if task.name == "pos":
            codes |= {"ca"}
        return in_study_order({code for code in codes if wanted in _splits(task, code)})

    def load(self, task: Task, language: str, split: str, limit: int | None = None) -> Dataset:
        """Load one language and split through the datasets library's cache.

        Args:
            task: The task.
            language: Language code.
            split: "train", "validation" or "test".
            limit: As in `FolderSource.load`.

        Returns:
            Rows in the columns of `rows.schema`, in memory.

        Raises:
            DataError: The hub does not have it or cannot be reached, or its columns are not those expected.
        """
        check_limit(limit)
        config = self._config(task, language, split)
        table = _download(HUB_TABLES[task.name].repository, config, check_split(split))
        outcomes = _pairs(task, table, config) if task.kind == "pair" else _sentences(task, table, config)
        place = f"{HUB_TABLES[task.name].repository}/{config}"
        rows = usable(outcomes, file=place, language=language)
        return to_dataset(task, rows, limit=limit, fingerprint=self.fingerprint(task, language, split))

    def fingerprint(self, task: Task, language: str, split: str) -> str:
        """Return the SHA-256 of id, configuration, split and revision; nothing is downloaded for it."""
        repository = HUB_TABLES[task.name].repository
        place = f"{repository}@{REVISIONS[0]} {self._config(task, language, split)} {split}"
        return hashlib.sha256(f"{place} version {task.version}".encode()).hexdigest()

    def _config(self, task: Task, code: str, split: str) -> str:
        if code not in self.languages(task, split):
            language(code)
            raise DataError(
                f"the hub has no {split} split of {task.name} for {code!r}",
                fix=f"It has: {' '.join(self.languages(task, split))}. For others give DATA=<folder>.",
            )
        return (hub_treebank(code) or code) if task.name == "pos" else code


def _splits(task: Task, code: str) -> tuple[Split, ...]:
    return hub_splits(code) if task.name == "pos" else SPLITS


def _download(repository: str, config: str, split: Split) -> Dataset:
    """Load one split, from the hub's own conversion where the main revision cannot be used."""
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


def _pairs(task: Task, table: Dataset, place: str) -> Iterator[Outcome]:
    spec = HUB_TABLES[task.name]
    _require(table, (spec.first, spec.second, spec.label), spec.repository)
    names = _label_names(table.features[spec.label])
    for position, row in enumerate(_stream(table, spec.repository)):
        yield make_pair(
            task,
            (row[spec.first], row[spec.second]),
            # A bare number says nothing about its order, except in PAWS-X, whose labels are the numbers.
            str(_named(row[spec.label], names)),
            position=position,
            row_id=str(row[spec.row_id]) if spec.row_id in row else None,
            names=(spec.first, spec.second),
            file=f"{spec.repository}/{place}",
            line=position + 1,
        )


def _sentences(task: Task, table: Dataset, place: str) -> Iterator[Outcome]:
    spec = HUB_TABLES[task.name]
    _require(table, (spec.first, spec.second), spec.repository)
    feature = table.features[spec.second]
    names = _label_names(feature.feature if isinstance(feature, List) else feature)
    for position, row in enumerate(_stream(table, spec.repository)):
        tags: Any = [str(_named(tag, names)) for tag in row[spec.second] or ()]
        tokens = row[spec.first]
        if task.name == "pos" and tokens and len(tokens) == len(tags):
            tokens, tags = _syntactic_words(tokens, tags, row.get("head") or [])
            if not tokens:
                continue
        yield make_sentence(
            task,
            tokens,
            tags,
            position=position,
            row_id=str(row[spec.row_id]) if spec.row_id in row else None,
            file=f"{spec.repository}/{place}",
            line=position + 1,
        )


def _syntactic_words(
    tokens: list[str], tags: list[str], heads: list[str | None]
) -> tuple[list[str], list[str]]:
    """Leave out what is no word of its own: multiword ranges and empty nodes.

    The hub's rows were made from every line of the CoNLL-U files. Ranges and empty nodes have no head,
    which the conversion wrote as "None"; an empty node can have a proper tag, and a word can lack one ("_",
    as ranges have it), so the tag shows it only where there are no heads.
    """
    kept = [
        (token, tag)
        for place, (token, tag) in enumerate(zip(tokens, tags, strict=True))
        if (str(heads[place]).isdigit() if len(heads) == len(tokens) else tag != "_")
    ]
    return [token for token, _ in kept], [tag for _, tag in kept]


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


def _named(label: Any, names: list[str] | None) -> Any:
    """Return a label's name; a number that has none (-1 stands for no label) stays as it is."""
    return names[label] if names and isinstance(label, int) and 0 <= label < len(names) else label


def _label_names(feature: object) -> list[str] | None:
    return list(feature.names) if isinstance(feature, ClassLabel) else None


def _require(table: Dataset, columns: tuple[str, ...], repository: str) -> None:
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise DataError(
            f"{repository} has no column {', '.join(missing)} (it has {', '.join(table.column_names)})",
            fix="The data set has changed; give DATA=<folder> with the task's published files.",
        )
