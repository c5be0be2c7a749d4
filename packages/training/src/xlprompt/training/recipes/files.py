"""YAML files of settings, and values of the command line, as plain mappings.

A file that YAML would read as something else than a person does is refused: a key given twice, a tag, aliases
that multiply. What the keys and values mean is said by the settings in `recipe` and its siblings.
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from xlprompt.data.strict_yaml import UNREADABLE, StrictLoader, problem_in
from xlprompt.training.errors import RecipeError

_MOST_BYTES = 2**20


def parse_value(text: str) -> Any:
    """A command-line value with the meaning it would have in a recipe (`5e-3`, `null`, `[en, de]`).

    Raises:
        RecipeError: The text is no YAML value, or is empty.
    """
    try:
        value = yaml.load(text, Loader=StrictLoader)
    except UNREADABLE as error:
        _, problem = problem_in(error)
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
        values = yaml.load(text, Loader=StrictLoader)
    except UNREADABLE as error:
        line, problem = problem_in(error)
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
    except RecipeError:
        raise
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
