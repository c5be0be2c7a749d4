"""Examples that one run, or one method in all its seeds, answers right and another wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xlprompt.data.errors import DataError
from xlprompt.data.languages import in_study_order
from xlprompt.evaluation.answers.predictions import SavedPredictions
from xlprompt.evaluation.comparison.statistics import holm
from xlprompt.evaluation.mistakes.confusions import LEVEL
from xlprompt.evaluation.mistakes.pairs import answer_pairs


@dataclass(frozen=True)
class Flip:
    """An example that one answers right and the other wrong.

    Attributes:
        language: Its language's code.
        place: Its place among the examples, from 0.
        id: As the source gives it.
        right: What is right; of a sentence the words' tags that differ between the two.
        first: What the first answered there.
        second: What the second answered there.
        first_is_right: Whether the first is the one that is right, or right of more words.
    """

    language: str
    place: int
    id: str
    right: str
    first: str
    second: str
    first_is_right: bool


@dataclass(frozen=True)
class FlipCounts:
    """A language's examples by who is right.

    Attributes:
        language: Its code.
        both: Examples that both answer right, every word of a sentence.
        first: Examples of which the first alone is right; of a sentence, of more of its words.
        second: Those of which the second is.
        neither: All others.
        p_value: Two-sided, that neither is the better, by the exact sign test after Holm over languages; of
            single answers that is McNemar's exact test.
    """

    language: str
    both: int
    first: int
    second: int
    neither: int
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether one of the two is better in this language, at 5 % after Holm."""
        return self.p_value < LEVEL


@dataclass(frozen=True)
class Flips:
    """Flips by language, in the study's order, and the examples themselves."""

    counts: tuple[FlipCounts, ...]
    examples: tuple[Flip, ...]

    @property
    def first(self) -> int:
        """Examples that the first alone answers right."""
        return sum(each.first for each in self.counts)

    @property
    def second(self) -> int:
        """Examples that the second alone answers right."""
        return sum(each.second for each in self.counts)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "languages": [{**asdict(each), "significant": each.significant} for each in self.counts],
            "examples": [asdict(each) for each in self.examples],
        }


def flips(
    first: Sequence[Mapping[str, SavedPredictions]], second: Sequence[Mapping[str, SavedPredictions]]
) -> Flips:
    """Compare two runs, or two methods' runs, example by example in the languages that all have.

    Of several runs an example is right or wrong only where it is in all of them.

    Args:
        first: By language, predictions of one run, or of one method's runs.
        second: Those of the other, of the same examples.

    Raises:
        DataError: They did not answer the same examples, or share no language.
    """
    languages = in_study_order(set.intersection(*(set(run) for run in (*first, *second))))
    if not languages:
        raise DataError(
            "the two runs have no language in common",
            fix="Score one of them in the other's languages: xlprompt evaluate RUN --languages CODES.",
        )
    from scipy import stats  # here, for it takes longer than reading a run's predictions

    rows, examples, p_values = [], [], []
    for code in languages:
        ours, theirs = [run[code] for run in first], [run[code] for run in second]
        _require_same(code, [*ours, *theirs])
        worst, best = _right(ours)
        worst_there, best_there = _right(theirs)
        answers = np.array([len(each) for each in ours[0].predicted])
        better, worse = worst > best_there, worst_there > best
        both = (worst == answers) & (worst_there == answers)
        count, back = int(better.sum()), int(worse.sum())
        rest = len(answers) - int(both.sum()) - count - back
        rows.append((code, int(both.sum()), count, back, rest))
        p_values.append(stats.binomtest(count, count + back).pvalue if count + back else 1.0)
        pairs = answer_pairs(ours[0]), answer_pairs(theirs[0])
        for place in np.flatnonzero(better | worse):
            examples.append(_flip(code, int(place), ours[0].ids[place], *pairs, bool(better[place])))
    adjusted = holm(p_values)
    counts = tuple(FlipCounts(*row, float(p)) for row, p in zip(rows, adjusted, strict=True))
    return Flips(counts, tuple(examples))


def _right(runs: Sequence[SavedPredictions]) -> tuple[np.ndarray, np.ndarray]:
    """Right answers of each example in the run with fewest and in that with most of them, `[examples]`."""
    each = np.array(
        [[sum(right == given for right, given in row) for row in answer_pairs(saved)] for saved in runs]
    )
    return each.min(axis=0), each.max(axis=0)


def _flip(
    code: str,
    place: int,
    name: str,
    ours: Sequence[Sequence[tuple[str, str]]],
    theirs: Sequence[Sequence[tuple[str, str]]],
    first_is_right: bool,
) -> Flip:
    differing = [
        (right, given, other)
        for (right, given), (_, other) in zip(ours[place], theirs[place], strict=True)
        if (right == given) != (right == other)
    ]
    right, given, other = (" ".join(column) for column in zip(*differing, strict=True))
    return Flip(code, place, name, right, given, other, first_is_right)


def _require_same(code: str, runs: Sequence[SavedPredictions]) -> None:
    known = runs[0]
    for each in runs[1:]:
        if each.task != known.task:
            raise DataError(
                f"the two runs are of different tasks, {known.task} and {each.task}",
                fix="Name two runs of one task.",
            )
        if (each.labels, each.ids, each.gold) != (known.labels, known.ids, known.gold):
            raise DataError(
                f"the two runs did not answer the same {known.split} examples of {known.task} in '{code}'",
                fix="Score both on the same data: xlprompt evaluate RUN --data FOLDER.",
            )
