"""The predictions of many runs, checked against each other and reduced to counts per example.

This is where a study's stored predictions come in; no model is needed. Runs of one task must have answered
the same examples with the same gold labels, or nothing could be paired. What comes out is small: per run and
example the two counts whose sums' ratio is the score, so that resampled scores are computed anew from counts
and never averaged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from xlprompt.data.errors import DataError
from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.data.how_many import how_many
from xlprompt.data.languages import in_study_order
from xlprompt.data.tasks import task as task_row
from xlprompt.data.tasks.task_type import Task
from xlprompt.evaluation.answers.predictions import SavedPredictions, load_predictions
from xlprompt.evaluation.comparison.statistics import resample
from xlprompt.evaluation.scores.metrics import (
    example_counts,
    has_metric,
    label_shares,
    main_metric,
    percent,
)

RunKey = tuple[str, str, int]
"""Task, method and seed."""


@dataclass(frozen=True)
class Counts:
    """One language's examples as the runs of a task answered them.

    A run's score is 100 * sum(numerators) / sum(denominators).

    Attributes:
        numerators: `[runs, examples]`.
        denominators: `[runs, examples]`.
        floor: Score in percent of what needs no model: of always giving the commonest gold label, or of parts
            of texts the trivial baseline that the runs have stored (scores.floors). 0 where it is not known,
            for entity F1, and for metrics that the task is not judged by.
        collapsed: Whether a run's predictions collapsed (metrics.label_shares), `[runs]`; empty where that
            is not known.
        examples_digest: SHA-256 over the examples' ids and gold labels in their order; empty where that is
            not known.
    """

    numerators: np.ndarray
    denominators: np.ndarray
    floor: float
    collapsed: tuple[bool, ...] = ()
    examples_digest: str = ""

    @property
    def examples(self) -> int:
        """Pairs or sentences."""
        return int(self.numerators.shape[1])

    @property
    def scores(self) -> np.ndarray:
        """Scores in percent, `[runs]`; a ratio with nothing below the line is 0."""
        return percent(self.numerators.sum(axis=1), self.denominators.sum(axis=1))

    def of(self, places: Sequence[int]) -> Counts:
        """Some of the runs, by their places on the first axis."""
        collapsed = tuple(self.collapsed[place] for place in places) if self.collapsed else ()
        chosen = list(places)
        return Counts(
            self.numerators[chosen], self.denominators[chosen], self.floor, collapsed, self.examples_digest
        )


@dataclass(frozen=True)
class TaskRuns:
    """All runs of one task.

    Attributes:
        task: The task's name.
        metric: The metric that the counts are of.
        split: "validation" or "test".
        runs: Method and seed of each run, in the order of the counts' first axis.
        languages: Language codes to counts, in the study's order.
    """

    task: str
    metric: str
    split: str
    runs: tuple[tuple[str, int], ...]
    languages: Mapping[str, Counts]
    _replicates: dict[tuple[str, int, int], dict[str, np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def seeds(self, method: str) -> tuple[int, ...]:
        """The method's seeds, in the order of the counts.

        Raises:
            ValueError: No run is of this method.
        """
        seeds = tuple(seed for name, seed in self.runs if name == method)
        if not seeds:
            known = ", ".join(dict.fromkeys(name for name, _ in self.runs))
            raise ValueError(f"No run of task {self.task!r} is of method {method!r}, only of {known}.")
        return seeds

    def of(self, method: str) -> list[int]:
        """Places of the method's runs on the counts' first axis."""
        return [place for place, (name, _) in enumerate(self.runs) if name == method]

    def replicates(self, method: str, *, samples: int, seed: int) -> Mapping[str, np.ndarray]:
        """A method's scores on resampled examples by language, `[samples, seeds]`, computed once.

        Languages of one size share the draws.

        Args:
            method: The method.
            samples: How many resamples.
            seed: Of the draws.
        """
        key = (method, samples, seed)
        if key not in self._replicates:
            self._replicates[key] = self._resampled(self.of(method), samples, seed)
        return self._replicates[key]

    def _resampled(self, places: Sequence[int], samples: int, seed: int) -> dict[str, np.ndarray]:
        by_size: dict[int, list[str]] = {}
        for code, counts in self.languages.items():
            by_size.setdefault(counts.examples, []).append(code)
        replicates = {}
        for codes in by_size.values():
            together = resample(
                np.concatenate([self.languages[code].numerators[places] for code in codes]),
                np.concatenate([self.languages[code].denominators[places] for code in codes]),
                samples=samples,
                seed=seed,
            )
            for place, code in enumerate(codes):
                replicates[code] = together[:, place * len(places) : (place + 1) * len(places)]
        return replicates

    def only(self, names: Mapping[str, str]) -> TaskRuns:
        """The runs of some methods, under the names that these are given."""
        chosen = self.pick([run for run in self.runs if run[0] in names])
        return replace(chosen, runs=tuple((names[method], seed) for method, seed in chosen.runs))

    def pick(self, runs: Collection[tuple[str, int]]) -> TaskRuns:
        """The runs of these methods and seeds."""
        places = [place for place, run in enumerate(self.runs) if run in runs]
        return replace(
            self,
            runs=tuple(self.runs[place] for place in places),
            languages={code: counts.of(places) for code, counts in self.languages.items()},
        )


def load_runs(
    runs: Mapping[RunKey, Mapping[str, SavedPredictions | str | Path]],
    *,
    metrics: Mapping[str, str] | None = None,
) -> dict[str, TaskRuns]:
    """Check the predictions of a study's runs against each other and reduce them to counts.

    Files are read one at a time, and only counts are kept.

    Args:
        runs: By task, method and seed: language codes to predictions, or to the files that hold them.
        metrics: By task, a metric other than the one that the task is judged by, such as `{"pos": "f1"}`.

    Returns:
        By task: its runs, ordered by method (as they first occur) and seed.

    Raises:
        DataError: Two runs of a task differ in languages, split, labels, or in an example's id or gold
            labels; predictions are filed under another task or language. Names the file and its line, or
            the run where no file was given; or a file is missing.
        ValueError: There is no run, or no such metric.
    """
    if not runs:
        raise ValueError("There are no runs to load.")
    by_task: dict[str, dict[tuple[str, int], Mapping[str, SavedPredictions | str | Path]]] = {}
    for (name, method, seed), languages in runs.items():
        by_task.setdefault(name, {})[method, seed] = languages
    return {name: _load_task(name, of_task, (metrics or {}).get(name)) for name, of_task in by_task.items()}


def join_runs(parts: Sequence[TaskRuns]) -> TaskRuns:
    """Runs of one task that were loaded apart, such as on two machines.

    Args:
        parts: No run is in two of them.

    Returns:
        All of them, ordered by method (as they first occur) and seed.

    Raises:
        DataError: They have not answered the same examples.
        ValueError: There is none, or a run is there twice.
    """
    if not parts:
        raise ValueError("There are no runs to join.")
    first = parts[0]
    for other in parts[1:]:
        _check_same_test_sets(first, other)
    runs = [run for part in parts for run in part.runs]
    if len(set(runs)) < len(runs):
        raise ValueError(f"A run of task {first.task!r} is there twice.")
    methods = list(dict.fromkeys(method for method, _ in runs))
    order = sorted(range(len(runs)), key=lambda place: (methods.index(runs[place][0]), runs[place][1]))
    languages = {}
    for code, counts in first.languages.items():
        of_all = [part.languages[code] for part in parts]
        known = all(each.collapsed for each in of_all)
        joined = Counts(
            np.concatenate([each.numerators for each in of_all]),
            np.concatenate([each.denominators for each in of_all]),
            max(each.floor for each in of_all),  # runs of before there were trivial baselines have 0
            tuple(one for each in of_all for one in each.collapsed) if known else (),
            counts.examples_digest,
        )
        languages[code] = joined.of(order)
    return replace(first, runs=tuple(runs[place] for place in order), languages=languages)


def _check_same_test_sets(one: TaskRuns, other: TaskRuns) -> None:
    here, there = (_name(part.task, part.runs[0]) for part in (one, other))
    for key in ("task", "metric", "split"):
        if getattr(one, key) != getattr(other, key):
            raise DataError(f"{here} has {key} {getattr(one, key)}, {there} has {getattr(other, key)}")
    if missing := set(one.languages) ^ set(other.languages):
        raise _other_languages(here, there, missing)
    for code, counts in one.languages.items():
        theirs = other.languages[code]
        same = (counts.examples_digest, counts.examples) == (theirs.examples_digest, theirs.examples)
        if same and one.metric == "accuracy":  # of another metric the totals depend on the answers
            same = np.array_equal(counts.denominators[0], theirs.denominators[0])
        if not same:
            raise DataError(
                f"{here} and {there} were not scored on the same examples of language {code}",
                fix="Evaluate both on the same data, or report them apart.",
            )


def _other_languages(one: str, other: str, missing: Collection[str]) -> DataError:
    return DataError(
        f"{one} and {other} do not have the same languages: only one of them has "
        f"{', '.join(sorted(missing))}",
        fix="Evaluate both on the same languages, or leave these out of both.",
    )


def _load_task(
    name: str,
    runs: Mapping[tuple[str, int], Mapping[str, SavedPredictions | str | Path]],
    metric: str | None,
) -> TaskRuns:
    task = task_row(name)
    metric = metric or main_metric(task)
    methods = list(dict.fromkeys(method for method, _ in runs))
    order = sorted(runs, key=lambda run: (methods.index(run[0]), run[1]))
    first = order[0]
    for run in order[1:]:
        if missing := set(runs[first]) ^ set(runs[run]):
            raise _other_languages(_name(name, first), _name(name, run), missing)
    if not runs[first]:
        raise DataError(f"{_name(name, first)} has no predictions in any language")
    splits = set()
    languages = {}
    for code in in_study_order(set(runs[first])):
        places = {run: runs[run][code] for run in order}
        loaded = _load_language(task, metric, code, places)
        if loaded is not None:
            languages[code], split = loaded
            splits.add(split)
    if not languages:
        raise DataError(
            f"{name} has no test set with entities, so there is no F1", fix="Score it on other data."
        )
    if len(splits) > 1:
        raise DataError(
            f"the predictions of task {name} are of different splits: {', '.join(sorted(splits))}",
            fix="Compare runs on one split.",
        )
    return TaskRuns(name, metric, splits.pop(), tuple(order), languages)


def _load_language(
    task: Task, metric: str, code: str, runs: Mapping[tuple[str, int], SavedPredictions | str | Path]
) -> tuple[Counts, str] | None:
    """Read one language of all runs of a task; the others are compared with the first one's examples.

    None stands for a language in which the metric is not defined.
    """
    reference: SavedPredictions | None = None
    numerators, denominators, collapsed = [], [], []
    floor = 0.0
    for run, given in runs.items():
        place = _Place(f"{_name(task.name, run)}, {code}" if isinstance(given, SavedPredictions) else given)
        saved = given if isinstance(given, SavedPredictions) else load_predictions(given)
        _check_header(saved, task, code, place)
        if reference is None:
            reference, reference_place = saved, place
        else:
            _check_same_examples(saved, place, reference, reference_place)
        if metric == main_metric(task):
            floor = max(floor, saved.trivial_baseline or 0.0)  # runs of before have none
        try:
            counts = example_counts(task, saved.gold, saved.predicted, only=metric, language=code)
        except ValueError as error:
            raise DataError(str(error).rstrip("."), file=place.name) from error
        if metric not in counts:
            raise ValueError(f"Task {task.name!r} has no metric {metric!r}, only {', '.join(counts)}.")
        numerators.append(counts[metric][0])
        denominators.append(counts[metric][1])
        collapsed.append(label_shares(task, saved.gold, saved.predicted).collapsed)
    if reference is None:
        raise ValueError(f"There are no runs of task {task.name!r}.")
    if not has_metric(task, metric, reference.gold):
        return None
    if metric == "accuracy":
        gold = np.fromiter(chain.from_iterable(reference.gold), dtype=np.int64)
        floor = 100 * float(np.bincount(gold).max()) / len(gold)
    counts_of_all = Counts(
        np.stack(numerators),
        np.stack(denominators),
        floor,
        tuple(collapsed),
        fingerprint_of([reference.ids, reference.gold]),
    )
    return counts_of_all, reference.split


@dataclass(frozen=True)
class _Place:
    """A file, or what stands for it in messages when the predictions were given directly."""

    name: str | Path

    def line(self, example: int) -> int:
        """The example's line in a prediction file, whose first line is the header."""
        return example + 2


def _name(task: str, run: tuple[str, int]) -> str:
    return f"the run {task}, {run[0]}, seed {run[1]}"


def _check_header(saved: SavedPredictions, task: Task, code: str, place: _Place) -> None:
    expected = {"task": task.name, "language": code, "labels": task.labels}
    for key, value in expected.items():
        found = getattr(saved, key)
        if found != value:
            raise DataError(
                f"{key} {_short(found)} here, and {_short(value)} was expected",
                file=place.name,
                line=1,
                fix="File it under its own task and language, or evaluate the run again.",
            )


def _check_same_examples(
    saved: SavedPredictions, place: _Place, reference: SavedPredictions, reference_place: _Place
) -> None:
    fix = (
        f"Both must be predictions for the same examples in the same order as {reference_place.name}: "
        "evaluate both runs on the same data."
    )
    for key in ("split", "task_version"):
        here, there = getattr(saved, key), getattr(reference, key)
        if here != there:
            problem = f"{key} {here!r} here, {there!r} in {reference_place.name}"
            raise DataError(problem, file=place.name, line=1, fix="Evaluate both runs alike.")
    columns: tuple[tuple[str, Sequence[object], Sequence[object]], ...] = (
        ("id", saved.ids, reference.ids),
        ("gold", saved.gold, reference.gold),
    )
    if len(saved.ids) != len(reference.ids):
        problem = (
            f"{how_many(len(saved.ids), 'example')} here, {len(reference.ids)} in {reference_place.name}"
        )
        raise DataError(problem, file=place.name, fix=fix)
    for column, ours, theirs in columns:
        for example, (left, right) in enumerate(zip(ours, theirs, strict=True)):
            if left != right:
                problem = f"{column} {_short(left)} here, {_short(right)} in row {example + 1} of "
                raise DataError(
                    f"{problem}{reference_place.name}", file=place.name, line=place.line(example), fix=fix
                )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
