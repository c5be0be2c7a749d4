"""What aligning languages without labels changes, as data: gains by method and kind, and curves of sweeps.

Gains compare stored predictions, with intervals over seeds and examples. Of a sweep over numbers of sentences
or over layers only the zero-shot means are kept, so its curves have a spread over seeds and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.statistics import Spread, spread

Swept = Literal["sentences", "layer"]
HEAD = 0
"""In place of a layer's number: what the head reads."""


@dataclass(frozen=True)
class Gain:
    """One method's predictions with a kind of alignment, compared with those without.

    Attributes:
        model: The backbone.
        method: Such as `prompt`.
        kind: The kind of alignment.
        comparison: Of `<method>+<kind>` with `<method>`, paired by seed.
    """

    model: str
    method: str
    kind: str
    comparison: Comparison


@dataclass(frozen=True)
class Curve:
    """Zero-shot means of one task and method along a sweep.

    Attributes:
        model: The backbone.
        task: Task name.
        metric: The metric that the task is judged by.
        method: Such as `prompt`.
        swept: What is swept: the number of unlabelled sentences of a language, or the layer.
        seeds: The seeds that have been swept.
        none: Without alignment.
        points: By kind, and by the value swept, rising; HEAD comes last of the layers.
    """

    model: str
    task: str
    metric: str
    method: str
    swept: Swept
    seeds: tuple[int, ...]
    none: Spread
    points: Mapping[str, Mapping[int, Spread]]

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        points = [
            {"kind": kind, self.swept: "head" if is_head(self.swept, value) else value, **asdict(found)}
            for kind, of_kind in self.points.items()
            for value, found in of_kind.items()
        ]
        return {**asdict(self), "none": asdict(self.none), "points": points}


def is_head(swept: Swept, value: int) -> bool:
    """Whether a value of a sweep stands for what the head reads."""
    return swept == "layer" and value == HEAD


def curve_of(
    model: str,
    task: str,
    metric: str,
    method: str,
    swept: Swept,
    none: Mapping[int, float],
    points: Mapping[int, Mapping[str, Mapping[int, float]]],
) -> Curve | None:
    """Sum the sweeps of several seeds up.

    Args:
        model: The backbone.
        task: Task name.
        metric: The metric that the task is judged by.
        method: Such as `prompt`.
        swept: What was swept.
        none: Zero-shot means without alignment by seed.
        points: By seed and kind, values swept to zero-shot means.

    Returns:
        The curve over the values and kinds that all seeds have, so that no two points are means over other
        seeds; None where there are no two such values.
    """
    seeds = tuple(sorted(points))
    kinds = [kind for kind in points[seeds[0]] if all(kind in points[seed] for seed in seeds)]
    curves: dict[str, dict[int, Spread]] = {}
    for kind in kinds:
        shared = set.intersection(*(set(points[seed][kind]) for seed in seeds))
        if len(shared) > 1:
            ordered = sorted(shared, key=lambda value: (is_head(swept, value), value))
            curves[kind] = {value: spread([points[seed][kind][value] for seed in seeds]) for value in ordered}
    if not curves:
        return None
    return Curve(model, task, metric, method, swept, seeds, spread([none[seed] for seed in seeds]), curves)


def leading_kind(gains: Sequence[Gain], task: str) -> str:
    """The kind whose zero-shot gain in a task is largest, as a mean over methods.

    It is chosen by the test set, which flatters it a little where kinds are close.
    """
    by_kind: dict[str, list[float]] = {}
    for gain in gains:
        if (row := gain.comparison.zero_shot(task)) is not None:
            by_kind.setdefault(gain.kind, []).append(row.estimate.value)
    return max(by_kind, key=lambda kind: sum(by_kind[kind]) / len(by_kind[kind]))
