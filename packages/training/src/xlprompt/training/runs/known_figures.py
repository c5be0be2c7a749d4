"""Figures that depend on nothing that a run trains, kept in the user's cache when they have been measured.

One figure is one small file, written whole or not at all; a damaged one counts as none.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

from xlprompt.data.fingerprints import code_fingerprint, fingerprint_of
from xlprompt.models.pretrained.cache import recall, remember

# Kinds of figures, and whatever they are computed by; a change of it has them measured anew.
_CODE = {
    "losses": ("xlprompt.models", "xlprompt.evaluation.answers"),
    "fertility": ("xlprompt.evaluation.scores.fertility", "xlprompt.data.tasks"),
}

Kind = Literal["losses", "fertility"]


def figure_key(kind: Kind, **parts: object) -> str:
    """A name for all that a figure depends on, its code among it."""
    return fingerprint_of([parts, code_fingerprint(*_CODE[kind])])


def known_figure(kind: Kind, key: str) -> float | None:
    """The figure that was kept under a key, to its last digit; None where it has to be measured."""
    value, _, check = (recall(kind, key) or "").partition(" ")
    if check != _check(value):
        return None
    figure = float(value)
    return figure if math.isfinite(figure) else None


def keep_figure(kind: Kind, key: str, figure: float) -> None:
    """Keep a figure."""
    remember(kind, key, f"{figure!r} {_check(repr(figure))}")


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
