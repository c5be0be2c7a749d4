"""Scores by language and what they say about zero-shot transfer: mean over languages and transfer gap.

A report is plain data. table.py and chart.py draw it; xlprompt.training hands its metrics to the tracker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlprompt.data.languages import language as language_row
from xlprompt.data.languages import resource_order
from xlprompt.data.tasks.task_type import Task
from xlprompt.evaluation.answers.predictions import Labels
from xlprompt.evaluation.scores.metrics import Score, has_metric, label_shares, score


@dataclass(frozen=True)
class LanguageResult:
    """The scores of one language.

    Attributes:
        language: Its code.
        examples: Pairs or sentences scored.
        readouts: Answers scored: words for tagging, else as many as examples.
        scores: Metric names to scores in percent.
        majority: Accuracy in percent of always giving the commonest gold label.
        top_predicted: The label predicted most often.
        top_predicted_share: Its share of the predictions in percent.
        collapsed: Whether the predictions fell onto one label, or clearly below the majority baseline, by the
            rule of metrics.label_shares.
        trivial_baseline: Where answers are parts of texts, the main metric of what needs no model (see
            scores.floors); else, and where nobody measured it, None.
    """

    language: str
    examples: int
    readouts: int
    scores: Mapping[str, Score]
    majority: float
    top_predicted: str
    top_predicted_share: float
    collapsed: bool
    trivial_baseline: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; bootstrap replicates are left out."""
        trivial = self.trivial_baseline
        return {
            "language": self.language,
            "examples": self.examples,
            "readouts": self.readouts,
            "scores": {name: _score_dict(value) for name, value in self.scores.items()},
            "majority": self.majority,
            "top_predicted": self.top_predicted,
            "top_predicted_share": self.top_predicted_share,
            "collapsed": self.collapsed,
            **({} if trivial is None else {"trivial_baseline": trivial}),
        }


def language_result(
    task: Task, language: str, gold: Labels, predicted: Labels, *, trivial_baseline: float | None = None
) -> LanguageResult:
    """Score one language's predictions (see metrics.score and metrics.label_shares for shapes and errors).

    Where the test set has no entity, F1, precision and recall are not defined.
    """
    shares = label_shares(task, gold, predicted)
    scores = score(task, gold, predicted, language=language)
    scores = {
        name: each if has_metric(task, name, gold) else Score(math.nan) for name, each in scores.items()
    }
    return LanguageResult(
        language=language,
        examples=len(gold),
        readouts=sum(len(labels) for labels in predicted),
        scores=scores,
        majority=shares.majority,
        top_predicted=shares.top_predicted,
        top_predicted_share=shares.top_predicted_share,
        collapsed=shares.collapsed,
        trivial_baseline=trivial_baseline,
    )


@dataclass(frozen=True)
class TransferReport:
    """One trained model's scores over languages.

    Standard errors of means and of the gap come from those of the single scores and from how their bootstrap
    replicates go together: `sqrt(sum_ij w_i w_j r_ij se_i se_j)`, with `w` the languages' weights, `se` their
    standard errors and `r` the correlations of their replicates. So each language has the factor n / (n-1)
    of its own number of examples (see metrics.score; Rao and Wu 1988 have it for each stratum alike), and the
    mean over one language has that language's standard error.

    Test sets of equal size are resampled together, so items that several languages share (XNLI) are counted
    with their correlation; test sets of different sizes are taken as independent. Where parallel sets lost
    different rows (PAWS-X), the standard error of a mean is therefore too small, a lower bound. It is the
    error of the test sample, given these languages and this one run: other languages or seeds would add to
    it.

    Attributes:
        task: The task's name.
        split: "validation" or "test".
        metric: The metric that the task is judged by.
        train_language: The language trained on; it need not be among the results.
        results: Language codes to results, in the order they were evaluated.
        also_trained_on: Further languages trained on.

    Raises:
        ValueError: No language, a language under another one's code, or differing metrics.
    """

    task: str
    split: str
    metric: str
    train_language: str
    results: Mapping[str, LanguageResult]
    also_trained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse results that cannot be averaged."""
        if not self.results:
            raise ValueError("A transfer report needs at least one evaluated language.")
        names = set(next(iter(self.results.values())).scores)
        if self.metric not in names:
            raise ValueError(f"No language has the main metric {self.metric!r}, only {sorted(names)}.")
        for code, result in self.results.items():
            if result.language != code:
                raise ValueError(f"The result of {result.language!r} is filed under {code!r}.")
            if set(result.scores) != names:
                raise ValueError(f"{code!r} has the metrics {sorted(result.scores)}, others {sorted(names)}.")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics every language has, the main one first."""
        names = next(iter(self.results.values())).scores
        return (self.metric, *(name for name in names if name != self.metric))

    @property
    def scored_languages(self) -> tuple[str, ...]:
        """The evaluated languages in which the main metric is defined; means are over no others."""
        return self._scored(self.metric)

    @property
    def zero_shot_languages(self) -> tuple[str, ...]:
        """The evaluated languages that were not trained on."""
        return tuple(code for code in self.results if code not in self.trained_languages)

    @property
    def zero_shot_scored(self) -> tuple[str, ...]:
        """Those of them in which the main metric is defined."""
        return self._zero_shot(self.metric)

    @property
    def trained_languages(self) -> tuple[str, ...]:
        """All languages trained on, the one that chose the checkpoint first."""
        return (self.train_language, *self.also_trained_on)

    @property
    def trained_on(self) -> str:
        """The same in words: "English", "English, German" or "English and 19 more"."""
        names = [language_row(code).name for code in self.trained_languages]
        return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"

    @property
    def collapsed_languages(self) -> tuple[str, ...]:
        """The evaluated languages whose predictions collapsed."""
        return tuple(code for code, result in self.results.items() if result.collapsed)

    def by_resources(self) -> list[LanguageResult]:
        """Return the results by pre-training tokens, most first, then unseen and then unknown languages.

        Raises:
            DataError: A language code is not in the language table.
        """
        return sorted(self.results.values(), key=lambda result: resource_order(result.language))

    def mean(self, metric: str | None = None) -> Score:
        """Plain mean over all scored languages, the training language included, as in XTREME.

        Of a metric that is not defined in one of them it is over the others.
        """
        metric = metric or self.metric
        return self._mean(self._scored(metric), metric)

    def mean_zero_shot(self, metric: str | None = None) -> Score | None:
        """Mean over the languages not trained on; None if there are none."""
        metric = metric or self.metric
        languages = self._zero_shot(metric)
        return self._mean(languages, metric) if languages else None

    def transfer_gap(self, metric: str | None = None) -> Score | None:
        """Training language's score minus the zero-shot mean, in percentage points; None without both."""
        metric = metric or self.metric
        zero_shot = self.mean_zero_shot(metric)
        if zero_shot is None or self.train_language not in self._scored(metric):
            return None
        trained = self.results[self.train_language].scores[metric]
        weights = {self.train_language: 1.0, **_evenly(self._zero_shot(metric), -1.0)}
        return Score(trained.value - zero_shot.value, self._stderr(weights, metric))

    def metrics(self) -> dict[str, float]:
        """Return finite numbers under flat names for the tracker.

        `<split>/<metric>/<language>`, `<split>/<metric>/mean`, and where they exist
        `<split>/<metric>/mean_zero_shot` and `<split>/<metric>/transfer_gap`; `<split>/collapsed_languages`
        is a count.
        """
        flat: dict[str, float] = {}
        for metric in self.metric_names:
            for code, result in self.results.items():
                if result.scores[metric].is_defined:
                    flat[f"{self.split}/{metric}/{code}"] = result.scores[metric].value
            for name, summary in self._summaries(metric).items():
                if summary is not None and summary.is_defined:
                    flat[f"{self.split}/{metric}/{name}"] = summary.value
        flat[f"{self.split}/collapsed_languages"] = float(len(self.collapsed_languages))
        return flat

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: every score, mean and gap with its standard error, None if absent."""
        return {
            "task": self.task,
            "split": self.split,
            "metric": self.metric,
            "train_language": self.train_language,
            "also_trained_on": list(self.also_trained_on),
            "collapsed_languages": list(self.collapsed_languages),
            "summary": {
                metric: {
                    name: None if summary is None else _score_dict(summary)
                    for name, summary in self._summaries(metric).items()
                }
                for metric in self.metric_names
            },
            "results": {code: result.to_dict() for code, result in self.results.items()},
        }

    def _scored(self, metric: str) -> tuple[str, ...]:
        """The languages in which both the main metric and this one are defined."""
        return tuple(
            code
            for code, result in self.results.items()
            if result.scores[self.metric].is_defined and result.scores[metric].is_defined
        )

    def _zero_shot(self, metric: str) -> tuple[str, ...]:
        """Those of them that were not trained on."""
        return tuple(code for code in self._scored(metric) if code not in self.trained_languages)

    def _summaries(self, metric: str) -> dict[str, Score | None]:
        return {
            "mean": self.mean(metric),
            "mean_zero_shot": self.mean_zero_shot(metric),
            "transfer_gap": self.transfer_gap(metric),
        }

    def _mean(self, languages: Sequence[str], metric: str) -> Score:
        if not languages:
            return Score(math.nan)
        value = float(np.mean([self.results[code].scores[metric].value for code in languages]))
        return Score(value, self._stderr(_evenly(languages, 1.0), metric))

    def _stderr(self, weights: Mapping[str, float], metric: str) -> float | None:
        """Standard error of the languages' weighted sum; None where a language has none."""
        total = np.zeros(())
        for code, weight in weights.items():
            deviations = _deviations(self.results[code].scores[metric])
            if deviations is None:
                return None
            total = total + weight * deviations  # [samples]
        return float(total.std(ddof=1))


def _evenly(languages: Sequence[str], weight: float) -> dict[str, float]:
    """The weight in equal parts."""
    return dict.fromkeys(languages, weight / len(languages))


def _deviations(result: Score) -> np.ndarray | None:
    """The replicates around their mean, `[samples]`, brought to the score's own standard error."""
    if result.stderr is None or result.replicates is None:
        return None
    around = result.replicates - result.replicates.mean()
    own = float(around.std(ddof=1))
    return around * (result.stderr / own) if own > 0 else around


def _score_dict(result: Score) -> dict[str, float | None]:
    return {"value": result.value if result.is_defined else None, "stderr": result.stderr}
