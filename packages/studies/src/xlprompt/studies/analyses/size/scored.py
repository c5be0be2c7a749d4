"""One task scored with each model of a family: means over languages by run, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.statistics import Estimate, Part, Spread, estimate, resample, spread


@dataclass(frozen=True)
class SizeScore:
    """A method's scores with one model.

    Attributes:
        task: Task name.
        method: Method name.
        model: The backbone.
        parameters: The backbone's.
        trained: Score of the language trained on, over seeds, in percent; None where it was not scored.
        zero_shot: Mean over the other languages, over seeds, in percent.
        skilled: Whether the interval of that mean lies above what needs no model; None where there is none.
    """

    task: str
    method: str
    model: str
    parameters: int
    trained: Spread | None
    zero_shot: Spread
    skilled: bool | None


@dataclass(frozen=True)
class SizeDifference:
    """A method minus the baseline with one model, in the zero-shot mean.

    Attributes:
        task: Task name.
        method: Method name.
        model: The backbone.
        parameters: The backbone's.
        difference: In points.
        usable: Whether it counts in the slope: one of the two beats what needs no model, or that cannot be
            told.
    """

    task: str
    method: str
    model: str
    parameters: int
    difference: Estimate
    usable: bool


def method_with(method: str, model: str) -> str:
    """What stands for a method in `load_runs`, for runs with a model."""
    return f"{method} with {model}"


@dataclass(frozen=True, eq=False)
class TaskSizes:
    """One task: the zero-shot mean of every run.

    Attributes:
        runs: The task's.
        models: By name, their parameters, rising.
        methods: Method names.
        trained: Languages trained on.
        values: Zero-shot means in percent, `[runs]`.
        replicates: The same on resampled examples, `[samples, runs]`.
        examples: Of the language that has fewest.
        floor: Zero-shot mean of what needs no model.
    """

    runs: TaskRuns
    models: Mapping[str, int]
    methods: tuple[str, ...]
    trained: tuple[str, ...]
    values: np.ndarray
    replicates: np.ndarray
    examples: int
    floor: float

    @classmethod
    def of(
        cls, runs: TaskRuns, models: Mapping[str, int], methods: Sequence[str], trained: Sequence[str]
    ) -> TaskSizes:
        """Take the means of a task's runs, and resample its examples.

        Args:
            runs: From runs.load_runs, with methods named by `method_with`.
            models: By name, their parameters, rising.
            methods: Method names.
            trained: Languages trained on, the one that chose the checkpoint first.

        Raises:
            ValueError: It was scored in no other language.
        """
        others = [counts for code, counts in runs.languages.items() if code not in trained]
        if not others:
            raise ValueError(f"Task {runs.task!r} was scored in no language that was not trained on.")
        # Languages of one size have the same draws, so those of a parallel task are resampled together.
        drawn = (resample(counts.numerators, counts.denominators) for counts in others)
        total = next(drawn)
        for each in drawn:
            total += each
        return cls(
            runs,
            models,
            tuple(methods),
            tuple(trained),
            np.mean([counts.scores for counts in others], axis=0),
            total / len(others),
            min(counts.examples for counts in others),
            fmean(counts.floor for counts in others),
        )

    def part(self, method: str, model: str, weight: float = 1.0) -> Part:
        """The mean over the seeds of a method and model."""
        places = self.runs.of(method_with(method, model))
        return Part(weight, self.values[places], self.replicates[:, places])

    def there(self, method: str) -> list[str]:
        """Models that the task has runs of by a method, the smallest first."""
        return [model for model in self.models if self.runs.of(method_with(method, model))]

    def seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds of a method and model."""
        numbers = [
            len(self.runs.of(method_with(method, model)))
            for method in self.methods
            for model in self.there(method)
        ]
        return min(numbers), max(numbers)

    def skilled(self, method: str, model: str) -> bool | None:
        """Whether a method beats what needs no model with a model; None where there is no interval."""
        low = estimate([self.part(method, model)], self.examples).low
        return None if low is None else low > self.floor

    def scores(self) -> list[SizeScore]:
        """Of each model and method that there are runs of."""
        english = self.runs.languages.get(self.trained[0])
        rows = []
        for model, parameters in self.models.items():
            for method in self.methods:
                if places := self.runs.of(method_with(method, model)):
                    rows.append(
                        SizeScore(
                            self.runs.task,
                            method,
                            model,
                            parameters,
                            None if english is None else spread(english.scores[places]),
                            spread(self.values[places]),
                            self.skilled(method, model),
                        )
                    )
        return rows

    def differences(self, method: str, baseline: str) -> list[SizeDifference]:
        """Of each model that there are runs of by both."""
        both = [model for model in self.there(method) if model in self.there(baseline)]
        return [
            SizeDifference(
                self.runs.task,
                method,
                model,
                self.models[model],
                estimate([self.part(method, model), self.part(baseline, model, -1.0)], self.examples),
                any(self.skilled(each, model) is not False for each in (method, baseline)),
            )
            for model in both
        ]

    def slope_parts(
        self, method: str, baseline: str, models: Sequence[str], scale: float = 1.0
    ) -> list[Part]:
        """The parts of the slope of the difference through these models."""
        weights = scale * doubling_weights([self.models[model] for model in models])
        return [
            part
            for model, weight in zip(models, weights, strict=True)
            for part in (self.part(method, model, weight), self.part(baseline, model, -weight))
        ]


def doubling_weights(parameters: Sequence[int]) -> np.ndarray:
    """Weights of scores in the slope of their least-squares line over log2 of the parameters, `[models]`."""
    centered = np.log2(np.asarray(parameters, dtype=np.float64))
    centered -= centered.mean()
    return np.asarray(centered / (centered @ centered))
