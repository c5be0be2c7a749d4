"""What is wrong with settings, in the words of the file that holds them.

pydantic says where a value does not fit and how; here that becomes the file, the key, what to write and what
was found.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic.config import JsonDict

Layers = Sequence[tuple[str, Mapping[str, Any]]]

NOT_GIVEN: JsonDict = {"given": False}
"""Marks a field that users do not give: a run keeps it, and no list of keys has it."""

_ABSENT = object()
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_PLAIN_VALUES = (str, int, float, bool, type(None))

# By pydantic's type of problem, what to write instead; {ge} and the like come from the problem's context.
_GIVE: dict[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    "int_parsing_size": "a smaller number",
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a number that ends",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_too_short": "text",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    **dict.fromkeys(("dict_type", "mapping_type"), "names, each with its values"),
}
_LISTS = ("tuple_type", "list_type")
_SECTIONS = ("model_type", "model_attributes_type", "dataclass_type")
_TEXTS = ("string_type", "string_unicode")


def explain(error: ValidationError, layers: Layers, kind: type[BaseModel], *, default_origin: str) -> str:
    """One line a problem: the file that holds the key, the key, what to write, the nearest valid key.

    Args:
        error: What pydantic found.
        layers: The files that were merged, and the command line, each with its values; the last one wins.
        kind: The settings that the values are of.
        default_origin: The file that is named where none holds the key.
    """
    problems: dict[tuple[str, ...], list[Any]] = {}
    for problem in error.errors(include_url=False):
        keys = _keys(problem["loc"], kind, unknown_last=problem["type"] in _UNKNOWN_KEY)
        problems.setdefault(tuple(keys), []).append(problem)
    lines = []
    for place, found in problems.items():
        if any(other[: len(place)] == place for other in problems if len(other) > len(place)):
            continue  # another branch of the same union, in which the value came less far
        origin = _origin(place, layers) or default_origin
        lines.append(f"{origin}: {_about(place, found, kind)}")
    return "\n".join(dict.fromkeys(lines))


def _about(keys: tuple[str, ...], problems: Sequence[Any], kind: type[BaseModel]) -> str:
    """What is wrong with one key; of several problems, those where the value came furthest."""
    furthest = max(len(problem["loc"]) for problem in problems)
    problems = [problem for problem in problems if len(problem["loc"]) == furthest]
    first = problems[0]
    key = ".".join(name if name.isprintable() else repr(name) for name in keys)
    if first["type"] in _UNKNOWN_KEY:
        return f"{key}: there is no such key{_nearest(keys, kind)}"
    item = next((f"item {part + 1}: " for part in first["loc"][::-1] if isinstance(part, int)), "")
    if first["type"] == "missing":
        if item:
            return f"{key}: {item}missing. Add it to {reprlib.repr(first['input'])}"
        return f"{key}: is missing. Add it, or name a recipe that has it in `extends` or beside this one"
    if first["type"] in ("value_error", "assertion_error"):
        message = first["msg"].removeprefix("Value error, ")
    else:
        given = dict.fromkeys(_give(problem, keys, kind) for problem in problems)
        message = f"{item}give {' or '.join(given)}"
    if not key:
        return str(message)
    return f"{key}: {message} (found {reprlib.repr(first['input'])})"


def _give(problem: Any, keys: Sequence[str], kind: type[BaseModel]) -> str:
    """What to write in place of a value."""
    value = problem["input"]
    if problem["type"] in _LISTS:
        plain = ", ".join(str(value).replace(",", " ").split()) if isinstance(value, _PLAIN_VALUES) else ""
        return f"a list, as in [{plain if 0 < len(plain) < 60 and value is not None else '...'}]"
    if problem["type"] in _SECTIONS:
        return f"keys of its own, any of {', '.join(_fields(_level(keys, kind))) or '...'}"
    if problem["type"] in _TEXTS:
        return f'text, in quotes where it looks like something else, as in "{reprlib.repr(value)}"'
    return _GIVE.get(problem["type"], "another value").format_map(problem.get("ctx", {})).replace("'", "")


def _step(level: Any, part: int | str) -> tuple[bool, Any]:
    """Whether a part of a location is a key of the file, and what stands below it.

    pydantic's locations also name list indices and branches of a union, which files know nothing of.
    """
    fields = _fields(level)
    if part in fields:
        return True, fields[str(part)]
    if get_origin(level) in (dict, Mapping):
        return True, get_args(level)[1]
    return False, level


def _keys(location: Sequence[int | str], kind: type[BaseModel], *, unknown_last: bool) -> list[str]:
    """The file's own keys in pydantic's location."""
    keys: list[str] = []
    level: Any = kind
    for part in location:
        is_key, level = _step(level, part)
        if is_key:
            keys.append(str(part))
    return [*keys, str(location[-1])] if unknown_last else keys


def _level(keys: Sequence[str], kind: type[BaseModel]) -> Any:
    """The settings that stand at a key, or the type of its value."""
    level: Any = kind
    for key in keys:
        _, level = _step(level, key)
    return level


def _origin(keys: Sequence[str], layers: Layers) -> str | None:
    """The last file (or the command line) that set the longest existing part of the key."""
    for depth in range(len(keys), 0, -1):
        for name, values in reversed(layers):
            place: Any = values
            for key in keys[:depth]:
                place = place.get(key, _ABSENT) if isinstance(place, Mapping) else _ABSENT
            if place is not _ABSENT:
                return name
    return None


def keys_of(kind: type[BaseModel]) -> Iterator[str]:
    """Every dotted key that settings may hold, in reading order."""
    for name, field in _fields(kind).items():
        if _fields(field):
            yield from (f"{name}.{key}" for key in keys_of(field))
        else:
            yield name


def _fields(settings: Any) -> dict[str, Any]:
    """The annotated fields of a settings class, pydantic model or dataclass, or of the one in a union."""
    if isinstance(settings, type) and issubclass(settings, BaseModel):
        return {
            name: field.annotation
            for name, field in settings.model_fields.items()
            if field.json_schema_extra != NOT_GIVEN
        }
    if isinstance(settings, type) and is_dataclass(settings):
        return get_type_hints(settings)
    if get_origin(settings) in (dict, Mapping, tuple, list):
        return {}
    return next((fields for each in get_args(settings) if (fields := _fields(each))), {})


def _nearest(keys: Sequence[str], kind: type[BaseModel]) -> str:
    known = list(keys_of(kind))
    sections = {name.rpartition(".")[0] for name in known} - {""}
    key = ".".join(keys)
    if key in known:  # written with its dots, as on the command line
        section, _, name = key.rpartition(".")
        return f"; in a file it is {section}: {{{name}: ...}}"
    candidates = [name for name in (*known, *sections) if not key.startswith(f"{name}.")]
    near = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    if not near:  # the right name in the wrong section
        near = [name for name in known if name.rpartition(".")[2] == keys[-1]][:1]
    if near:
        return f"; the nearest valid key is {near[0]}"
    return f"; valid here: {', '.join(_fields(_level(keys[:-1], kind)))}"
