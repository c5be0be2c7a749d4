"""JSON from outside, read against types: what does not fit is one sentence, whatever is wrong with it.

pydantic's own parser reads it, which refuses half characters, what is nested too deeply, and numbers without
end, where Python's raises errors of several kinds or takes them.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

Value = TypeVar("Value")

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Strict(BaseModel):
    """An object with these keys and no others, of these types, whose numbers are finite."""

    model_config = STRICT


def parse(kind: type[Value], text: str | bytes) -> Value:
    """The value of a type that JSON text holds; dataclasses and pydantic's models are types.

    Raises:
        ValueError: The text is not JSON or does not fit, with the first place that doesn't.
    """
    try:
        adapter: TypeAdapter[Value] = _adapter(cast(Hashable, kind))
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place[:200]}: {problem}" if place else problem) from error


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
