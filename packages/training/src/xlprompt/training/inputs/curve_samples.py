"""The rows of each test language that are scored while a run trains: few, and the same in every run.

Which they are follows from the examples' ids alone. So where the languages' test sets are translations of
each other and share their ids, all languages have the same examples, and runs of other seeds and methods too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.encoding.mixture import mix
from xlprompt.training.inputs.preparation import Setup, load_split


@dataclass(frozen=True)
class CurveSample:
    """A language and the encoded examples of its sample."""

    language: str
    encoded: Encoded


def curve_samples(setup: Setup, languages: Sequence[str]) -> tuple[CurveSample, ...]:
    """The samples of the languages; none where the recipe asks for no curve.

    The test sets are read and encoded for it once a run, before training instead of afterwards.

    Raises:
        DataError, RunError: As of load_split.
    """
    settings = setup.recipe.evaluation
    if settings.curve_every is None:
        return ()
    samples = []
    for language in languages:
        part = load_split(setup, language, "test")
        places = chosen_examples(part.dataset["id"][:], settings.curve_examples)
        samples.append(CurveSample(language, mix({language: part.encoded}, {language: places})))
    return tuple(samples)


def curve_steps(steps: int, every: int) -> frozenset[int]:
    """Steps at which the samples are scored: every so many, the last one, and more of them at the beginning.

    Before the first of them it is halved down to one step, as learning is fastest there: with 100 that is at
    1, 3, 6, 12, 25, 50, 100, 200 and so on.
    """
    halves = (every >> times for times in range(every.bit_length()))
    return frozenset(step for step in (*halves, *range(every, steps, every), steps) if step <= steps)


def chosen_examples(ids: Sequence[str], number: int) -> np.ndarray:
    """Places of so many examples, rising: those whose ids have the smallest SHA-256."""
    order = sorted(range(len(ids)), key=lambda place: hashlib.sha256(str(ids[place]).encode()).digest())
    return np.sort(np.array(order[:number], dtype=np.int64))
