"""What task a folder is, found out from its training files where `task.yaml` does not say it.

Nothing is guessed where two readings are possible: the message then says which key of `task.yaml` decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xlprompt.data.errors import DataError
from xlprompt.data.sources.own.layout import OwnFile
from xlprompt.data.sources.own.rows import LANGUAGE_COLUMNS, as_list, label_name
from xlprompt.data.sources.own.tables import Unnamed, columns_of, records
from xlprompt.data.sources.own.task_file import TASK_FILE, TaskFile
from xlprompt.data.tasks import BUNDLED, register
from xlprompt.data.tasks.kinds.kind import Kind
from xlprompt.data.tasks.own import METRICS, OWN_KINDS, TaskDefinition, definition_of, name_problem
from xlprompt.data.tasks.task_type import Place, Task

_WORDS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "pos_tags", "upos", "labels")
_LABELS = ("label", "labels", "class", "category", "topic", "sentiment", "intent", "gold_label", "target")
_NO_TEXT = frozenset({"", "id", "idx", "index", "guid", "split", "unnamed: 0", *LANGUAGE_COLUMNS})
_PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"))
_TOLD = ("context", "premise", "question")
_OPTION = re.compile(r"(choice|option)_?\w{1,2}|(mc_)?answer_?\d{1,2}")
_SPAN = ("context", "question", "answers")
_FRACTION = re.compile(r"[-+]?\d*[.,]\d+|nan", re.IGNORECASE)
_ENTITY = re.compile(r"[BI]-(?P<type>.+)")
_ENTITY_TAG = re.compile(r"O|[BIES]-.+")
_MOST_LABELS = 1000
_FIX = f"Say it in {TASK_FILE}: "


def find_task(root: Path, said: TaskFile, files: Sequence[OwnFile], problems: list[DataError]) -> Task:
    """The task that a folder is.

    Args:
        root: The folder, after which the task is called where `said` does not.
        said: What `task.yaml` says.
        files: All that the folder holds.
        problems: Takes up what is wrong with training rows whose labels are then not known.

    Raises:
        DataError: It cannot be told.
    """
    train = [file for file in files if file.split == "train"]
    if not files:
        raise DataError(
            "no file of this task",
            file=root,
            fix="Add <language>.train.csv, .tsv, .jsonl, .parquet or .conll.",
        )
    kind, fields = _fields(said, (train or list(files))[0])
    found = OWN_KINDS[kind]
    if found.compares_readouts:  # options have columns of their own, and answers are parts of a context
        labels = said.labels or (_options(said, fields[:-1]) if found.labeled else ())
    else:
        if not train and said.labels is None:
            raise DataError(
                "no training set, and so no labels",
                file=root,
                fix=f"Add <language>.train.csv, or name the labels in {TASK_FILE}.",
            )
        labels = said.labels or _labels(found, fields, train, problems, said.label is not None)
    values: dict[str, Any] = {
        "kind": kind,
        "fields": fields,
        "labels": labels,
        "label_words": said.label_words or (),
        "metrics": said.metrics or _metrics(kind, labels),
        "version": said.version,
    }
    try:
        definition = TaskDefinition.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DataError(problem, file=_where(root)) from None
    _check_metrics(definition, _where(root))
    return register(definition.task(said.name or _name(root)))


def _check_metrics(definition: TaskDefinition, where: Path) -> None:
    """Refuse figures of entities for tags that are none: seqeval goes by first letters, O of ORG for one.

    Raises:
        DataError: Such a figure is asked for.
    """
    strange = [name for name in definition.labels if not _ENTITY_TAG.fullmatch(name)]
    asked = [name for name in definition.metrics if name != "accuracy"]
    if OWN_KINDS[definition.kind].by_word and asked and strange:
        raise DataError(
            f"metrics: {asked[0]} counts entities, whose tags are O, B-… and I-… (E-… and S-… too), and "
            f"{strange[0]!r} is none",
            file=where,
            fix="Write the tags so, or give accuracy alone.",
        )


def _where(root: Path) -> Path:
    """What a message on the whole task names: its file, if there is one."""
    return root / TASK_FILE if (root / TASK_FILE).exists() else root


def _name(root: Path) -> str:
    name = re.sub(r"[^\w.-]+", "-", root.name).strip("-.")[:60]
    if problem := name_problem(name, BUNDLED):
        raise DataError(f"the folder's name {problem}", file=root, fix=f"{_FIX}name: my-{name or 'task'}.")
    return name


def describe(task: Task) -> str:
    """What was found out, in a sentence."""
    *texts, answer = task.fields
    labels = f"{len(task.labels)} labels ({', '.join(task.labels)[:300]}); " if task.labels else ""
    return (
        f"own task {task.name}: {definition_of(task).kind}; columns {', '.join(texts)} and {answer}; {labels}"
        f"judged by {task.metrics[0]}"
    )


def _fields(said: TaskFile, file: OwnFile) -> tuple[str, tuple[str, ...]]:
    """The kind, and the columns of texts and answer, by the first training file."""
    there = columns_of(file.path, file.format)
    if file.format == "own-columns":
        if said.kind is not None and not OWN_KINDS[said.kind].by_word:
            raise DataError(
                f"words in columns are for tagging, and {TASK_FILE} says {said.kind}", file=file.path
            )
        return "tagging", _numbered_columns(said, file)
    if not there:
        raise DataError("the file is empty", file=file.path, fix="Put a header and rows into it.")
    if said.texts is None and (known := _by_names(said, file, there)) is not None:
        return known
    words = _first_of(there, _WORDS)
    kind = said.kind or "classification"
    by_word = OWN_KINDS[kind].by_word
    answer = said.label or _first_of(there, _TAGS if by_word else _LABELS)
    shown = ", ".join(there)[:300]
    if answer is None:
        raise DataError(
            f"cannot tell the column of labels among {shown}", file=file.path, fix=f"{_FIX}label: NAME."
        )
    if by_word and not (said.texts or words):
        raise DataError(
            f"cannot tell the column of words among {shown}", file=file.path, fix=f"{_FIX}texts: NAME."
        )
    if kind == "choice" and len(_options(said, said.texts or there)) < 2:
        raise DataError(
            f"cannot tell which columns are the options among {shown}",
            file=file.path,
            fix=f"{_FIX}labels: [NAME, NAME, …], and texts: all that are read, the options too.",
        )
    texts = said.texts or ((words,) if by_word and words else _texts(file, there, answer))
    return kind, _all_there((*texts, answer), file, there)


def _all_there(fields: tuple[str, ...], file: OwnFile, there: Sequence[str]) -> tuple[str, ...]:
    """The columns, if the file has them.

    Raises:
        DataError: It lacks one.
    """
    if missing := [name for name in fields if name not in there]:
        raise DataError(
            f"missing column {missing[0]!r}", file=file.path, fix=f"The columns: {', '.join(there)[:300]}."
        )
    return fields


def _numbered_columns(said: TaskFile, file: OwnFile) -> tuple[str, str]:
    """The columns of words and tags where they have no names: the first and the last if none are said.

    Raises:
        DataError: One is not said by its number.
    """
    words, tags = (said.texts or ("tokens",))[0], said.label or "tags"
    for key, value, is_said in (
        ("texts", words, said.texts is not None),
        ("label", tags, said.label is not None),
    ):
        if is_said and not (value.isdecimal() and int(value) > 0):
            raise DataError(
                f"{key}: is {value!r}, and a file of words in columns has no names for them",
                file=file.path.parent / TASK_FILE,
                fix="Give the column's number from 1, or leave it out: words are the first, tags the last.",
            )
    return words, tags


def _by_names(said: TaskFile, file: OwnFile, there: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """Kind and columns where the names tell: words and tags, options, or a context and a question.

    Raises:
        DataError: As `_choice` has it.
    """
    words, tags = _first_of(there, _WORDS), _first_of(there, _TAGS)
    if words and tags and said.label is None and said.kind in (None, "tagging"):
        return "tagging", (words, tags)
    if said.kind in (None, "choice") and (fields := _choice(said, file, there)) is not None:
        return "choice", fields
    if set(_SPAN) <= set(there) and said.label is None and said.kind in (None, "span"):
        return "span", _SPAN
    return None


def _choice(said: TaskFile, file: OwnFile, there: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of a choice; None where the options or the answer's column are not known.

    Raises:
        DataError: A column is missing, or nothing says whether a text beside them is read.
    """
    options, label = _options(said, there), said.label or _first_of(there, _LABELS)
    if len(options) < 2 or label is None:
        return None
    told = [name for name in _TOLD if name in there]
    fields = _all_there((*told, *options, label), file, there)
    if others := [name for name in _could_be_texts(file, there, label) if name not in fields]:
        raise DataError(
            f"cannot tell whether a choice is made by {', '.join(others)[:300]} too",
            file=file.path,
            fix=f"{_FIX}kind: choice, label: {label}, and "
            f"texts: [{', '.join((*others, *told, *options))[:300]}] without those that are not read.",
        )
    return fields


def _options(said: TaskFile, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of a choice's options: as they are said, or by their names."""
    if said.kind == "choice" and said.labels:
        return said.labels
    return tuple(name for name in columns if _OPTION.fullmatch(name))


def _first_of(there: Sequence[str], known: Sequence[str]) -> str | None:
    """The column that has the first of known names, whatever its capitals."""
    names = {name.lower(): name for name in reversed(there)}
    return next((names[name] for name in known if name in names), None)


def _texts(file: OwnFile, there: Sequence[str], label: str) -> tuple[str, ...]:
    """The columns of texts: the only ones that can be, or a known pair."""
    could_be = _could_be_texts(file, there, label)
    if len(could_be) == 1:
        return (could_be[0],)
    if pair := next((names for names in _PAIRS if sorted(names) == sorted(could_be)), None):
        return pair
    if not could_be:
        raise DataError("no column of texts", file=file.path, fix=f"The columns: {', '.join(there)[:300]}.")
    raise DataError(
        f"cannot tell which columns are the texts: {', '.join(could_be)[:300]}",
        file=file.path,
        fix=f"{_FIX}texts: [{', '.join(could_be)[:300]}] without those that are not read.",
    )


def _could_be_texts(file: OwnFile, there: Sequence[str], label: str) -> list[str]:
    """The columns that may hold texts, by their names and the first row."""
    _, record = next(records(file.path, file.format, ()), (0, {}))
    values = {} if isinstance(record, DataError) else record
    return [
        name
        for name in there
        if name != label and name.lower() not in _NO_TEXT and isinstance(values.get(name, ""), str)
    ]


def _labels(
    kind: Kind, fields: Sequence[str], train: Sequence[OwnFile], problems: list[DataError], is_named: bool
) -> tuple[str, ...]:
    """All labels of the training files, in an order that does not hang on the rows'.

    Where the user has not named the column, one with hardly a label twice is not taken for it.
    """
    named = "the column holds other than labels" if is_named else f"{_FIX}label: names the column"
    counts: Counter[str] = Counter()
    wrong: list[DataError] = []
    for file in train:
        for line, record in records(file.path, file.format, fields):
            try:
                counts.update(_labels_of(kind, fields, record, Place(0, file.path, line)))
            except DataError as problem:
                wrong.append(problem)
            if len(counts) > _MOST_LABELS:
                raise DataError(
                    f"more than {_MOST_LABELS} labels in {fields[-1]!r}",
                    file=file.path,
                    line=line,
                    fix=f"{named}.",
                )
    if wrong and len(counts) < 2:
        problems += wrong[:-1]
        raise wrong[-1]
    problems += wrong
    file_of_all = train[0].path
    if not counts:
        raise DataError("no rows", file=file_of_all, fix="Put rows with labels into it.")
    if not is_named and not kind.by_word and len(counts) > 20 and 2 * len(counts) > counts.total():
        raise DataError(
            f"{len(counts)} labels in {counts.total()} rows: {fields[-1]!r} is hardly the label",
            file=file_of_all,
            fix=f"{named}.",
        )
    alike = Counter(name.strip().casefold() for name in counts)
    if twice := sorted(name for name in counts if not kind.by_word and alike[name.strip().casefold()] > 1):
        raise DataError(
            f"the labels {twice[0]!r} and {twice[1]!r} differ in capitals or spaces alone",
            file=file_of_all,
            fix=f"Write them alike, or name all in {TASK_FILE}: labels: [...].",
        )
    if len(counts) < 2:
        raise DataError(
            f"all training rows have the label {next(iter(counts))!r}", file=file_of_all, fix="Add others."
        )
    return _in_order(kind, counts)


def _labels_of(
    kind: Kind, fields: Sequence[str], record: Mapping[str, Any] | DataError, place: Place
) -> list[str]:
    """The labels of a training row, or of its words.

    Raises:
        DataError: It has none, or what stands there is no label.
    """
    if isinstance(record, DataError):
        raise record
    answer = fields[-1]
    if isinstance(record[answer], Unnamed):
        return []
    given = as_list(record[answer], answer, place) if kind.by_word else [record[answer]]
    if not isinstance(given, list):
        raise place.error(f"{answer} is no list of tags", "Give a tag for each word.")
    names = [label_name(one, answer, None, place) for one in given]
    for name in names:
        if not kind.by_word and _FRACTION.fullmatch(name):
            raise place.error(
                f"{answer} is {name}, a number with a fraction",
                "A label is a name or a whole number; correct it.",
            )
    return names


def _in_order(kind: Kind, names: Iterable[str]) -> tuple[str, ...]:
    """Numbers by size and names by the alphabet; tags of entities by type, each begun and gone on with."""
    known = set(names)
    entities = {name: found["type"] for name in known if (found := _ENTITY.fullmatch(name))}
    if kind.by_word and entities and known <= {"O", *entities}:
        types = sorted(set(entities.values()))
        return ("O", *(f"{letter}-{each}" for each in types for letter in "BI"))
    if all(name.isdecimal() for name in known):
        return tuple(sorted(known, key=int))
    return tuple(sorted(known))


def _metrics(kind: str, labels: Sequence[str]) -> tuple[str, ...]:
    if not OWN_KINDS[kind].by_word:
        return METRICS[kind]
    entities = "O" in labels and all(map(_ENTITY_TAG.fullmatch, labels))
    return ("f1", "precision", "recall", "accuracy") if entities else ("accuracy",)
