"""Losses of an untouched backbone that have been measured before, in the user's cache.

One loss is one small file, written whole or not at all; a damaged one counts as none.
"""

from __future__ import annotations

import hashlib
import math

from xlprompt.data.fingerprints import code_fingerprint, fingerprint_of
from xlprompt.evaluation.processes import Processes
from xlprompt.models.pretrained.cache import recall, remember

_KIND = "losses"
# Whatever a loss is computed by; a change of it has it measured anew.
_CODE = ("xlprompt.models", "xlprompt.evaluation.answers")


def loss_key(**parts: object) -> str:
    """A name for all that a loss depends on, beside the code."""
    return fingerprint_of([parts, code_fingerprint(*_CODE)])


def known_loss(key: str, processes: Processes) -> float | None:
    """The loss that was kept under a key; None where it has to be measured, by all processes then."""
    text = processes.tell((recall(_KIND, key) or "") if processes.is_first else "")
    value, _, check = text.partition(" ")
    if check != _check(value):
        return None
    loss = float(value)
    return loss if math.isfinite(loss) else None


def keep_loss(key: str, loss: float) -> None:
    """Keep a loss to its last digit."""
    remember(_KIND, key, f"{loss!r} {_check(repr(loss))}")


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
