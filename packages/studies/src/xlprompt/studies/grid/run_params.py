"""What the stored parameters of training runs say of them together."""

from __future__ import annotations

import json
from collections.abc import Iterable

from xlprompt.evaluation.comparison.learning import LanguageCurves, curves_of
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import CellRun, Ledger
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.metric_names import CURVE_ROWS, MEAN_ZERO_SHOT, curve_score


def trained_on(run: CellRun) -> tuple[str, ...]:
    """The languages that a run was trained on, the one that chose its checkpoint first."""
    # Runs from before a recipe could name several have no such parameter.
    more = json.loads(run.params.get("data.also_train_on", "[]"))
    return (run.params.get("data.train_language", "en"), *more)


def train_languages_of(runs: Iterable[CellRun]) -> tuple[str, ...]:
    """The languages that runs were trained on, the one that chose their checkpoints first.

    Raises:
        StudyError: They differ in what they were trained on.
    """
    languages = {trained_on(run) for run in runs}
    if len(languages) > 1:
        names = sorted("+".join(each) for each in languages)
        raise StudyError(f"the runs were trained on different languages: {', '.join(names)}")
    return languages.pop()


def largest_shares(runs: Iterable[CellRun]) -> dict[str, float]:
    """By task, the largest trainable share of the runs, in percent of the backbone."""
    shares: dict[str, float] = {}
    for run in runs:
        share, task = share_of_run(run.params), run.tags["task"]
        if share is not None:
            shares[task] = max(shares.get(task, 0.0), share)
    return shares


def has_curve(run: CellRun, recipe: Recipe) -> bool:
    """Whether a run was begun with the recipe's curve over languages, or the recipe asks for none.

    A curve changes no score, so it is no part of a cell's fingerprint: a study without curves counts a run
    that has one. A study with curves runs a cell once more whose finished run has none, and the new run
    stands in its place.
    """
    wanted = recipe.evaluation
    if wanted.curve_every is None or not recipe.method_settings.is_trained:
        return True
    keys = {"curve_every": wanted.curve_every, "curve_examples": wanted.curve_examples}
    return all(run.params.get(f"evaluation.{key}") == str(value) for key, value in keys.items())


def language_curves(ledger: Ledger, run: CellRun, metric: str) -> LanguageCurves | None:
    """Scores of samples of every language by step, by a metric; None where the run made none."""
    prefix = curve_score(metric, "")
    codes = [name.removeprefix(prefix) for name in run.metrics if name.startswith(prefix)]
    histories = {code: ledger.history(run.run_id, prefix + code) for code in codes if code != MEAN_ZERO_SHOT}
    return curves_of(histories, _rows_of_curve(run))


def _rows_of_curve(run: CellRun) -> int:
    """The rows of a language's sample: the smallest one's, or of runs that do not tell at most so many."""
    if CURVE_ROWS in run.metrics:
        return int(run.metrics[CURVE_ROWS])
    keys = ("evaluation.curve_examples", "data.limit", "data.test_limit")
    limits = [json.loads(run.params.get(key, "null")) for key in keys]
    return min((limit for limit in limits if limit is not None), default=1)
