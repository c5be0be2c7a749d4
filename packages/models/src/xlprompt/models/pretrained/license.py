"""Under which license a backbone is given, as far as its own files or what is known of it say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.known import (
    GEMMA,
    KNOWN_MODELS,
    NANO,
    NANO_BALANCED,
    NANO_SIZES,
    SMOLLM2,
    canonical_name,
)
from xlprompt.models.pretrained.location import local_folder

# By the hub's short names. XGLM's: facebook/xglm-564M's card; Gemma's terms are Google's own.
_KNOWN: Mapping[str, str] = MappingProxyType(
    {
        **{name: "mit" for name in KNOWN_MODELS if name.startswith("facebook/xglm-")},
        GEMMA: "gemma",
        **dict.fromkeys((SMOLLM2, NANO, NANO_BALANCED, *NANO_SIZES), "apache-2.0"),
    }
)


def license_of(name: str) -> str | None:
    """A backbone's license by the hub's short name; None where neither its card here nor xlprompt knows."""
    known = _KNOWN.get(canonical_name(name))
    if known is not None:
        return known
    try:
        folder = Path(name) if os.path.isdir(name) else local_folder(name)
    except ModelError:
        return None
    return _of_card(folder / "README.md")


def _of_card(path: Path) -> str | None:
    from huggingface_hub import ModelCard

    try:
        found = ModelCard.load(path, ignore_metadata_errors=True).data.license if path.is_file() else None
    except (OSError, ValueError):  # no text, or nothing that could be read as a card
        return None
    return str(found) if found else None
