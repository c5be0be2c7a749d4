"""The four claims of the paper (arXiv 2311.07820), each judged by a stated rule.

A verdict is data: what was claimed, what came out, the rule in words, and the figures it rests on.
"Supported" and "not supported" both need evidence; what the data cannot decide is "undecided", which with
three seeds is the usual answer for a small effect. Intervals and p-values are those of compare.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xlprompt.data.how_many import first_of
from xlprompt.data.languages import language as language_row
from xlprompt.evaluation.comparison.compared import Comparison, Difference, differences_by_task
from xlprompt.evaluation.comparison.correlation import RankCorrelation, additive_effects, rank_correlation
from xlprompt.evaluation.comparison.rulings import (
    LEVEL,
    MARGIN,
    Ruling,
    low_resources_ruling,
    on_par_ruling,
    tokenization_ruling,
)
from xlprompt.evaluation.comparison.statistics import Estimate, Part, estimate, without_infinity
from xlprompt.evaluation.scores.floors import floor_name

CLAIMED_PERCENT = 0.13
"""The paper's trainable share in percent of all parameters, given with two decimals."""

OVER_PERCENT = 0.135
"""Shares from here on are larger than that, rounded to two decimals."""

LOW_RESOURCE = ("low", "extremely low")
HIGH_RESOURCE = ("high",)
_NAMED = 5  # languages that a reason lists


@dataclass(frozen=True)
class Verdict:
    """One claim judged.

    Attributes:
        claim: What the paper says.
        verdict: The outcome of the rule.
        rule: The rule in words, with its numbers.
        evidence: What it rests on, as JSON can hold it; "reason" says in words what decided.
    """

    claim: str
    verdict: Ruling
    rule: str
    evidence: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        values: dict[str, Any] = without_infinity({**asdict(self), "evidence": dict(self.evidence)})
        return values


def judge(
    comparison: Comparison,
    *,
    trainable_percent: Mapping[str, float] | None = None,
    fertility: Mapping[str, float] | None = None,
    granularity: GranularityEffect | None = None,
    margin: float = MARGIN,
) -> tuple[Verdict, Verdict, Verdict, Verdict]:
    """Judge the paper's four claims.

    Args:
        comparison: Prompt tuning as the method, full fine-tuning as the baseline.
        trainable_percent: By task, the largest trained share of its prompt runs, head included, in percent of
            the backbone's parameters (the runs' parameter `trainable_percent`).
        fertility: By language, subtokens a word of the backbone's tokenizer (tokenization.fertility).
        granularity: From the experiment that the fourth claim needs: by how many points prompt minus
            fine-tuning changes when a high-resource language's text is cut more finely, and where.
        margin: Percentage points; see MARGIN.

    Returns:
        The verdicts on claims 1 to 4.
    """
    first = _on_par_everywhere(comparison, margin)
    third, effects = _low_resources_gain_more(comparison, margin)
    return (
        first,
        _with_few_parameters(comparison, first, trainable_percent),
        third,
        _through_tokenization(comparison, third, effects, fertility, granularity, margin),
    )


def _on_par_everywhere(comparison: Comparison, margin: float) -> Verdict:
    rule = (
        f"Supported: in every task and language the 95 % interval of {comparison.method} minus "
        f"{comparison.baseline} lies above -{_points(margin)}, and one of the two beats the "
        f"{floor_name(comparison.tasks)} (an intersection-union test, Berger 1982, which needs no "
        "correction). Not supported: in some task and language the difference is below "
        f"-{_points(margin)} (one-sided at {LEVEL / 2:g}, Holm over all of them). Else undecided."
    )
    rows = comparison.differences
    skilled = _skilled(comparison)
    unskilled = [row for row in rows if _cell(row) not in skilled]
    ruling, below, shown = on_par_ruling(
        [row.estimate for row in rows], [_cell(row) in skilled for row in rows], margin
    )
    worse, on_par = [rows[place] for place in below], [rows[place] for place in shown]
    if worse:
        reason = f"clearly worse in {len(worse)} of {len(rows)}: {first_of(_names(worse), _NAMED)}"
    elif ruling == "supported":
        reason = f"on par or better in all {len(rows)}"
    elif all(row.estimate.low is None for row in rows):
        reason = _one_seed_says_nothing(_of_one_seed(comparison, comparison.tasks))
    else:
        reason = f"shown to be on par or better in {len(on_par)} of {len(rows)}, clearly worse in none"
    evidence = {
        "reason": reason,
        "compared": len(rows),
        "on_par_or_better": _names(on_par),
        "worse": _names(worse),
        "not_above_majority": _names(unskilled),
        "wins": sum(tally.wins for tally in comparison.tallies),
        "ties": sum(tally.ties for tally in comparison.tallies),
        "losses": sum(tally.losses for tally in comparison.tallies),
    }
    claim = "Prompt tuning is on par with or better than fine-tuning in all languages"
    return Verdict(claim, ruling, rule, evidence)


def _with_few_parameters(
    comparison: Comparison, first: Verdict, trainable_percent: Mapping[str, float] | None
) -> Verdict:
    rule = (
        f"Where every prompt run trains at most {CLAIMED_PERCENT} % of the parameters (rounded to two "
        "decimals, head included), the verdict is that on the first claim. Where one trains more, or shares "
        "are not known, the claim was not put to the test: undecided."
    )
    shares = {name: (trainable_percent or {}).get(name) for name in comparison.tasks}
    ruling: Ruling = "undecided"
    over = {name: share for name, share in shares.items() if share is not None and share >= OVER_PERCENT}
    if over:
        most = max(over, key=lambda name: over[name])
        reason = f"the prompt runs of {most} train {over[most]:.3g} %"
    elif None in shares.values():
        unknown = [name for name, share in shares.items() if share is None]
        reason = f"the trainable share is not known in {', '.join(unknown)}"
    else:
        ruling, reason = first.verdict, f"the shares are as claimed; first claim: {first.evidence['reason']}"
    claim = f"It is, with at most {CLAIMED_PERCENT} % of the parameters"
    return Verdict(claim, ruling, rule, {"reason": reason, "trainable_percent": shares})


def _low_resources_gain_more(comparison: Comparison, margin: float) -> tuple[Verdict, dict[str, float]]:
    rule = (
        "Mean difference over the zero-shot languages of low and extremely low resources minus that over "
        "those of high resources, averaged over the tasks that have both; languages in which neither method "
        f"beats the {floor_name(comparison.tasks)} are left out. Supported: its 95 % interval lies above 0, "
        "and languages with fewer pre-training tokens rank higher in the difference (Spearman over all "
        f"zero-shot languages, task effects removed by least squares, permutation p at most {LEVEL:g}). Not "
        f"supported: the interval lies below {_points(margin)}, above 0 or not: less counts as none. Else "
        "undecided."
    )
    skilled = _skilled(comparison)
    usable = [
        row
        for row in comparison.differences
        if row.language not in comparison.trained_languages and _cell(row) in skilled
    ]
    effects = additive_effects(differences_by_task(usable))
    ranks = _correlate_with_tokens(effects)
    contrasts: dict[str, Estimate] = {}
    weights: dict[str, dict[str, float]] = {}
    for name, task in comparison.tasks.items():
        codes = [row.language for row in usable if row.task == name]
        low = [code for code in codes if language_row(code).resource_level in LOW_RESOURCE]
        high = [code for code in codes if language_row(code).resource_level in HIGH_RESOURCE]
        if low and high:
            weights[name] = dict.fromkeys(low, 1 / len(low)) | dict.fromkeys(high, -1 / len(high))
            contrasts[name] = task.contrast(weights[name])
    advantage = None
    if not contrasts and (single := _of_one_seed(comparison, comparison.tasks)):
        reason = _one_seed_says_nothing(single)
    elif not contrasts:
        reason = "no task is shown above the "
        reason += f"{floor_name(comparison.tasks)} in both low- and high-resource languages"
    else:
        advantage = _mean_over_tasks(comparison, weights)
        if advantage.low is None or advantage.high is None:
            reason = _one_seed_says_nothing(_of_one_seed(comparison, weights))
        else:
            reason = f"advantage of low resources {advantage.value:+.2f} points "
            reason += f"[{advantage.low:+.2f}, {advantage.high:+.2f}]"
            if ranks.rho is not None and ranks.p_value is not None:
                reason += f", rho with tokens {ranks.rho:+.2f} (p = {ranks.p_value:.2g})"
    ruling = low_resources_ruling(advantage, ranks.rho, ranks.p_value, margin)
    evidence = {
        "reason": reason,
        "advantage": None if advantage is None else asdict(advantage),
        "by_task": {name: asdict(each) for name, each in contrasts.items()},
        "rank_correlation_with_tokens": asdict(ranks),
        "language_effects": effects,
    }
    return Verdict("It helps low-resource languages more", ruling, rule, evidence), effects


def _of_one_seed(comparison: Comparison, tasks: Iterable[str]) -> list[str]:
    """Tasks and methods with a single run, such as `xnli finetune`."""
    return [
        f"{name} {method}"
        for name in tasks
        for method, seeds in (
            (comparison.method, comparison.tasks[name].method_seeds),
            (comparison.baseline, comparison.tasks[name].baseline_seeds),
        )
        if len(seeds) == 1
    ]


def _one_seed_says_nothing(single: Sequence[str]) -> str:
    return f"one seed says nothing about others, and there is one of {' and '.join(single)}"


def _through_tokenization(
    comparison: Comparison,
    third: Verdict,
    effects: Mapping[str, float],
    fertility: Mapping[str, float] | None,
    granularity: GranularityEffect | None,
    margin: float,
) -> Verdict:
    rule = (
        "Supported needs all of: the third claim supported; languages with more subtokens a word rank higher "
        "in the difference, pre-training tokens held fixed (partial Spearman, permutation p at most "
        f"{LEVEL:g}); and the experiment that cuts high-resource languages more finely raises the "
        "difference (95 % interval above 0). Not supported: the third claim is not, so that there is nothing "
        f"to explain; or the experiment's interval lies below {_points(margin)}, above 0 or not; or the "
        "partial correlation is negative (same level). Else undecided: without the experiment no correlation "
        "can tell tokenization from resources. The permutations are of languages and take the seeds as they "
        "are; so where a task has one seed of a method the correlation decides nothing."
    )
    cut = _by_cut(comparison, effects, fertility)
    slope = None if granularity is None else granularity.slope
    ruling = tokenization_ruling(third.verdict, slope, cut.partial.rho, cut.p_value, margin)
    evidence = {
        "reason": _why_tokenization(ruling, third, cut, granularity, margin),
        "third_claim": third.verdict,
        "partial_rank_correlation_with_fertility": asdict(cut.partial),
        "granularity_experiment": None if granularity is None else asdict(granularity),
    }
    claim = "It does because finer tokenization leaves subwords that act as implicit discrete prompts"
    return Verdict(claim, ruling, rule, evidence)


@dataclass(frozen=True)
class _ByCut:
    """How the difference goes with subtokens a word over languages, pre-training tokens held fixed.

    Attributes:
        partial: Their partial rank correlation.
        single: Tasks and methods of one seed; where there are any the correlation decides nothing.
    """

    partial: RankCorrelation
    single: Sequence[str]

    @property
    def p_value(self) -> float | None:
        """The correlation's p-value; None where it decides nothing."""
        return None if self.single else self.partial.p_value

    def goes(self, sign: int) -> bool:
        """Whether the correlation is beyond noise and of this sign."""
        return self.p_value is not None and self.p_value <= LEVEL and sign * (self.partial.rho or 0) > 0

    def in_words(self) -> str:
        """Return the figures in brackets, after a space; nothing where there are none."""
        of = self.partial
        if of.rho is None or of.p_value is None:
            return ""
        return f" (rho {of.rho:+.2f}, p = {of.p_value:.2g}, {of.languages} languages)"


def _by_cut(
    comparison: Comparison, effects: Mapping[str, float], fertility: Mapping[str, float] | None
) -> _ByCut:
    known = [code for code in effects if fertility and code in fertility and language_row(code).tokens]
    partial = RankCorrelation(None, None, None, None, len(known))
    if fertility and known:
        partial = rank_correlation(
            [fertility[code] for code in known],
            [effects[code] for code in known],
            given=_log_tokens(known),
        )
    return _ByCut(partial, _of_one_seed(comparison, comparison.tasks))


def _why_tokenization(
    ruling: Ruling, third: Verdict, cut: _ByCut, granularity: GranularityEffect | None, margin: float
) -> str:
    """What decided the fourth claim, or what is missing for a decision."""
    slope = None if granularity is None else granularity.slope
    experiment = _experiment_in_words(granularity)
    if third.verdict == "not supported":
        return "there is no advantage of low-resource languages to explain"
    if slope is not None and slope.high is not None and slope.high < margin:
        if slope.low is not None and slope.low > 0:
            return f"a finer cut raises the difference by less than {_points(margin)}{experiment}"
        return f"a finer cut does not raise the difference{experiment}"
    if cut.goes(-1):
        return f"a finer cut goes with a smaller difference{cut.in_words()}"
    if ruling == "supported":
        return f"correlation{cut.in_words()} and experiment{experiment} agree"
    missing = [] if third.verdict == "supported" else ["the third claim is undecided"]
    if not cut.goes(1):
        what = f"one seed of {' and '.join(cut.single)}" if cut.single else f"not shown{cut.in_words()}"
        missing.append(f"the correlation: {what}")
    if slope is None or slope.low is None:
        missing.append("the experiment on token granularity has not been done, or has no usable result")
    elif slope.low <= 0:
        missing.append(f"the experiment does not decide{experiment}")
    return "; ".join(missing)


def _experiment_in_words(granularity: GranularityEffect | None) -> str:
    """The slope in brackets, after a space; nothing where there is none with an interval."""
    if granularity is None or granularity.slope.low is None or granularity.slope.high is None:
        return ""
    slope = granularity.slope
    return f" ({slope.value:+.2f} points [{slope.low:+.2f}, {slope.high:+.2f}], {granularity.where})"


def _points(margin: float) -> str:
    return "1 point" if margin == 1 else f"{margin:g} points"


def _cell(row: Difference) -> tuple[str, str]:
    return row.task, row.language


def _skilled(comparison: Comparison) -> set[tuple[str, str]]:
    """Tasks and languages in which one of the methods is shown to beat what needs no model."""
    return {(score.task, score.language) for score in comparison.scores if score.skilled}


def _names(rows: Sequence[Difference]) -> list[str]:
    return [f"{row.task}/{row.language}" for row in rows]


def _log_tokens(codes: Sequence[str]) -> np.ndarray:
    return np.log([language_row(code).tokens for code in codes])


def _correlate_with_tokens(effects: Mapping[str, float]) -> RankCorrelation:
    seen = [code for code in effects if language_row(code).tokens]
    if not seen:
        return RankCorrelation(None, None, None, None, 0)
    return rank_correlation(_log_tokens(seen), [effects[code] for code in seen])


def _mean_over_tasks(comparison: Comparison, weights: Mapping[str, Mapping[str, float]]) -> Estimate:
    """Mean over tasks of a weighted sum over languages of the differences; tasks have runs of their own."""
    parts: list[Part] = []
    for name, of_task in weights.items():
        parts += comparison.tasks[name].parts(of_task, scale=1 / len(weights))
    smallest = min(comparison.tasks[name].smallest(list(of_task)) for name, of_task in weights.items())
    return estimate(parts, smallest)


@dataclass(frozen=True)
class GranularityEffect:
    """What a sweep says about the claim that finer cuts favor the method, and where it was measured.

    Attributes:
        slope: `GranularityFindings.pooled`.
        languages: By task, the languages that it is of.
        shares: Shares of words cut, rising.
        seeds: Runs of a method and task, at least.
        cut: What was cut finely: "evaluation" or "both" (training text too).
    """

    slope: Estimate
    languages: Mapping[str, tuple[str, ...]]
    shares: tuple[float, ...]
    seeds: int
    cut: str

    @property
    def where(self) -> str:
        """Tasks with their numbers of languages, shares, seeds and what was cut, in words."""
        of_task = ", ".join(f"{task} in {len(codes)}" for task, codes in self.languages.items())
        text = "training and test text" if self.cut == "both" else "test text"
        cut = f"up to {100 * self.shares[-1]:g} % of words cut in {text}"
        return f"{of_task} languages; {cut}; seeds: {self.seeds}"
