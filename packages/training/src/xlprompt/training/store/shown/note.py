"""A run's description in MLflow's UI, in Markdown: what it is, its scores, and what to do with it next."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.languages import language, resource_order
from xlprompt.evaluation.scores.metrics import Score
from xlprompt.evaluation.scores.transfer_scores import TransferReport
from xlprompt.models import short_name
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.tracker import RunPlace

OF_WHICH_STORE = "In the folder that holds the store `mlruns`; for any other store add `--mlruns <folder>`."
"""What a description says below its commands, since a store may be moved."""


def opening(recipe: Recipe, split: str) -> str:
    """What a run is, in a sentence."""
    model, trained = short_name(recipe.model), "+".join(recipe.data.train_languages)
    if not recipe.method_settings.is_trained:
        return f"`{recipe.task}` asked of `{model}` in words, without training, on the {split} sets."
    return (
        f"`{recipe.task}` by `{recipe.method}` on `{model}`, seed {recipe.seed}: trained on {trained}, "
        f"scored on the {split} sets."
    )


def scores_note(about: str, report: TransferReport, place: RunPlace, *, has_model: bool) -> str:
    """The description of a run that has been scored.

    Args:
        about: What the run is, in a sentence.
        report: Its scores.
        place: Where it stands in the store.
        has_model: Whether its checkpoint is in the store.
    """
    rows = [
        (f"{language(each.language).name} ({each.language})", _text(each.scores[report.metric]))
        for each in sorted(report.results.values(), key=lambda each: resource_order(each.language))
    ]
    trained = report.results.get(report.train_language)
    summary = (
        (trained.scores[report.metric] if trained else None, language(report.train_language).name),
        (report.mean_zero_shot(), "zero-shot mean"),
        (report.transfer_gap(), "transfer gap"),
    )
    known = [f"{name} **{each.value:.1f}**" for each, name in summary if each and each.is_defined]
    figures = f"{' · '.join(known)} ({report.metric}, %)"
    table = markdown_rows(("language", f"{report.metric}, {report.split} (%)"), rows)
    legend = f"Percent ± standard error over the {report.split.partition('-')[0]} examples."
    return "\n\n".join([figures, about, _next(place, has_model), table, legend])


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))


def _next(place: RunPlace, has_model: bool) -> str:
    commands = [f"xlprompt inspect {place.run_id}"]
    if has_model:
        trained = place.trained_run_id or place.run_id
        commands += [
            f"xlprompt evaluate {trained}",
            f"xlprompt export {trained} --to build/adapter",
            f"xlprompt serve {trained}",
        ]
    lines = "\n".join(commands)
    text = f"Where it errs{', scored again, exported, served' if has_model else ''}:\n\n```\n{lines}\n```"
    text += f"\n\n{OF_WHICH_STORE}"
    if place.parent_run_id is None:
        return text
    link = f"#/experiments/{place.experiment_id}/runs/{place.parent_run_id}"
    return f"{text}\n\nOne seed of [its study]({link})."


def _text(score: Score) -> str:
    if not score.is_defined:
        return "n/a"
    return f"{score.value:.1f}" if score.stderr is None else f"{score.value:.1f} ± {score.stderr:.1f}"
