"""Which alignment to take, by a rule, and what the rule gains where it was not chosen: numbers without text.

The rule (`choose`) was written down before the mini study's aligned scores were looked at; those of Gemma,
at one number of sentences and at the head, were known. Its two constants are the report's margin for "worse"
and half of it. A setting is chosen on test scores, so what it gains on these flatters it. Told is therefore
what it gains on a task, or a language, that had no part in the choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from xlprompt.data.how_many import how_many
from xlprompt.evaluation.comparison.compared import LEVEL, Samples, TaskComparison
from xlprompt.evaluation.comparison.statistics import Estimate, holm, without_infinity
from xlprompt.models import ALIGNMENT_KINDS

TOLERANCE = 1.0
"""Points of zero-shot mean that a setting may lose in a task and method, to be chosen still."""

MARGIN = 0.5
"""Points below the best mean within which the cheapest setting is taken."""


@dataclass(frozen=True)
class Setting:
    """A way to align.

    Attributes:
        kind: Kind of alignment.
        sentences: Unlabelled sentences of a language at most.
        layer: Decoder layer; None for what the head reads.
    """

    kind: str
    sentences: int
    layer: int | None

    @property
    def name(self) -> str:
        """Such as `mean_scale, 20 sentences, head`."""
        where = "head" if self.layer is None else f"layer {self.layer}"
        return f"{self.kind}, {how_many(self.sentences, 'sentence')}, {where}"

    @property
    def cost(self) -> tuple[bool, int, int]:
        """What orders settings by cost: a layer's passes, then sentences, then the kinds' order."""
        names: tuple[str, ...] = ALIGNMENT_KINDS
        return self.layer is not None, self.sentences, names.index(self.kind)


@dataclass(frozen=True)
class Cell:
    """A task and method with every setting that it was scored with.

    Attributes:
        task: Task name.
        method: Method name.
        trained: Languages trained on.
        gains: By setting: its scores compared with those without alignment, paired by seed. All have the
            same seeds, languages and examples.
    """

    task: str
    method: str
    trained: tuple[str, ...]
    gains: Mapping[Setting, TaskComparison]

    @property
    def languages(self) -> tuple[str, ...]:
        """Those not trained on."""
        examples = next(iter(self.gains.values())).examples
        return tuple(code for code in examples if code not in self.trained)

    def points(self, setting: Setting) -> dict[str, float]:
        """What it gains by language, of those not trained on."""
        gained = self.gains[setting].by_seed()
        return {code: float(np.mean(gained[code])) for code in self.languages}

    def estimate(self, chosen: Mapping[str, Setting | None]) -> Estimate:
        """Mean gain where each language has a setting of its own; None leaves it as it is."""
        some = next(iter(self.gains.values()))

        def of(part: str) -> dict[str, np.ndarray]:
            return {
                code: getattr(some.baseline if setting is None else self.gains[setting].method, part)[code]
                for code, setting in chosen.items()
            }

        mixed = replace(some, method=Samples(of("values"), of("replicates")))
        return mixed.contrast(dict.fromkeys(chosen, 1 / len(chosen)))


Table = Mapping[Setting, Mapping[tuple[str, str], float]]
"""Zero-shot gains in points by setting, and by task and method."""


def choose(table: Table) -> Setting | None:
    """The rule: the cheapest of the settings that are nearly the best and harm no task.

    Settings that lose more than TOLERANCE in a task and method are out. Of the others, and of none, which
    gains 0 and costs nothing, the best mean counts, tasks alike and methods alike within a task. The cheapest
    within MARGIN of it is taken (`Setting.cost`).

    Returns:
        The setting; None where none is worth it.
    """
    means = {
        setting: _mean_over_tasks(gains)
        for setting, gains in table.items()
        if min(gains.values()) >= -TOLERANCE
    }
    best = max([0.0, *means.values()])
    if best <= MARGIN:
        return None
    return min((setting for setting in means if means[setting] >= best - MARGIN), key=lambda each: each.cost)


def _mean_over_tasks(gains: Mapping[tuple[str, str], float]) -> float:
    by_task: dict[str, list[float]] = {}
    for (task, _), gain in gains.items():
        by_task.setdefault(task, []).append(gain)
    return float(np.mean([np.mean(of_task) for of_task in by_task.values()]))


@dataclass(frozen=True)
class CellGain:
    """What a setting gains in a task and method.

    Attributes:
        task: Task name.
        method: Method name.
        mean: Over the languages not trained on, seeds and examples.
        worst_language: The one that gains least.
        worst: Its gain; the interval is that of this language alone.
        falls: Languages that are worse at 5 %, after Holm's correction over the cell's.
        languages: How many there are.
    """

    task: str
    method: str
    mean: Estimate
    worst_language: str
    worst: Estimate
    falls: int
    languages: int


@dataclass(frozen=True)
class SettingResult:
    """What a setting gains and may cost.

    Attributes:
        setting: Which.
        mean: Points of zero-shot mean, tasks alike.
        cells: By task and method.
        trained: The largest change of a score in the first language trained on, up or down.
        worst_run: The largest loss of one language in one run, 0 where none loses.
        bound: No language of any task and method loses more than this, with a confidence of 95 % over the
            draw of the test examples, for these runs: Bonferroni's limit over all languages.
    """

    setting: Setting
    mean: float
    cells: tuple[CellGain, ...]
    trained: float
    worst_run: float
    bound: float

    @property
    def falls(self) -> int:
        """Languages of a task and method that are worse."""
        return sum(each.falls for each in self.cells)

    @property
    def worst(self) -> CellGain:
        """The cell of the language that gains least."""
        return min(self.cells, key=lambda each: each.worst.value)


@dataclass(frozen=True)
class HeldOut:
    """What the rule gains in a task and method that had no part in the choice.

    Attributes:
        task: Task name.
        method: Method name.
        setting: Chosen; None where the rule takes no alignment.
        gain: Of the zero-shot mean.
        best: The largest gain of any setting there, which is picked on the very scores that it is told of.
        picks: How often each setting was chosen, where it is once for each language.
    """

    task: str
    method: str
    setting: Setting | None
    gain: Estimate
    best: float
    picks: Mapping[str, int]


@dataclass(frozen=True)
class Advice:
    """Which alignment to take with a model.

    Attributes:
        settings: All that were scored in every task and method, the largest mean first.
        default: What the rule chooses on all tasks and methods.
        by_task: What it chooses on the other tasks, and gains on each.
        by_language: What it chooses within a task and method on the other languages, and gains on each.
    """

    settings: tuple[SettingResult, ...]
    default: Setting | None
    by_task: tuple[HeldOut, ...]
    by_language: tuple[HeldOut, ...]

    @property
    def chosen(self) -> SettingResult | None:
        """What there is to say of the default."""
        return next((each for each in self.settings if each.setting == self.default), None)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        content: dict[str, Any] = without_infinity(asdict(self))
        return content


def advise(cells: Sequence[Cell]) -> Advice | None:
    """Choose by the rule, and tell what it gains on what is held out.

    Args:
        cells: Of one model; settings that are not in all of them are left aside.

    Returns:
        The advice; None where no setting is in all cells.
    """
    shared = [setting for setting in cells[0].gains if all(setting in cell.gains for cell in cells)]
    if not shared:
        return None
    points = {
        (cell.task, cell.method): {setting: cell.points(setting) for setting in shared} for cell in cells
    }
    table = {
        setting: {key: float(np.mean(list(of_cell[setting].values()))) for key, of_cell in points.items()}
        for setting in shared
    }
    results = [_result(setting, table[setting], cells) for setting in shared]
    return Advice(
        tuple(sorted(results, key=lambda each: -each.mean)),
        choose(table),
        _without_task(cells, table),
        tuple(_without_language(cell, points[cell.task, cell.method]) for cell in cells),
    )


def _without_task(cells: Sequence[Cell], table: Table) -> tuple[HeldOut, ...]:
    """Leave one task out; nothing where there is one task."""
    found = []
    for cell in cells:
        others = {
            setting: {key: gain for key, gain in gains.items() if key[0] != cell.task}
            for setting, gains in table.items()
        }
        if not all(others.values()):
            return ()
        setting = choose(others)
        best = max(gains[cell.task, cell.method] for gains in table.values())
        gain = cell.estimate(dict.fromkeys(cell.languages, setting))
        found.append(HeldOut(cell.task, cell.method, setting, gain, best, {}))
    return tuple(found)


def _without_language(cell: Cell, points: Mapping[Setting, Mapping[str, float]]) -> HeldOut:
    """Choose for each language on the others of its task and method."""
    key = (cell.task, cell.method)

    def chosen(without: str | None) -> Setting | None:
        of_others = {
            setting: {key: float(np.mean([gain for code, gain in by_code.items() if code != without]))}
            for setting, by_code in points.items()
        }
        return choose(of_others)

    alone = len(cell.languages) == 1
    picks = {code: None if alone else chosen(code) for code in cell.languages}
    counts = Counter("none" if setting is None else setting.name for setting in picks.values())
    best = max(float(np.mean(list(by_code.values()))) for by_code in points.values())
    return HeldOut(*key, chosen(None), cell.estimate(picks), best, dict(counts.most_common()))


def _result(setting: Setting, gains: Mapping[tuple[str, str], float], cells: Sequence[Cell]) -> SettingResult:
    of_cells, limits, trained, worst_run = [], [], 0.0, 0.0
    compared = sum(len(cell.languages) for cell in cells)
    for cell in cells:
        found = cell.gains[setting]
        estimates = {code: found.contrast({code: 1.0}) for code in cell.languages}
        of_cells.append(_cell_gain(cell, setting, estimates))
        limits += [_limit(each, compared) for each in estimates.values()]
        differences = found.by_seed()
        worst_run = max(worst_run, *(float(-differences[code].min()) for code in cell.languages))
        if (code := cell.trained[0]) in differences:
            trained = max(trained, float(np.abs(differences[code]).max()))
    return SettingResult(
        setting, _mean_over_tasks(gains), tuple(of_cells), trained, worst_run, max(0.0, *limits)
    )


def _cell_gain(cell: Cell, setting: Setting, estimates: Mapping[str, Estimate]) -> CellGain:
    worst = min(estimates, key=lambda code: estimates[code].value)
    tested = [(each.value, p) for each in estimates.values() if (p := each.p_far()) is not None]
    adjusted = holm([p for _, p in tested])
    falls = sum(bool(value < 0 and p <= LEVEL) for (value, _), p in zip(tested, adjusted, strict=True))
    mean = cell.estimate(dict.fromkeys(cell.languages, setting))
    return CellGain(cell.task, cell.method, mean, worst, estimates[worst], falls, len(estimates))


def _limit(found: Estimate, compared: int) -> float:
    """Upper limit of a language's loss, one of `compared`; examples are what is uncertain."""
    from scipy import special

    quantile = float(special.ndtri(1 - LEVEL / compared))
    return -found.value + quantile * (found.example_stderr or 0.0)
