"""Transfer between languages: what a model trained on one scores in each, and whether kinship explains it.

A relation of two languages is 0 or 1: they have the same top-level family, or are written in the same script,
by the language table (xlprompt.data.languages), which knows no finer branches. section.py shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.statistics import CONFIDENCE, Spread, spread
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED

Trait = Literal["family", "script"]
TRAITS: tuple[Trait, ...] = ("family", "script")
_SAMPLES = 1999  # a p-value from permutations is then at least 1e-3


@dataclass(frozen=True)
class TransferScore:
    """The score in one language of the models trained on one, over seeds."""

    trained_on: str
    language: str
    score: Spread


@dataclass(frozen=True)
class Kinship:
    """Rank correlation, over pairs of two languages, of the score with whether they share a trait.

    Attributes:
        trait: "family" or "script".
        pairs: How many pairs of a training and another test language there are.
        sharing: How many of them share the trait.
        score_shared: Mean score of these; None where there are none.
        score_other: Mean score of the others; None where there are none.
        rho: Spearman's correlation with the scores; None where all pairs or none share the trait.
        adjusted: The same with what is left of the scores when the effects of the training language and of
            the test language are taken off: some languages are easy, whatever was trained on.
        low: Lower end of the interval of `adjusted`, None as above or with fewer than four test languages.
        high: Upper end.
        p_value: Two-sided, of `adjusted`; None as above.
    """

    trait: Trait
    pairs: int
    sharing: int
    score_shared: float | None
    score_other: float | None
    rho: float | None = None
    adjusted: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class TransferMatrix:
    """Training language by test language, for one task and method.

    Attributes:
        task: The task's name.
        method: The method's.
        metric: What the scores are.
        trained_on: Training languages, in the order in which they are shown.
        languages: Test languages, in the study's order.
        scores: Of every pair.
        zero_shot: By training language: mean over the other test languages, over seeds; None without any.
        kinship: By trait.
    """

    task: str
    method: str
    metric: str
    trained_on: tuple[str, ...]
    languages: tuple[str, ...]
    scores: tuple[TransferScore, ...]
    zero_shot: Mapping[str, Spread | None]
    kinship: tuple[Kinship, ...]

    def means(self) -> np.ndarray:
        """Mean scores over seeds, `[training languages, test languages]`."""
        by_pair = {(each.trained_on, each.language): each.score.mean for each in self.scores}
        return np.array([[by_pair[source, code] for code in self.languages] for source in self.trained_on])


def transfer_matrix(runs: TaskRuns, trained_on: Mapping[str, str], *, method: str) -> TransferMatrix:
    """Lay out the scores of models that were trained on different languages.

    Args:
        runs: The task's runs, with names of variants as methods (see runs.load_runs).
        trained_on: The training language of each variant, in the order in which they are shown.
        method: What was trained.

    Raises:
        ValueError: A variant has no runs, or two have the same language.
        DataError: A language is not in the language table.
    """
    if len(set(trained_on.values())) < len(trained_on):
        raise ValueError(f"two variants have the same training language: {dict(trained_on)}")
    scores, zero_shot = [], {}
    for variant, source in trained_on.items():
        runs.seeds(variant)  # or there would be a mean over nothing
        by_language = {code: counts.scores[runs.of(variant)] for code, counts in runs.languages.items()}
        scores += [TransferScore(source, code, spread(values)) for code, values in by_language.items()]
        others = [values for code, values in by_language.items() if code != source]
        zero_shot[source] = spread(np.mean(others, axis=0)) if others else None
    plain = TransferMatrix(
        runs.task,
        method,
        runs.metric,
        tuple(trained_on.values()),
        tuple(runs.languages),
        tuple(scores),
        zero_shot,
        (),
    )
    means = plain.means()
    kin = tuple(kinship(means, plain.trained_on, plain.languages, trait) for trait in TRAITS)
    return replace(plain, kinship=kin)


def kinship(
    scores: np.ndarray,
    trained_on: Sequence[str],
    languages: Sequence[str],
    trait: Trait,
    *,
    seed: int = BOOTSTRAP_SEED,
) -> Kinship:
    """Correlate scores between two languages with whether they share a trait.

    Pairs with a language in common are not independent. So the p-value comes from handing the languages'
    traits around at random (Mantel 1967; scipy.stats.permutation_test), and the interval from drawing test
    languages, each with all its scores (scipy.stats.bootstrap, percentiles): it holds for these training
    languages.

    Args:
        scores: `[training languages, test languages]`, percent; a language with itself is left out.
        trained_on: Codes of the first axis.
        languages: Codes of the second.
        trait: What may be shared.
        seed: Of permutations and resamples.
    """
    everyone = list(dict.fromkeys([*trained_on, *languages]))
    _, traits = np.unique([getattr(language(code), trait) for code in everyone], return_inverse=True)
    rows, columns = (
        np.array([everyone.index(code) for code in trained_on]),
        np.array([everyone.index(code) for code in languages], dtype=np.int64),
    )
    source, target = np.nonzero(rows[:, None] != columns[None, :])
    values = scores[source, target]
    shared = traits[rows[source]] == traits[columns[target]]
    plain = Kinship(
        trait,
        len(values),
        int(shared.sum()),
        float(values[shared].mean()) if shared.any() else None,
        float(values[~shared].mean()) if not shared.all() else None,
    )
    if not 0 < plain.sharing < plain.pairs or np.ptp(values) == 0:
        return plain
    left = _without_effects(values, source, target)
    if np.ptp(left) < 1e-9:
        return plain
    ranks = stats.rankdata(left)

    def correlation(permuted: np.ndarray) -> float:
        return _correlation(ranks, permuted[rows[source]] == permuted[columns[target]])

    test = stats.permutation_test(
        (traits,),
        correlation,
        permutation_type="pairings",
        vectorized=False,
        n_resamples=_SAMPLES,
        rng=np.random.default_rng([seed, len(values)]),
    )
    low, high = _interval(left, shared, target, len(languages), seed) if len(languages) >= 4 else (None, None)
    return replace(
        plain,
        rho=_correlation(stats.rankdata(values), shared),
        adjusted=float(test.statistic),
        low=low,
        high=high,
        p_value=float(test.pvalue),
    )


def _interval(
    left: np.ndarray, shared: np.ndarray, target: np.ndarray, number: int, seed: int
) -> tuple[float, float]:
    """Percentiles of the correlation over draws of the `number` test languages, each with all its scores."""

    def of_drawn(drawn: np.ndarray) -> float:
        chosen = np.concatenate([np.flatnonzero(target == place) for place in drawn])
        return _correlation(stats.rankdata(left[chosen]), shared[chosen])

    drawn = stats.bootstrap(
        (np.arange(number),),
        of_drawn,
        vectorized=False,
        confidence_level=CONFIDENCE,
        n_resamples=_SAMPLES,
        method="percentile",
        rng=np.random.default_rng([seed, number]),
    ).confidence_interval
    return float(drawn.low), float(drawn.high)


def _without_effects(values: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Residuals of an additive model of the two languages, by least squares."""
    of_source = source[:, None] == np.arange(source.max() + 1)
    of_target = target[:, None] == np.arange(target.max() + 1)
    design = np.concatenate([of_source, of_target], axis=1).astype(np.float64)
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def _correlation(ranks: np.ndarray, shared: np.ndarray) -> float:
    """Spearman's correlation of ranks with 0 and 1, which are as good as their ranks."""
    ones = shared - shared.mean()
    centered = ranks - ranks.mean()
    scale = float(np.sqrt((ones @ ones) * (centered @ centered)))
    return float(ones @ centered) / scale if scale > 0 else 0.0
