"""Which label is taken for which, by language, and where that is more frequent than in a reference language.

The unit of every test is an example, not a word: words of one sentence are not independent. Several runs that
answered the same examples, as seeds do, are averaged example by example, so that tests are about these runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xlprompt.data.languages import in_study_order
from xlprompt.evaluation.answers.predictions import SavedPredictions
from xlprompt.evaluation.comparison.statistics import holm
from xlprompt.evaluation.mistakes.pairs import answer_pairs

LEVEL = 0.05
"""Below it an adjusted p-value counts as significant."""


@dataclass(frozen=True)
class Confusion:
    """How often one label is taken for another in a language.

    Attributes:
        language: Its code.
        right: The label that is right, or `exact` for answers in a text.
        given: The label that is given instead, or how an answer misses.
        times: Answers of this kind, a mean over runs.
        share: Their percentage of those whose right label is `right`.
        there: The same percentage in the reference language; None where that has no such label.
        p_value: One-sided, that it is no more frequent than there, after Holm over all confusions of the
            runs; None without reference.
    """

    language: str
    right: str
    given: str
    times: float
    share: float
    there: float | None = None
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether it is more frequent than in the reference language, at 5 % after Holm."""
        return self.p_value is not None and self.p_value < LEVEL

    @property
    def excess(self) -> float:
        """Answers more than there would be at the reference language's percentage."""
        return self.times * (1 - (self.there or 0.0) / self.share) if self.share else 0.0


@dataclass(frozen=True)
class LabelUse:
    """How often a label is given in a language, and how often it is right, in percent of the answers."""

    language: str
    label: str
    given: float
    right: float


@dataclass(frozen=True)
class Confusions:
    """What is taken for what.

    Attributes:
        reference: Code of the language compared with; None for none.
        wrong: By language, percentage of answers that are wrong.
        found: Confusions that occur, in the study's order of languages and the most frequent first.
        use: Labels by language; none where answers are parts of a text.
        tested: Number of tests that p-values are adjusted for.
    """

    reference: str | None
    wrong: Mapping[str, float]
    found: tuple[Confusion, ...]
    use: tuple[LabelUse, ...]
    tested: int

    @property
    def beyond(self) -> list[Confusion]:
        """Those significantly more frequent than in the reference language, the costliest first."""
        return sorted((each for each in self.found if each.significant), key=lambda each: -each.excess)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "reference": self.reference,
            "wrong": dict(self.wrong),
            "tests": self.tested,
            "confusions": [{**asdict(each), "significant": each.significant} for each in self.found],
            "labels": [asdict(each) for each in self.use],
        }


@dataclass(frozen=True)
class _Counted:
    """One language's examples.

    Attributes:
        taken: `[examples, labels, labels]`, right by given, a mean over runs.
        single: Whether each example has one answer, of one run.
    """

    taken: np.ndarray
    single: bool

    def shares(self, right: int) -> np.ndarray:
        """Of the examples that have a right label, which share of it went to each, `[some, labels]`."""
        rows = self.taken[:, right]
        sums = rows.sum(axis=1)
        return rows[sums > 0] / sums[sums > 0, None]


def confusions(runs: Sequence[Mapping[str, SavedPredictions]], reference: str | None) -> Confusions:
    """Count what is taken for what, and test each confusion against the reference language.

    Fisher's exact test compares single answers of one run. Where an example has several answers or several
    runs answered it, the Mann-Whitney test compares the examples' shares. Confusions that occur in neither
    language are not tested: they could not be significant.

    Args:
        runs: By language, predictions of the same examples.
        reference: Code of the language that others are compared with; None, or one that was not scored, for
            no comparison.
    """
    languages = in_study_order(set.intersection(*(set(run) for run in runs)))
    names = _names(runs, languages)
    counted = {code: _count([run[code] for run in runs], names) for code in languages}
    base = counted.get(reference or "")
    found: list[Confusion] = []
    tested: list[int] = []
    p_values: list[float] = []
    for code, here in counted.items():
        total = here.taken.sum(axis=0)
        shares = _percent(total)
        there = _percent(base.taken.sum(axis=0)) if base is not None else None
        for right, row in enumerate(total):
            if not row.sum():
                continue
            p_of = None if base is None or here is base else _p_values(here, base, right)
            known = there is not None and not np.isnan(there[right]).any()
            for given in np.argsort(-row, kind="stable"):
                if given == right:
                    continue
                if p_of is not None and not np.isnan(p_of[given]):
                    p_values.append(float(p_of[given]))
                    tested.append(len(found) if row[given] else -1)
                if row[given]:
                    share = float(there[right, given]) if known and there is not None else None
                    figures = (float(row[given]), float(shares[right, given]), share)
                    found.append(Confusion(code, names[right], names[given], *figures))
    for place, adjusted in zip(tested, holm(p_values) if p_values else (), strict=True):
        if place >= 0:
            found[place] = Confusion(**{**asdict(found[place]), "p_value": float(adjusted)})
    order = {code: place for place, code in enumerate(languages)}
    found.sort(key=lambda each: (order[each.language], -each.times))
    wrong = {code: _wrong(each.taken.sum(axis=0)) for code, each in counted.items()}
    labeled = bool(next(iter(runs[0].values())).labels)
    use = tuple(_use(counted, names)) if labeled else ()
    return Confusions(reference if base is not None else None, wrong, tuple(found), use, len(p_values))


def _names(runs: Sequence[Mapping[str, SavedPredictions]], languages: Sequence[str]) -> list[str]:
    """The labels in the task's order, or of texts what occurs."""
    some = runs[0][languages[0]]
    if some.labels:
        return list(some.labels)
    pairs = (pair for run in runs for code in languages for row in answer_pairs(run[code]) for pair in row)
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def _count(of_language: Sequence[SavedPredictions], names: Sequence[str]) -> _Counted:
    place = {name: number for number, name in enumerate(names)}
    examples = len(of_language[0].ids)
    taken = np.zeros((examples, len(names), len(names)))
    for saved in of_language:
        for example, row in enumerate(answer_pairs(saved)):
            for right, given in row:
                taken[example, place[right], place[given]] += 1
    single = len(of_language) == 1 and all(len(row) == 1 for row in of_language[0].predicted)
    return _Counted(taken / len(of_language), single)


def _p_values(here: _Counted, base: _Counted, right: int) -> np.ndarray | None:
    """One-sided p-values by given label, `[labels]`; NaN where neither language has the confusion."""
    from scipy import stats  # here, for importing it takes longer than reading a run's predictions

    ours, theirs = here.shares(right), base.shares(right)
    if not len(ours) or not len(theirs):
        return None
    p_values = np.full(ours.shape[1], np.nan)
    there = np.flatnonzero(ours.any(axis=0) | theirs.any(axis=0))
    if here.single and base.single:
        for given in there:
            counts = [[each[:, given].sum(), (1 - each[:, given]).sum()] for each in (ours, theirs)]
            p_values[given] = stats.fisher_exact(np.rint(counts).astype(int), alternative="greater").pvalue
    elif len(there):
        tested = stats.mannwhitneyu(
            ours[:, there], theirs[:, there], alternative="greater", method="asymptotic", axis=0
        )
        # Where every example of both has the same share there is no variance, and no difference.
        p_values[there] = np.nan_to_num(tested.pvalue, nan=1.0)
    return p_values


def _percent(total: np.ndarray) -> np.ndarray:
    """Counts `[labels, labels]` in percent of their row; NaN where a label is never right."""
    sums = total.sum(axis=1, keepdims=True)
    return 100 * np.divide(total, sums, out=np.full_like(total, np.nan), where=sums > 0)


def _wrong(total: np.ndarray) -> float:
    return float(100 * (1 - np.trace(total) / total.sum())) if total.sum() else 0.0


def _use(counted: Mapping[str, _Counted], names: Sequence[str]) -> list[LabelUse]:
    rows = []
    for code, each in counted.items():
        total = each.taken.sum(axis=0)
        for place, name in enumerate(names):
            given, right = (
                float(100 * part[place] / total.sum()) for part in (total.sum(axis=0), total.sum(axis=1))
            )
            rows.append(LabelUse(code, name, given, right))
    return rows
