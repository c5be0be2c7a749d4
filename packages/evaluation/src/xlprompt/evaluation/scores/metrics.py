"""Scores with standard errors, the majority baseline, and the test for a collapse onto one label.

Every metric here is a ratio of two sums over examples (right words over words, say), so each example is
reduced to a few counts once, and resampling works on the counts. Values are percentages. Means over languages
are transfer_scores.py's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from xlprompt.data.tasks import TASKS
from xlprompt.data.tasks.kinds.labels import sum_by_example
from xlprompt.data.tasks.task_type import Task
from xlprompt.evaluation.answers.predictions import Labels

BOOTSTRAP_SAMPLES = 1000
"""Resamples per score; the standard error then carries a relative noise of 1/sqrt(2 x 1000) = 2.2 %."""

BOOTSTRAP_SEED = 20231114
"""Fixed and no part of a recipe: the same predictions give the same standard errors."""

COLLAPSE_EXCESS = 2 / 3
"""Share of the other labels' items that one label may take before it is a collapse (see label_shares)."""

COLLAPSED = "accuracy clearly below the majority, or one label takes two thirds of the others' items"
"""The rule in words, as tables and cards give it."""

COLLAPSE_MARGIN = 2
"""Standard errors below the majority baseline from which on it is no accident (see label_shares)."""


@dataclass(frozen=True)
class Score:
    """A score in percent.

    Attributes:
        value: 0 to 100; NaN where it is not defined: F1, precision and recall of a test set without entities.
        stderr: Standard error in percentage points, over the draw of the test examples; None for fewer than
            two examples. It says nothing about the spread over training seeds.
        replicates: The score on BOOTSTRAP_SAMPLES resamples of the examples, `[samples]`; None as above. Test
            sets of equal size are resampled with the same draws, so that replicates of parallel test sets can
            be combined one by one. Their deviation is not `stderr`: it lacks a factor (see score). Means over
            languages have none.
    """

    value: float
    stderr: float | None = None
    replicates: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def is_defined(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class LabelShares:
    """How a model uses its labels, against how the gold standard does.

    Attributes:
        majority: Share of the commonest gold label in percent, which is the accuracy of always giving it.
        top_predicted: The label predicted most often; empty where a task has no labels.
        top_predicted_share: Its share of all predictions in percent.
        collapsed: Whether the predictions collapsed, by the rule of label_shares.
    """

    majority: float
    top_predicted: str
    top_predicted_share: float
    collapsed: bool


def main_metric(task: Task) -> str:
    """Return the key in `score`'s answer that the task is judged by, such as "accuracy"."""
    return task.metrics[0]


def metric_title(task: str, metric: str) -> str:
    """What a metric is called for people: "entity F1" of tags, "token F1" of answers in texts.

    Args:
        task: Name of a task; of one that is not known here metrics keep their own names.
        metric: One of its metrics.
    """
    known = TASKS.get(task)
    return metric if known is None else known.kind.metric_titles.get(metric, metric)


def score(task: Task, gold: Labels, predicted: Labels, *, language: str | None = None) -> dict[str, Score]:
    """Score predictions against the gold labels.

    - Texts with a label, and choices: `accuracy`.
    - Spans: the mean over questions of token `f1` and of `exact_match` by MLQA's rules for the language, and
      of `squad_f1` and `squad_exact_match` by SQuAD's (see data.tasks.kinds.answer_text).
    - POS: `accuracy` over every word, and seqeval's micro `f1` as XTREME reports it. The two differ: seqeval
      takes UPOS tags for chunks. Version 1.2 splits a tag after its first letter, so equal neighbours merge
      into one chunk, a final X is lost, and CCONJ and SCONJ are the same type. It is left as it is, to stay
      comparable.
    - NER: micro entity `f1`, `precision` and `recall` by seqeval in its default mode, which agrees with
      conlleval and XTREME: an I- tag that continues nothing begins an entity. (Strict IOB2 would throw such
      gold spans away, and PAN-X holds some.) Also `accuracy` over every word, O included.

    A ratio with nothing below the line is 0, as in seqeval; see has_metric for where that misleads.

    Standard errors. Accuracy: the examples are a sample of clusters (sentences) with `n_i` words and `c_i`
    right ones; `se = sqrt(n / (n-1) * sum_i (c_i - p n_i)^2) / sum_i n_i`, the estimator for proportions in
    cluster sampling of Cochran, Sampling Techniques (3rd ed., 1977), chapter 3, without its finite-population
    correction; but for the factor n / (n-1) it is the clustered standard error of Miller 2024 (arXiv
    2411.00640). For pairs (one word each) it is `sqrt(p (1-p) / (n-1))`; XNLI's three hypotheses of one
    premise are taken as independent. F1, precision and recall: the standard deviation over a bootstrap of
    sentences (Efron and Tibshirani 1993, chapter 6) times `sqrt(n / (n-1))`, as a bootstrap's variance is
    (n-1) / n of the unbiased one (Rao and Wu 1988, Journal of the American Statistical Association
    83:231-241; the formula for accuracy has the same factor).

    Args:
        task: The task, for its kind and labels.
        gold: Gold label indices, one list per example, one entry per word (one in all for texts); of spans
            the texts that are right.
        predicted: The predicted ones, of the same shape; of spans one text.
        language: Code of the answers' language; needed for spans, whose rules depend on it.

    Returns:
        Metric names to scores; `main_metric(task)` is among them.

    Raises:
        ValueError: There is nothing to score, the shapes differ, or an index is not a label of the task.
    """
    ratios = example_counts(task, gold, predicted, language=language)
    names = list(ratios)
    numerators = np.stack([ratios[name][0] for name in names], axis=1)  # [examples, metrics]
    denominators = np.stack([ratios[name][1] for name in names], axis=1)  # [examples, metrics]
    values = percent(numerators.sum(axis=0), denominators.sum(axis=0))  # [metrics]
    examples = len(numerators)
    if examples < 2:
        return {name: Score(float(value)) for name, value in zip(names, values, strict=True)}

    sums = _bootstrap_sums(np.concatenate([numerators, denominators], axis=1))  # [samples, 2 x metrics]
    replicates = percent(sums[:, : len(names)], sums[:, len(names) :])  # [samples, metrics]
    scores = {}
    for column, name in enumerate(names):
        if name == "accuracy":
            stderr = 100 * _ratio_stderr(*ratios[name])
        else:
            stderr = float(np.sqrt(examples / (examples - 1)) * replicates[:, column].std(ddof=1))
        scores[name] = Score(float(values[column]), stderr, replicates[:, column].copy())
    return scores


def has_metric(task: Task, metric: str, gold: Labels) -> bool:
    """Whether gold labels are ones that a metric is of: F1, precision and recall need entities."""
    return task.kind.is_defined(task, metric, gold)


def has_main_metric(task: Task, gold: Labels) -> bool:
    """Whether gold labels are ones that the task's main metric is of."""
    return has_metric(task, main_metric(task), gold)


def main_value(task: Task, gold: Labels, predicted: Labels, *, language: str | None = None) -> float:
    """The value alone of the score that the task is judged by, without `score`'s bootstrap.

    Raises:
        ValueError: As in `score`.
    """
    metric = main_metric(task)
    counts = example_counts(task, gold, predicted, only=metric, language=language)
    numerators, denominators = counts[metric]
    return float(percent(numerators.sum(keepdims=True), denominators.sum(keepdims=True))[0])


def example_counts(
    task: Task, gold: Labels, predicted: Labels, *, only: str | None = None, language: str | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reduce each example to two counts; a score is 100 * sum(numerators) / sum(denominators).

    Accuracy: right words over words. F1: twice the right chunks over gold and predicted chunks together.
    Precision and recall: right chunks over predicted and over gold ones. The counting is the task's kind's.

    Args:
        task: The task, for its kind and labels.
        gold: As in `score`.
        predicted: As in `score`.
        only: The metric that is wanted, where others need not be counted.
        language: As in `score`.

    Returns:
        Metric names, those of `score`, to numerators and denominators, each float64 `[examples]`.

    Raises:
        ValueError: As in `score`.
    """
    if task.kind.labeled:
        _flatten(task, gold, predicted)
    else:
        _check_texts(gold, predicted)
    return task.kind.counts(task, gold, predicted, only, language)


def label_shares(task: Task, gold: Labels, predicted: Labels) -> LabelShares:
    """Compare which labels a model gives with which are right, and say whether it collapsed.

    Predictions have collapsed when either

    - they are right less often than the majority baseline by more than COLLAPSE_MARGIN standard errors of the
      difference (paired, clustered as in `score`), or
    - one label takes over at least COLLAPSE_EXCESS of what should have gone to the other labels. With the
      label's predicted share `s` and gold share `g`, `(s - g) / (1 - g) >= 2/3`.

    The second is relative to the gold share, so that it does not misfire on NER, where O is 24 to 74 % of the
    words: with O at 60 %, 87 % of the words must be called O, which leaves at most a third of the entity
    words. For three balanced classes the threshold is 78 % of the items, for two 83 %, for a rare POS tag 67
    to 70 %. It catches what accuracy does not: a tagger that answers O to everything sits exactly on the
    majority baseline. Answers that are parts of texts have no labels to collapse onto.

    Args:
        task: The task, for its labels.
        gold: Gold label indices, one list per example, one entry per word (one in all for a pair).
        predicted: The predicted ones, of the same shape.

    Raises:
        ValueError: There is nothing to compare, the shapes differ, or an index is not a label of the task.
    """
    if not task.kind.labeled:
        return LabelShares(0.0, "", 0.0, collapsed=False)
    gold_flat, predicted_flat, lengths = _flatten(task, gold, predicted)
    gold_counts = np.bincount(gold_flat, minlength=len(task.labels))
    predicted_counts = np.bincount(predicted_flat, minlength=len(task.labels))
    total = len(gold_flat)
    # The threshold is over one half, so only the label predicted most often can reach it.
    top = int(predicted_counts.argmax())
    excess = int(predicted_counts[top] - gold_counts[top])
    others = int(total - gold_counts[top])
    right, commonest = gold_flat == predicted_flat, gold_flat == gold_counts.argmax()
    advantage = right.astype(np.float64) - commonest  # [words], over the majority baseline
    return LabelShares(
        majority=100 * float(gold_counts.max()) / total,
        top_predicted=task.labels[top],
        top_predicted_share=100 * float(predicted_counts[top]) / total,
        collapsed=bool(
            _far_below_zero(sum_by_example(advantage, lengths), lengths)
            or (others > 0 and excess >= COLLAPSE_EXCESS * others)
        ),
    )


def _check_texts(gold: Labels, predicted: Labels) -> None:
    """Check texts that answer questions against each other."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} examples have gold answers but {len(predicted)} have predictions.")
    if not len(gold):
        raise ValueError("There is nothing to score: no example has an answer.")
    for example, (right, answer) in enumerate(zip(gold, predicted, strict=True)):
        if not right or len(answer) != 1:
            raise ValueError(
                f"Example {example} has {len(right)} gold answers and {len(answer)} predictions, not one of "
                "them and at least one gold answer."
            )


def _flatten(task: Task, gold: Labels, predicted: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check both against each other; return their flat indices, `[words]`, and the lengths, `[examples]`."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} examples have gold labels but {len(predicted)} have predictions.")
    lengths = np.array([len(labels) for labels in gold], dtype=np.int64)
    for example, (expected, labels) in enumerate(zip(lengths, predicted, strict=True)):
        if len(labels) != expected:
            raise ValueError(
                f"Example {example} has {expected} gold labels but {len(labels)} predictions. Every word "
                "must be predicted: one that was cut away counts as wrong, not as absent."
            )
    if lengths.sum() == 0:
        raise ValueError("There is nothing to score: no example has a label.")
    flat = []
    for name, nested in (("gold", gold), ("predicted", predicted)):
        indices = np.fromiter(chain.from_iterable(nested), dtype=np.int64, count=int(lengths.sum()))
        if indices.min() < 0 or indices.max() >= len(task.labels):
            bad = indices[(indices < 0) | (indices >= len(task.labels))][0]
            raise ValueError(
                f"{name} label index {bad} is not one of the {len(task.labels)} labels of task {task.name!r}."
            )
        flat.append(indices)
    return flat[0], flat[1], lengths


def percent(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Divide element by element into percentages; nothing over nothing is 0, as in seqeval."""
    return 100 * np.divide(numerators, denominators, out=np.zeros_like(numerators), where=denominators > 0)


def _ratio_stderr(numerator: np.ndarray, denominator: np.ndarray) -> float:
    """Standard error of the ratio of two sums over independent examples (formula and source: see score)."""
    n = len(numerator)
    residuals = numerator - numerator.sum() / denominator.sum() * denominator  # [examples]
    return float(np.sqrt(n / (n - 1) * np.square(residuals).sum()) / denominator.sum())


def _far_below_zero(numerator: np.ndarray, denominator: np.ndarray) -> bool:
    """Say whether the ratio of two sums is negative by more than COLLAPSE_MARGIN standard errors."""
    if len(numerator) < 2:  # no standard error
        return False
    return bool(
        numerator.sum() / denominator.sum() < -COLLAPSE_MARGIN * _ratio_stderr(numerator, denominator)
    )


def _bootstrap_sums(counts: np.ndarray) -> np.ndarray:
    """Sum the counts over BOOTSTRAP_SAMPLES resamples of the examples.

    The draws depend on the number of examples alone: parallel test sets, which have the same items in the
    same order, are resampled together, item by item. For unrelated test sets of one size the shared draws do
    no harm: their covariance is estimated, and it is zero on average.

    Args:
        counts: `[examples, columns]`.

    Returns:
        Sums, `[samples, columns]`.
    """
    n = len(counts)
    rng = np.random.default_rng([BOOTSTRAP_SEED, n])
    sums = np.empty((BOOTSTRAP_SAMPLES, counts.shape[1]))
    for sample in range(BOOTSTRAP_SAMPLES):
        times_drawn = np.bincount(rng.integers(n, size=n), minlength=n)
        sums[sample] = times_drawn.astype(np.float64) @ counts
    return sums
