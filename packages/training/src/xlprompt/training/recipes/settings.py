"""What all settings have in common, whatever file holds them: no unknown keys, no numbers beyond torch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.errors import explain, keys_of
from xlprompt.training.recipes.files import merge, read_chain, unflatten

_LARGEST_WHOLE = 2**32 - 1  # NumPy takes no larger seeds
_LARGEST, _SMALLEST = 1e30, 1e-30  # a step computes with a rate times ten, which must be a float32 as well


class Settings(BaseModel):
    """What a YAML file may hold; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _numbers_can_be_computed_with(cls, value: Any) -> Any:
        _check_numbers(value)
        return value


def _check_numbers(value: Any, key: str = "") -> None:
    """Make sure that every number in a value is one that torch can compute with.

    Raises:
        ValueError: One is not.
    """
    where = f"{key}: " if key else ""
    if isinstance(value, BaseModel):
        for name, part in value:
            _check_numbers(part, name)
    elif isinstance(value, tuple | list):
        for part in value:
            _check_numbers(part, key)
    elif isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        raise ValueError(f"{where}give a number of at most {_LARGEST_WHOLE:,}")
    elif isinstance(value, float) and not (value == 0 or _SMALLEST <= abs(value) <= _LARGEST):
        raise ValueError(f"{where}give 0 or a number whose size is from {_SMALLEST:g} to {_LARGEST:g}")


def each_once(values: Sequence[Any]) -> None:
    """Make sure that nothing is listed twice.

    Raises:
        ValueError: Something is.
    """
    if twice := sorted({each for each in values if values.count(each) > 1}):
        raise ValueError(f"{', '.join(map(str, twice))} is there twice; remove one")


AnySettings = TypeVar("AnySettings", bound=Settings)


def load_settings(
    path: str | Path, kind: type[AnySettings], overrides: Mapping[str, Any] | None = None
) -> AnySettings:
    """Read a YAML file of settings, the files it extends, and values given on top.

    Args:
        path: YAML file. Its optional key `extends` names a base file relative to it, or a list of them of
            which later ones win; mappings are merged key by key, anything else replaces the base's value.
        kind: The settings that the file holds.
        overrides: Values by dotted key (`"schedule.steps"`); they win over the files.

    Raises:
        RecipeError: A file that is missing or no YAML mapping, a circle of `extends`, an unknown key or a
            value of the wrong kind.
    """
    return validated(read_chain(Path(path)), kind, overrides, origin=str(path))


def validated(
    layers: list[tuple[str, dict[str, Any]]],
    kind: type[AnySettings],
    overrides: Mapping[str, Any] | None,
    *,
    origin: str,
) -> AnySettings:
    """Merge files' values, later ones on top, and those given by dotted key; `origin` is named in errors.

    Raises:
        RecipeError: An unknown key or a value of the wrong kind.
    """
    if overrides:
        layers.append(("the command line", unflatten(overrides)))
    merged: dict[str, Any] = {}
    for _, values in layers:
        merged = merge(merged, values)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise RecipeError(explain(error, layers, kind, default_origin=origin)) from error


def flat_pairs(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The values by dotted key, in reading order."""
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs.extend(flat_pairs(value, f"{prefix}{key}."))
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def valid_keys(kind: type[Settings]) -> list[str]:
    """Every dotted key that settings of a kind may hold, in reading order."""
    return list(keys_of(kind))
