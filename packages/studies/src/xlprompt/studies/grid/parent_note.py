"""What MLflow shows at the run that stands for a group: its study's table, its scores, a figure of all."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language, resource_order
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.studies.grid.over_seeds import means
from xlprompt.studies.grid.study_table import GroupResult
from xlprompt.training.store.metric_names import MEAN, MEAN_ZERO_SHOT, TRANSFER_GAP, score_name
from xlprompt.training.store.shown.note import OF_WHICH_STORE, markdown_rows

FIGURE = "methods.svg"
"""The figure's name among the parents' artifacts."""

_ABSENT = "–"


def describe_parents(ledger: Ledger, results: Sequence[GroupResult]) -> None:
    """Write notes and figure of the groups that have a finished run."""
    shown = [each for each in results if each.parent_run_id and each.seeds]
    if not shown:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FIGURE
        drawn = draw_methods(shown, path)
        for each in shown:
            ledger.describe(str(each.parent_run_id), parent_note(each, results), path if drawn else None)


def parent_note(result: GroupResult, results: Sequence[GroupResult]) -> str:
    """A group's description in Markdown.

    Args:
        result: The group's.
        results: All of its study's.
    """
    recipe, name = result.group.cells[0].recipe, result.group.model_name
    variant = f", {result.group.variant}" if result.group.variant else ""
    about = (
        f"`{result.group.task}` by `{result.group.method}`{variant} on `{name}`: {len(result.seeds)} of "
        f"{how_many(len(result.group.cells), 'seed')}, trained on {'+'.join(recipe.data.train_languages)}."
    )
    figures = (
        (language(recipe.data.train_language).name, result.trained_on),
        ("zero-shot mean", result.zero_shot),
        ("transfer gap", result.gap),
    )
    known = " · ".join(f"{title} **{each.text()}**" for title, each in figures if each)
    parts = [
        f"{known} ({result.metric}, %)",
        about,
        "### The study",
        _study(results),
        f"Percent, {means(each for _, each in figures)}.",
    ]
    if languages := _languages(result):
        parts += ["### By language", languages]
    parts += [
        f"{FIGURE} is among the artifacts. Compared and judged:",
        "```\nxlprompt report\n```",
        OF_WHICH_STORE,
    ]
    return "\n\n".join(parts)


def draw_methods(results: Sequence[GroupResult], path: Path) -> bool:
    """Draw zero-shot means by method, a panel a task; False where there are none."""
    from matplotlib.figure import Figure

    from xlprompt.evaluation.style import COLORS, WIDTH, letters, literal, plain, save

    by_task: dict[str, list[GroupResult]] = {}
    for each in results:
        if each.zero_shot is not None:
            by_task.setdefault(each.group.task, []).append(each)
    if not by_task:
        return False
    rows = sum(map(len, by_task.values()))
    with letters():
        figure = Figure(figsize=(2 * WIDTH, 0.25 * rows + 0.5 * len(by_task) + 0.3), layout="constrained")
        panels = figure.subplots(
            len(by_task), 1, squeeze=False, height_ratios=[len(each) for each in by_task.values()]
        )
        for axes, (task, of_task) in zip(panels[:, 0], by_task.items(), strict=True):
            names = [literal(" ".join(filter(None, (e.group.method, e.group.variant)))) for e in of_task]
            means = [each.zero_shot.mean for each in of_task if each.zero_shot]
            spreads = [(each.zero_shot.deviation or 0.0) for each in of_task if each.zero_shot]
            places = range(len(of_task))
            axes.errorbar(means, places, xerr=spreads, fmt="o", color=COLORS[0], capsize=2)
            axes.set_yticks(places, names)
            axes.set_ylim(len(of_task) - 0.5, -0.5)
            axes.set_title(f"{literal(task)}: zero-shot {of_task[0].metric} (%)", loc="left")
            plain(axes, "x")
        save(figure, path)
    return True


def _study(results: Sequence[GroupResult]) -> str:
    rows = [
        (
            f"{each.group.task} {each.group.method} {each.group.variant}".rstrip(),
            _ABSENT if each.trainable_percent is None else f"{each.trainable_percent:.3g}",
            f"{len(each.seeds)}/{len(each.group.cells)}",
            *(map(_text, (each.trained_on, each.zero_shot, each.gap))),
        )
        for each in results
    ]
    return markdown_rows(("", "trains (%)", "seeds", "trained on", "zero-shot mean", "gap"), rows)


def _languages(result: GroupResult) -> str:
    start = score_name(result.metric, "")
    found = {
        name.removeprefix(start): each for name, each in result.summaries.items() if name.startswith(start)
    }
    codes = [code for code in found if code not in (MEAN, MEAN_ZERO_SHOT, TRANSFER_GAP)]
    rows = [
        (f"{language(code).name} ({code})", _text(found[code])) for code in sorted(codes, key=resource_order)
    ]
    return markdown_rows(("language", f"{result.metric} (%)"), rows) if rows else ""


def _text(summary: Spread | None) -> str:
    return _ABSENT if summary is None else summary.text()
