"""`task.yaml`: what the user says of an own task. Every key may be left out, and is then found out."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from xlprompt.data.errors import DataError
from xlprompt.data.languages import code_of
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.strict_yaml import UNREADABLE, StrictLoader, problem_in
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import MOST_FIELDS, KindName, name_problem

TASK_FILE = "task.yaml"

_GIVE = {
    "literal_error": "give {expected}",
    "string_type": "give text, in quotes where it looks like something else",
    "tuple_type": "give a list, as in [a, b]",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "greater_than_equal": "give a number of at least {ge}",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
}


class TaskFile(BaseModel):
    """The keys of `task.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    kind: KindName | None = None
    texts: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=MOST_FIELDS - 1)
    label: str | None = None
    labels: tuple[str, ...] | None = Field(default=None, min_length=2)
    label_words: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    language: str | None = None
    version: int = Field(default=1, ge=1)

    @field_validator("name")
    @classmethod
    def _the_name_is_free(cls, value: str | None) -> str | None:
        if value is not None and (problem := name_problem(value, BUNDLED)):
            raise ValueError(problem)
        return value

    @field_validator("texts", mode="before")
    @classmethod
    def _one_text_is_a_list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("texts", "label", "labels", mode="before")  # which comes first of the two
    @classmethod
    def _whole_numbers_are_names(cls, value: Any) -> Any:
        def named(one: Any) -> Any:
            if isinstance(one, bool):  # as rows of JSON have it
                return str(one).lower()
            return str(one) if isinstance(one, int) else one

        return [named(one) for one in value] if isinstance(value, list) else named(value)

    @field_validator("texts", "labels")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if twice := sorted({name for name in value or () if (value or ()).count(name) > 1}):
            raise ValueError(f"{twice[0]!r} is there twice; remove one")
        return value

    @field_validator("language")
    @classmethod
    def _the_language_is_one(cls, value: str | None) -> str | None:
        code = None if value is None else code_of(value)
        if value is not None and code is None:
            raise ValueError(f"unknown language {value[:40]!r}; give its ISO 639 code, such as pl")
        return code


def read_task_file(folder: Path) -> TaskFile | None:
    """What a folder's `task.yaml` says; None where there is none.

    Raises:
        DataError: The file cannot be read, is no YAML of these keys, or says what cannot be; with its line.
    """
    path = folder / TASK_FILE
    if not path.exists():
        return None
    if not path.is_file():
        raise DataError("is not a file", file=path, fix="Write the task's keys into a file of this name.")
    values, lines = _values(path)
    try:
        return TaskFile.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = str(problem["loc"][0])
        raise DataError(_about(key, problem), file=path, line=lines.get(key)) from None


def _values(path: Path) -> tuple[dict[str, Any], Mapping[str, int]]:
    """The keys with their values, and each key's line."""
    text = []
    for _, line in numbered_lines(path):
        if isinstance(line, DataError):
            raise line
        text.append(f"{line}\n")
    try:
        loader = StrictLoader("".join(text))
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except UNREADABLE as error:
        line_number, problem = problem_in(error)
        raise DataError(problem, file=path, line=line_number) from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise DataError("expected 'key: value' lines", file=path, line=1, fix=_keys())
    assert isinstance(node, yaml.MappingNode)
    return values, {key.value: key.start_mark.line + 1 for key, _ in node.value}


def _about(key: str, problem: Any) -> str:
    """What is wrong with a key."""
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(key, TaskFile.model_fields, n=1, cutoff=0.6)
        return f"{key}: there is no such key" + (
            f"; did you mean {near[0]}?" if near else f". {_keys()[:-1]}"
        )
    if problem["type"] == "value_error":
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    give = _GIVE.get(problem["type"], "give another value").format_map(problem.get("ctx", {}))
    return f"{key}: {give.replace(chr(39), '')} (found {problem['input']!r})"


def _keys() -> str:
    return f"The keys are {', '.join(TaskFile.model_fields)}."
