"""What a search came to: a table, whether anything beats the recipe, plots, and the best as a recipe."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import optuna
import yaml
from matplotlib import pyplot
from matplotlib.ticker import NullFormatter
from optuna.visualization import matplotlib as plots
from rich import box
from rich.table import Table
from rich.text import Text

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.data.whole_files import write_whole
from xlprompt.evaluation.style import any_letter
from xlprompt.evaluation.terminal import open_console
from xlprompt.studies.search.asked import AskedSearch
from xlprompt.studies.search.space import show
from xlprompt.studies.search.trials import SearchTrials, Trial, importance_evaluator
from xlprompt.training.recipes.files import unflatten
from xlprompt.training.recipes.recipe import recipe_to_dict
from xlprompt.training.store.metric_names import TRIALS_SECONDS

_ABSENT = "–"
_SHOWN = 30  # trials in the table
_ORDER = {"complete": 0, "pruned": 1, "running": 2, "diverged": 3}


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The one with the highest score of those that ended; of equals the first, which may be the recipe's."""
    ended = [each for each in trials if each.state == "complete"]
    return max(ended, key=lambda each: (each.score or 0.0, -each.number), default=None)


def shipped_trial(trials: Sequence[Trial]) -> Trial | None:
    """The one with the recipe's own values, if it has ended."""
    return next((each for each in trials if each.shipped and each.state == "complete"), None)


def trials_table(trials: Sequence[Trial], metric: str, keys: Sequence[str]) -> Table:
    """The trials, best first."""
    ordered = sorted(trials, key=lambda each: (_ORDER[each.state], -(each.score or 0.0), each.number))
    left_out = len(ordered) - _SHOWN
    table = Table(
        title="Trials",
        caption=f"Development {metric} in percent ± standard error over its examples, best evaluation of a "
        "trial. A trial that was cut short has the step in brackets."
        + (f" {how_many(left_out, 'more is', 'more are')} left out." if left_out > 0 else ""),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("trial", justify="right")
    table.add_column(metric, justify="right", no_wrap=True)
    for key in keys:
        table.add_column(key.rpartition(".")[2].replace("_", " "), justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("", no_wrap=True)
    for each in ordered[:_SHOWN]:
        state = f"cut short ({each.step})" if each.state == "pruned" else each.state
        remarks = ["the recipe"] * each.shipped + [state] * (each.state != "complete")
        table.add_row(
            str(each.number),
            score_text(each.score, each.stderr),
            *(Text(show(each.values.get(key)) if key in each.values else _ABSENT) for key in keys),
            _ABSENT if each.seconds is None else f"{each.seconds:.0f}",
            ", ".join(remarks),
        )
    return table


def verdict(trials: Sequence[Trial]) -> str:
    """Whether the best is better than the shipped recipe, in a few sentences."""
    best, shipped = best_trial(trials), shipped_trial(trials)
    if best is None:
        return "No trial has ended yet."
    ours = f"Best: trial {best.number}, {score_text(best.score, best.stderr)}"
    if shipped is None or best.score is None or shipped.score is None:
        return f"{ours}. The shipped recipe has no score to compare it with."
    if best is shipped:
        return f"Nothing beats the shipped recipe (trial {shipped.number}, {_score(shipped)})."
    ahead, error = best.score - shipped.score, max(best.stderr or 0.0, shipped.stderr or 0.0)
    against = f"{ours}; the shipped recipe: {_score(shipped)}. It is {ahead:.1f} points ahead"
    if ahead <= error:
        return f"{against}, within one standard error ({error:.1f}): no sign that it is better."
    return (
        f"{against}, more than one standard error ({error:.1f}). Expect less of it with other seeds, since "
        f"the best of {len(trials)} is lucky as well as good."
    )


def score_text(score: float | None, stderr: float | None) -> str:
    """Such as `82.4 ± 1.7`."""
    if score is None:
        return _ABSENT
    return f"{score:.1f}" if stderr is None else f"{score:.1f} ± {stderr:.1f}"


def outcome_figures(
    metric: str, trials: Sequence[Trial], importances: Mapping[str, float]
) -> dict[str, float]:
    """What a tracker is told of a complete search."""
    figures: dict[str, float] = {
        "trials": len(trials),
        "trials/pruned": sum(each.state == "pruned" for each in trials),
        "trials/diverged": sum(each.state == "diverged" for each in trials),
        TRIALS_SECONDS: sum(each.seconds or 0.0 for each in trials),
    }
    for name, trial in (("best", best_trial(trials)), ("shipped", shipped_trial(trials))):
        if trial is not None and trial.score is not None:
            figures[f"{name}/{metric}"] = trial.score
    return figures | {f"importance/{key}": share for key, share in importances.items()}


def write_outcome(folder: Path, search: AskedSearch, trials: Sequence[Trial]) -> list[Path]:
    """Write table, trials and the search file's values into a folder; returns the files."""
    text = io.StringIO()
    plain = open_console(file=text, width=110)
    plain.print(trials_table(trials, search.metric, list(search.space)))
    plain.print(verdict(trials), highlight=False)
    settings = yaml.safe_dump(recipe_to_dict(search.settings), sort_keys=False, allow_unicode=True)
    texts = {
        "trials.txt": text.getvalue(),
        "trials.json": json.dumps([asdict(each) for each in trials], indent=2, ensure_ascii=False),
        "search.yaml": settings,
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in texts]


def draw_trials(trials: SearchTrials, folder: Path, metric: str) -> list[Path]:
    """Draw scores by trial, by step and by value, and the importances, by Optuna's own plots.

    Returns:
        PNG files in the folder; none where no trial has been trained to its end.
    """
    if not any(each.state == "complete" for each in trials.trials()):
        return []
    plain = pyplot.rc_context({"text.parse_math": False})  # a value may hold dollar signs
    with any_letter(), plain, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical low and high", UserWarning)
        return list(_draw(trials, folder, f"development {metric}, %"))


def _draw(trials: SearchTrials, folder: Path, score: str) -> Iterator[Path]:
    drawn = {
        "history": plots.plot_optimization_history(trials.study, target_name=score),
        "steps": plots.plot_intermediate_values(trials.study),
        "slices": plots.plot_slice(trials.study, target_name=score),
    }
    if trials.importances():
        drawn["importance"] = plots.plot_param_importances(
            trials.scored(), evaluator=importance_evaluator(), target_name=score
        )
    for name, axes in drawn.items():
        panels = np.asarray(axes).flatten()
        figure = panels[0].figure
        figure.set_figwidth(max(6.4, 3.6 * len(panels)))
        for panel in panels:
            if panel.get_xscale() == "log":
                panel.xaxis.set_major_formatter("{x:g}")
                panel.xaxis.set_minor_formatter(NullFormatter())  # they would overlap
        if name == "steps":
            panels[0].set_ylabel(score)
        figure.savefig(folder / f"{name}.png", dpi=160, bbox_inches="tight")
        pyplot.close(figure)
        yield folder / f"{name}.png"


def write_best(path: Path, search: AskedSearch, trials: Sequence[Trial]) -> Path:
    """Write the best trial as a recipe that extends the shipped one and holds what differs.

    Args:
        path: The file; its folder is made.
        search: The search.
        trials: Of which one has ended.

    Returns:
        The path.
    """
    best, own = best_trial(trials), shipped_trial(trials)
    assert best is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    base = Path(os.path.relpath(search.file.resolve(), path.parent.resolve())).as_posix()
    scored = language(search.recipe.data.train_language).name
    against = f"; the shipped recipe {_score(own)}" if own else ""
    values = unflatten({**search.overrides, **best.values})
    write_whole(
        path,
        f"# xlprompt train {path.as_posix()}\n"
        f"# Trial {best.number}, the best of {len(trials)}: {_score(best)} on the {scored} development set"
        f"{against}.\n# The best of many is too high a figure: confirm it with other seeds.\n"
        f"# Found by: {search.command}\n\n"
        + yaml.safe_dump({"extends": base, **values}, sort_keys=False, allow_unicode=True),
    )
    return path


def _score(trial: Trial) -> str:
    return score_text(trial.score, trial.stderr)
