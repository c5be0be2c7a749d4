"""YAML files of settings, and values of the command line, as plain mappings.

A file that YAML would read as something else than a person does is refused: a key given twice, a tag, aliases
that multiply. What the keys and values mean is said by the settings in `recipe` and its siblings.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from xlprompt.training.errors import RecipeError

_MOST_BYTES = 2**20
_MOST_VALUES = 10_000  # with every alias written out; the largest recipe here has about a hundred
_DEEPEST = 50
_MOST_DIGITS = 40
# PyYAML raises ValueError and OverflowError at "\\U00FFFFFF" and its like.
_UNREADABLE = (yaml.YAMLError, ValueError, OverflowError, RecursionError)


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is none of ours."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema of YAML 1.2, and without what hides a value.

    YAML 1.1 reads `off` (a dropout setting) and `no` (Norwegian) as false, `5e-3` as a string, `010` as 8,
    `1:30` as 90 and `2001-99-99` as a date. PyYAML takes the last of several equal keys.
    """

    def compose_document(self) -> yaml.Node:
        """The document's tree, examined before anything is built from it."""
        node = super().compose_document()
        assert node is not None  # as an empty document has none, and is not composed
        _examine(node, {})
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node, which may have no tag: `!!int x` would reach constructors that trust it."""
        event = self.peek_event()
        if tag := getattr(event, "tag", None):
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"the tag {tag} has no place here; write the value alone, and text in quotes"
            raise _Refused(None, None, problem, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping with its keys as they are written, so that a variant may be called 8."""
        self.flatten_mapping(node)  # `<<`
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        """An integer of YAML 1.2: decimal with leading zeros, `0o17` or `0x1F`."""
        if len(node.value) > _MOST_DIGITS:
            raise _Refused(None, None, f"a number of {len(node.value)} digits", node.start_mark)
        return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)


def _examine(node: yaml.Node, sizes: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a tree holds with its aliases written out, and how deep it is.

    Raises:
        _Refused: A key stands twice or is no word, text holds half a character, an alias stands inside
            of what it names, or there is too much of it.
    """
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise _Refused(None, None, "an alias stands inside of what it names", node.start_mark)
        return known
    sizes[id(node)] = None
    if isinstance(node, yaml.ScalarNode):
        if any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise _Refused(None, None, "the text holds half a character (a surrogate)", node.start_mark)
        below = []
    else:
        if isinstance(node, yaml.MappingNode):
            _keys_stand_once(node)
        children = [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
        below = [_examine(child, sizes) for child in children]
    size = 1 + sum(each for each, _ in below)
    depth = 1 + max((each for _, each in below), default=0)
    if size > _MOST_VALUES or depth > _DEEPEST:
        problem = f"more than {_MOST_VALUES:,} values, or nested more than {_DEEPEST} deep"
        raise _Refused(None, None, problem, node.start_mark)
    sizes[id(node)] = size, depth
    return size, depth


def _keys_stand_once(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused(None, None, "a key is a word, not a list or a section", key.start_mark)
        if key.value in lines:
            first = lines[key.value]
            where = f"in lines {first} and {line}" if first != line else f"in line {line}"
            problem = f"'{key.value}' stands twice, {where}; put both into one"
            raise _Refused(None, None, problem, key.start_mark)
        lines[key.value] = line


def _problem(error: Exception) -> tuple[int | None, str]:
    """The line, where it is known, and what is wrong there."""
    if isinstance(error, RecursionError):
        return None, f"not valid YAML: nested more than {_DEEPEST} deep"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    if not isinstance(error, yaml.YAMLError):
        problem = "an escape for a character that does not exist"
    if not isinstance(error, _Refused):
        problem = f"not valid YAML: {problem}. Check the indentation and the colons"
    return mark.line + 1 if mark else None, problem


def parse_value(text: str) -> Any:
    """A command-line value with the meaning it would have in a recipe (`5e-3`, `null`, `[en, de]`).

    Raises:
        RecipeError: The text is no YAML value, or is empty.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except _UNREADABLE as error:
        _, problem = _problem(error)
        raise RecipeError(
            f"cannot read the value {text[:80]!r}: write it as it would stand in a recipe ({problem})"
        ) from error
    if value is None and text.strip() not in ("~", "null", "Null", "NULL"):
        raise RecipeError(f"the value {text!r} is empty: write null for none")
    return value


def parts_of(path: Path) -> tuple[Path, ...]:
    """The files that a name stands for: `xnli-prompt.yaml` for `xnli.yaml` and `prompt.yaml`.

    A file of the very name, if there is one, stands for itself alone.
    """
    parts = tuple(path.parent / f"{part}{path.suffix}" for part in path.stem.split("-"))
    return (path,) if is_file(path) or not all(map(is_file, parts)) else parts


def read_chain(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    """The mappings of `path` and its bases, outermost base first, each with the name of its file.

    Raises:
        RecipeError: A file is missing or no YAML mapping, or `extends` goes round in a circle.
    """
    if len(parts := parts_of(path)) > 1:
        return [layer for part in parts for layer in read_chain(part, seen)]
    values = _read_yaml(path)
    resolved = path.resolve()
    if resolved in seen:
        circle = " -> ".join(p.name for p in (*seen, resolved))
        raise RecipeError(f"{path}: 'extends' goes round in a circle ({circle}). Remove one of them")
    bases = values.pop("extends", [])
    names = bases if isinstance(bases, list) else [bases]
    layers: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        if not isinstance(name, str):
            raise RecipeError(f"{path}: extends: expected the name of a recipe file, found {name!r}")
        base = path.parent / name
        if not all(map(is_file, parts_of(base))):
            raise RecipeError(
                f"{path}: extends: there is no file {base}. The name is relative to this recipe"
            )
        layers.extend(read_chain(base, (*seen, resolved)))
    return [*layers, (str(path), values)]


def is_file(path: Path) -> bool:
    """Whether there is a regular file of this name; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read_yaml(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        values = yaml.load(text, Loader=_Loader)
    except _UNREADABLE as error:
        line, problem = _problem(error)
        raise RecipeError(f"{path}{f':{line}' if line else ''}: {problem}") from error
    if not isinstance(values, dict):
        found = {list: "list", type(None): "nothing"}.get(type(values), "a single value")
        raise RecipeError(f"{path}: expected 'key: value' lines, found {found}")
    return values


def _read_text(path: Path) -> str:
    """The text of a file, which is not waited for: a pipe may never have any."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
            raise RecipeError(
                f"{path}: is {kind}. Name a recipe file, such as experiments/mini/xnli-prompt.yaml"
            )
        if status.st_size > _MOST_BYTES:
            raise RecipeError(
                f"{path}: has {status.st_size:,} bytes, which no recipe has. Name a recipe file"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = _near(path)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise RecipeError(f"{path}: there is no such recipe{hint}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}:{line}: is no UTF-8 text ({error.reason}). Save it as UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        problem = getattr(error, "strerror", None) or error
        raise RecipeError(f"{path}: cannot be read ({problem}). Check the name and rights") from error


def _near(path: Path) -> list[str]:
    """Names that may have been meant: of files, or of parts that stand together."""
    stems = [each.stem for each in path.parent.glob("*.yaml")]
    parts = [difflib.get_close_matches(part, stems, n=1) for part in path.stem.split("-")]
    if len(parts) > 1 and all(parts):
        return ["-".join(part for (part,) in parts) + ".yaml"]
    return [f"{stem}.yaml" for stem in difflib.get_close_matches(path.stem, stems, n=3)]


def unflatten(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key as a recipe file holds them: `{"schedule": {"steps": 600}, ...}`.

    Raises:
        RecipeError: A key is another one's section.
    """
    nested: dict[str, Any] = {}
    for key, value in overrides.items():
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise RecipeError(f"the command line: {key}: '{parent}' was also given a value of its own")
        if last in place:
            raise RecipeError(f"the command line: {key}: keys of it were also given by themselves")
        place[last] = value
    return nested


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, key by key; anything but a mapping replaces the base's value."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
