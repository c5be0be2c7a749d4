"""The analysis of a tokenizer on a source's text: counted, correlated with the store's study, and logged.

No weights are loaded. What the figures are is said in `xlprompt.studies.analyses.tokenization.findings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from xlprompt.data import TASKS, Task, task
from xlprompt.data.how_many import how_many
from xlprompt.data.sources import FolderSource, Source, open_source
from xlprompt.data.tasks.own import OWN
from xlprompt.evaluation import Comparison, compare
from xlprompt.evaluation.waiting import counted, waiting
from xlprompt.models import absolute_name, load_tokenizer, short_name
from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.analyses.tokenization.counts import count_tokens
from xlprompt.studies.analyses.tokenization.findings import analyze
from xlprompt.studies.analyses.tokenization.section import tokenization_answers, tokenization_section
from xlprompt.studies.analyses.tokenization.settings import Settings
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.run_params import train_languages_of
from xlprompt.studies.reports.kept_sections import log_section, part_notes
from xlprompt.studies.reports.selection import BASELINE, METHOD, find_runs
from xlprompt.studies.reports.sources import open_runs
from xlprompt.training.inputs.chosen_data import languages_to_score
from xlprompt.training.inputs.preparation import data_fingerprint, dataset_record
from xlprompt.training.recipes.data_settings import DataSettings

KIND = "tokenization"


def measure(settings: Settings, *, store: Path, console: Console) -> Outcome:
    """Analyze how a model's tokenizer cuts the text of a task, and keep what came out as a run of the store.

    Args:
        settings: What is asked.
        store: Folder of the MLflow store, made where it does not exist; its finished study of the model,
            where there is one, is what the figures are correlated with.
        console: Where progress goes.

    Raises:
        DataError, RunError: The source, the task's text or a language is not there, or a file is not one of
            published runs.
        ModelError: There is no such model.
        StudyError: Files were given, and neither they nor the store have finished runs of the model.
    """
    # Runs, and so the report, know a folder by its whole path.
    model, split, limit = absolute_name(settings.model), settings.split, settings.limit
    comparison, note = _study(store, model, settings.runs)
    opened = open_source(settings.data)
    of_task = _own_task(opened) if settings.task == OWN else task(settings.task)
    data = DataSettings(source=settings.data, languages=settings.languages)
    chosen = languages_to_score(opened, of_task, data, split=split)
    tokenizer = load_tokenizer(model)
    counts, records = {}, []
    with counted(console, "counting tokens", len(chosen)) as done:
        for code in chosen:
            rows = opened.load(of_task, code, split, limit=limit)
            counts[code] = count_tokens(tokenizer, of_task, code, rows[:])
            content = data_fingerprint(opened, of_task, code, split, limit)
            records.append(
                dataset_record(
                    opened, settings.data, of_task, code, split, content=content, examples=len(rows)
                )
            )
            done()
    with waiting(console, "Comparing with the scores, drawing"):
        analysis = analyze(counts, comparison)
        text = f"the {of_task.name} {split} set in {short_name(settings.data)}"
        section = tokenization_section(analysis, model=short_name(model), text=text, notes=[note])
        metrics = {
            f"{KIND}/{name}{suffix}/{row.language}": value
            for row in analysis.languages
            for name, figure in row.figures.items()
            for suffix, value in (("", figure.value), ("_low", figure.low), ("_high", figure.high))
            if value is not None
        }
        run_id = log_section(
            store,
            f"{KIND}-{of_task.name}-{split}-{short_name(settings.data)}",
            model,
            section,
            findings=analysis.to_dict(),
            params={"task": of_task.name, "source": settings.data, "split": split, "limit": limit},
            metrics=metrics,
            datasets=records,
            part=settings.part,
        )
    answers = tokenization_answers(analysis, model=short_name(model))
    return Outcome(
        analysis, analysis.to_dict(), [section], run_id, notes=part_notes(settings.part), answers=answers
    )


def _own_task(opened: Source) -> Task:
    own = opened.own if isinstance(opened, FolderSource) else None
    if own is None:
        raise StudyError(
            f"--task {OWN} is the task that a data folder is, and {opened.name} is no folder of an own task. "
            "Give one with --data, or name the task"
        )
    return own


def _study(store: Path, model: str, published: Sequence[Path]) -> tuple[Comparison | None, str]:
    """The model's study, and a sentence on it or on why there is none."""
    try:
        source = open_runs(store, published, "Run a study for them, or give published runs (--runs)")
        study = find_runs(source, model)
        compared = {key: run for key, run in study.runs.items() if key[1] in (METHOD, BASELINE)}
        trained, *more = train_languages_of(study.runs.values())
        comparison = compare(
            {
                name: source.counts({key: run for key, run in compared.items() if key[0] == name})
                for name in dict.fromkeys(name for name, _, _ in compared)
            },
            method=METHOD,
            baseline=BASELINE,
            train_language=trained,
            also_trained_on=more,
        )
    except StudyError as error:
        if published:  # asked for by name, unlike whatever the store happens to hold
            raise
        return None, f"No correlations with differences between methods: {error}."
    tasks = ", ".join(name for name in TASKS if name in comparison.tasks)
    return (
        comparison,
        f"Differences are {METHOD} minus {BASELINE} of {how_many(len(compared), 'run')} ({tasks}).",
    )
