"""The parts of an own task's folder: each language and split with its files, and what is wrong there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.languages import code_of, in_study_order, language
from xlprompt.data.sources.own.infer import describe, find_task
from xlprompt.data.sources.own.layout import OwnFile, place
from xlprompt.data.sources.own.rows import CUT_EVERY, LANGUAGE_COLUMNS
from xlprompt.data.sources.own.tables import columns_of, records
from xlprompt.data.sources.own.task_file import TASK_FILE, TaskFile, read_task_file
from xlprompt.data.sources.parts import Candidate, LeftOut, Part
from xlprompt.data.tasks.task_type import Task

_TOLD = 5  # languages of a column that a message names


@dataclass(frozen=True)
class OwnFolder:
    """What an own task's folder holds.

    Attributes:
        task: The task; None where it cannot be told, which a problem then says.
        parts: By language and split.
        problems: What is wrong, each enough to refuse the folder.
        left_out: Files that are not data of it, with the reason.
        notes: What was found out and done, in sentences.
    """

    task: Task | None
    parts: tuple[Part, ...]
    problems: tuple[DataError, ...]
    left_out: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]


def is_own(candidates: Sequence[Candidate]) -> bool:
    """Tell whether a folder without a benchmark's files is meant as a task: there is a training file."""
    found = map(place, candidates)
    return any(isinstance(file, OwnFile) and file.split == "train" for file in found)


def look_at(root: Path, candidates: Sequence[Candidate], task: Task | None = None) -> OwnFolder:
    """Look through a folder that is an own task.

    Args:
        root: The folder.
        candidates: Its files.
        task: The task that it is known to be, from a recipe; None to find that out.
    """
    problems: list[DataError] = []
    files: list[OwnFile] = []
    left_out: list[tuple[Path, str]] = []
    said = TaskFile()
    try:
        said = read_task_file(root) or said
    except DataError as problem:
        return OwnFolder(None, (), (problem,), (), ())
    for candidate in candidates:
        if candidate.path == root / TASK_FILE:
            continue
        found = place(candidate)
        if isinstance(found, OwnFile):
            files.append(found)
        elif isinstance(found, LeftOut):
            left_out.append((candidate.path, found.reason))
        elif isinstance(found, DataError):
            problems.append(found)
    if task is None:
        try:
            task = find_task(root, said, files, problems)
        except DataError as problem:
            problems.append(problem)
    parts: list[Part] = []
    for file in files:  # also where the task is not known: whose language cannot be told is all the same
        fields = () if task is None else task.text_fields if file.split == "validation" else task.fields
        for told in _languages_of(file, said, fields):
            if isinstance(told, DataError):
                problems.append(told)
            elif task is not None:
                code, column = told
                part = Part(task, code, file.split, file.format, (file.path,), language_column=column)
                parts.append(replace(part, numbered=said.labels is not None))
    if said.language and files and all(file.language not in (None, said.language) for file in files):
        first = files[0]
        problems.append(
            DataError(
                f"says language: {said.language}, and no file takes it: by its name {first.path.name}, for "
                f"one, is {language(first.language or '').name} ({first.language})",
                file=root / TASK_FILE,
                fix="Name the files otherwise, such as train.csv, or leave the language out.",
            )
        )
    if task is None:
        return OwnFolder(None, (), tuple(problems), tuple(left_out), ())
    whole = _join_shards(parts, files)
    cut, notes = _with_development_sets(whole)
    return OwnFolder(task, cut, tuple(problems), tuple(left_out), (describe(task), *notes))


def _languages_of(
    file: OwnFile, said: TaskFile, fields: Sequence[str]
) -> Iterator[tuple[str, str] | DataError]:
    """The languages of a file, each with the column that tells it, if one does; and what is wrong there."""
    try:
        there = columns_of(file.path, file.format)
    except DataError as problem:
        if file.language:  # which whoever reads its rows will say
            yield file.language, ""
        else:
            yield problem
        return
    column = next((name for name in there if name.lower() in LANGUAGE_COLUMNS), None)
    if file.language:
        yield _unless_told_otherwise(file, column, fields)
    elif column is not None:
        yield from _languages_in(file, column, fields)
    elif said.language is not None:
        yield said.language, ""
    else:
        yield DataError(
            "cannot tell the language",
            file=file.path,
            fix="Name the file <language>.<split>, put it into a folder of the language's name, add a "
            f"column 'language', or say it in {TASK_FILE}, as in language: pl.",
        )


def _unless_told_otherwise(
    file: OwnFile, column: str | None, fields: Sequence[str]
) -> tuple[str, str] | DataError:
    """The language of a file's name, or what is wrong where its column tells another one."""
    assert file.language is not None
    if column is not None:
        told = [each[0] for each in _languages_in(file, column, fields) if not isinstance(each, DataError)]
        if any(code != file.language for code in told):
            return DataError(
                f"is named as {language(file.language).name} ({file.language}), and its column {column} "
                f"tells {', '.join(told[:_TOLD])}",
                file=file.path,
                fix="Name the file otherwise, such as train.csv, where the column is right; or rename the "
                "column.",
            )
    return file.language, ""


def _languages_in(file: OwnFile, column: str, fields: Sequence[str]) -> Iterator[tuple[str, str] | DataError]:
    """The languages that a column tells, in the study's order, behind the rows that tell none."""
    spelt: dict[str, dict[str, str]] = {}  # by code and script or region, as it stands there
    for line, record in records(file.path, file.format, (*fields, column)):
        if isinstance(record, DataError):
            yield record
        elif (code := code_of(str(record[column]))) is None:
            yield DataError(
                f"unknown language {str(record[column])[:40]!r} in {column}",
                file=file.path,
                line=line,
                fix="Give its ISO 639 code, such as pl.",
            )
        else:
            said = str(record[column]).strip()
            variety = re.split("[-_]", said.lower(), maxsplit=1)[1:]
            spelt.setdefault(code, {}).setdefault("".join(variety), said)
    for code, varieties in spelt.items():
        if len(several := sorted(name for variety, name in varieties.items() if variety)) > 1:
            yield DataError(
                f"{column} tells {' and '.join(several[:_TOLD])}, both {language(code).name} ({code})",
                file=file.path,
                fix="Scores are by language: give what belongs together one code, and leave out the rest.",
            )
    yield from ((code, column) for code in in_study_order(set(spelt)))


def _join_shards(parts: Sequence[Part], files: Sequence[OwnFile]) -> list[Part]:
    """Make one part of the shards of a split that lie in one folder."""
    shards = {file.path for file in files if file.is_shard}
    joined: dict[tuple[object, ...], Part] = {}
    for part in parts:
        path = part.files[0]
        key = (part.key, path.parent, part.format) if path in shards else (part.key, path)
        before = joined.get(key)
        joined[key] = part if before is None else replace(part, files=before.files + part.files)
    return list(joined.values())


def _with_development_sets(parts: Sequence[Part]) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The parts, where a language without a development set has one cut from its training set."""
    there = {(part.language, part.split) for part in parts}
    found: list[Part] = []
    lacking = set()
    for part in parts:
        if part.split == "train" and (part.language, "validation") not in there:
            lacking.add(part.language)
            found += [
                replace(part, cut="train"),
                replace(part, split="validation", cut="validation"),
            ]
        else:
            found.append(part)
    if not lacking:
        return tuple(found), ()
    note = (
        f"no development set in {', '.join(in_study_order(lacking))}: of {CUT_EVERY} training rows of "
        "a label one is kept for it and not trained on. Add <language>.dev to choose it yourself"
    )
    return tuple(found), (note,)
