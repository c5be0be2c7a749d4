"""Belebele, which is known and left out: it has four choices a question, and no row to train on.

Its own files have ``flores_passage`` and ``mc_answer1`` to ``mc_answer4``. Copies have ``context`` and a list
of ``choices``, and look much like rows of XQuAD.
"""

from __future__ import annotations

from xlprompt.data.sources.formats.jsonl import first_record
from xlprompt.data.sources.parts import Candidate, LeftOut, Recognition

_OWN = frozenset({"flores_passage", "question", "mc_answer1", "mc_answer4"})
_COPIES = frozenset({"context", "question", "choices"})


def recognize(candidate: Candidate) -> Recognition:
    """Return why a file is left out, or None if it is not of this benchmark."""
    if ".jsonl" not in candidate.path.suffixes:
        return None
    keys = first_record(candidate).keys()
    if keys >= _OWN or keys >= _COPIES:
        return [LeftOut("questions with four choices, as Belebele's, of which there are none to train on")]
    return None
