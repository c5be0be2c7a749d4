"""Two methods compared over tasks, languages and seeds: the tables of a study's report, as data.

    runs = load_runs({("xnli", "prompt", 0): {"de": "….jsonl.gz", …}, ("xnli", "finetune", 0): {…}, …})
    study = compare(runs)
    study.scores        # per task, language and method: mean, deviation and t-interval over seeds
    study.differences   # per task and language: prompt minus fine-tuning, interval, p, Holm's p, win or loss
    study.tallies       # per task: wins, ties, losses
    study.groups        # per task: mean difference over resource levels, families, scripts, all, zero-shot
    study.correlations  # per task: difference against pre-training tokens
    study.to_dict()     # all of it as flat records, for JSON or pandas.DataFrame(…["differences"])

How intervals and p-values come about is said in statistics.py, and who wins when in `Difference`
(compared.py, which has the tables). The paper's
claims are judged in verdicts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xlprompt.data.languages import language as language_row
from xlprompt.evaluation.comparison.compared import (
    LEVEL,
    Comparison,
    Difference,
    GroupDifference,
    MethodScore,
    Outcome,
    Samples,
    Seeds,
    Tally,
    TaskComparison,
)
from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.statistics import SAMPLES, Part, estimate, holm, spread
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED


def compare(
    runs: Mapping[str, TaskRuns],
    *,
    method: str = "prompt",
    baseline: str = "finetune",
    train_language: str = "en",
    also_trained_on: Sequence[str] = (),
    seeds: Seeds = "independent",
    samples: int = SAMPLES,
    seed: int = BOOTSTRAP_SEED,
) -> Comparison:
    """Compare two methods by the stored predictions of their runs.

    Args:
        runs: From runs.load_runs.
        method: The method whose wins are counted.
        baseline: The method it is compared with.
        train_language: The language trained on.
        also_trained_on: Further languages trained on.
        seeds: How runs of the same seed number belong together. "independent": the effect of seed 1 on
            prompts says nothing about its effect on fine-tuning. Runs of one number share the order of the
            data; what that makes them share makes these intervals too wide where it moves both alike, too
            narrow where it moves them apart. With few seeds they are still the shorter ones, having twice the
            degrees of freedom. "paired": differences
            are taken seed by seed, which is exact for any dependence; it needs the same seed numbers.
        samples: Resamples of the examples.
        seed: Of the resamples; the same runs give the same figures.

    Raises:
        ValueError: A task lacks runs of a method, or paired runs have different seed numbers.
        DataError: A language is not in the language table.
    """
    tasks = {
        name: _task_comparison(of_task, method, baseline, seeds, samples, seed)
        for name, of_task in runs.items()
    }
    scores: list[MethodScore] = []
    differences: list[Difference] = []
    trained = (train_language, *also_trained_on)
    for name, task in tasks.items():
        for code in task.examples:
            for which, of_method in ((method, task.method), (baseline, task.baseline)):
                counts = runs[name].languages[code]
                collapsed = sum(counts.collapsed[run] for run in runs[name].of(which) if counts.collapsed)
                scores.append(_method_score(task, code, which, of_method, counts.floor, collapsed))
        differences += _differences(task)
    return Comparison(
        method,
        baseline,
        train_language,
        tasks,
        tuple(scores),
        tuple(differences),
        tuple(_tally(name, differences) for name in tasks),
        tuple(group for task in tasks.values() for group in _groups(task, trained)),
        tuple(also_trained_on),
        seed,
    )


def _task_comparison(
    runs: TaskRuns, method: str, baseline: str, seeds: Seeds, samples: int, seed: int
) -> TaskComparison:
    ours, theirs = runs.seeds(method), runs.seeds(baseline)
    if seeds == "paired" and ours != theirs:
        raise ValueError(
            f"Paired seeds need the same numbers in both methods; task {runs.task!r} has {list(ours)} of "
            f"{method} and {list(theirs)} of {baseline}. Train the missing ones, or take seeds as "
            "independent."
        )
    values = {code: counts.scores for code, counts in runs.languages.items()}

    def of(name: str) -> Samples:
        places = runs.of(name)
        return Samples(
            {code: values[code][places] for code in values}, runs.replicates(name, samples=samples, seed=seed)
        )

    return TaskComparison(
        runs.task,
        runs.metric,
        runs.split,
        seeds,
        ours,
        theirs,
        {code: counts.examples for code, counts in runs.languages.items()},
        of(method),
        of(baseline),
    )


def _method_score(
    task: TaskComparison, code: str, method: str, samples: Samples, floor: float, collapsed: int
) -> MethodScore:
    values = samples.values[code]
    mean = estimate([Part(1.0, values, samples.replicates[code])], task.examples[code])
    return MethodScore(
        task.task,
        code,
        method,
        tuple(float(value) for value in values),
        spread(values),
        mean,
        floor,
        None if mean.low is None else mean.low > floor,
        collapsed,
    )


def _differences(task: TaskComparison) -> list[Difference]:
    estimates = {code: task.contrast({code: 1.0}) for code in task.examples}
    far = {code: each.p_far() for code, each in estimates.items()}
    p_values = {code: p_value for code, p_value in far.items() if p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
    rows = []
    for code, each in estimates.items():
        p_adjusted = adjusted.get(code)
        outcome: Outcome | None = None if p_adjusted is None else "tie"
        if p_adjusted is not None and p_adjusted <= LEVEL:
            outcome = "win" if each.value > 0 else "loss"
        ours, theirs = task.method.values[code].mean(), task.baseline.values[code].mean()
        rows.append(Difference(task.task, code, float(ours), float(theirs), each, p_adjusted, outcome))
    return rows


def _tally(name: str, differences: Sequence[Difference]) -> Tally:
    rows = [row for row in differences if row.task == name]
    outcomes = [row.outcome for row in rows]
    ahead = sum(row.estimate.value > 0 for row in rows)
    counts = (outcomes.count("win"), outcomes.count("tie"), outcomes.count("loss"))
    return Tally(name, *counts, ahead, tested=any(row.p_adjusted is not None for row in rows))


def _groups(task: TaskComparison, trained: Sequence[str]) -> list[GroupDifference]:
    zero_shot = [code for code in task.examples if code not in trained]
    groups: dict[tuple[str, str], list[str]] = {("all", "all"): list(task.examples)}
    if zero_shot:
        groups["zero-shot", "zero-shot"] = zero_shot
    for grouping in ("resource level", "family", "script"):
        for code in zero_shot:
            group = getattr(language_row(code), grouping.replace(" ", "_"))
            groups.setdefault((grouping, group), []).append(code)
    rows = []
    for (grouping, group), codes in groups.items():
        ours, theirs = (
            float(np.mean([samples.values[code].mean() for code in codes]))
            for samples in (task.method, task.baseline)
        )
        difference = task.contrast(dict.fromkeys(codes, 1 / len(codes)))
        rows.append(GroupDifference(task.task, grouping, group, tuple(codes), ours, theirs, difference))
    return rows
