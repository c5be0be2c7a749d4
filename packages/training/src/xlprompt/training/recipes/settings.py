"""What all settings have in common, whatever file holds them: no unknown keys, no numbers beyond torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

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
