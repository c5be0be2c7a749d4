"""Scores of one model, language by language: printed, drawn and tracked.

What is measured, and how, is decided in `xlprompt.evaluation`.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xlprompt.evaluation import (
    LanguageResult,
    TransferReport,
    bar_chart,
    language_result,
    main_metric,
    predict,
    save_predictions,
    score_table,
)
from xlprompt.evaluation.tokenization import tokens_per_word
from xlprompt.models import TaskModel
from xlprompt.training.preparation import Setup, load_split
from xlprompt.training.tracker import DatasetRecord, Tracker, log_text

TOKENS_PER_WORD = "tokenization/tokens_per_word/"
"""What a metric is called that says how finely a test set is cut; a language code follows."""

_COUNTED = 1000  # examples of a test set: some 20,000 words, in a tenth of a second


def score_languages(
    setup: Setup,
    model: TaskModel,
    languages: Sequence[str],
    split: str,
    tracker: Tracker,
    console: Console,
    *,
    model_id: str | None,
    step: int,
) -> TransferReport:
    """Score one loaded model language by language; print, draw and track what comes out."""
    recipe, task = setup.recipe, setup.task
    metric = main_metric(task)
    results: dict[str, LanguageResult] = {}
    records: dict[str, DatasetRecord] = {}
    fineness: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, language in enumerate(languages, start=1):
            with setup.processes.first_alone():
                part = load_split(setup, language, split)
            predictions = predict(
                model,
                part.encoded,
                token_budget=recipe.evaluation.token_budget,
                pad_id=setup.pad_id,
                device=setup.device,
                processes=setup.processes,
            )
            gold = part.encoded.gold()
            result = language_result(task, language, gold, predictions.labels)
            path = Path(folder) / f"{language}.{split}.jsonl.gz"
            save_predictions(
                path,
                task=task,
                language=language,
                split=split,
                ids=list(part.dataset["id"]),
                gold=gold,
                predicted=predictions.labels,
            )
            tracker.log_dataset(part.record)
            tracker.log_artifact(path, "predictions")
            results[language], records[language] = result, part.record
            if split == "test" and setup.processes.is_first:
                tokens = tokens_per_word(setup.tokenizer, task, language, part.dataset[:_COUNTED])
                if tokens is not None:
                    fineness[f"{TOKENS_PER_WORD}{language}"] = tokens
            console.print(
                f"  {split} {number}/{len(languages)}  {language:<3} {metric} "
                f"{result.scores[metric].value:5.1f}  {result.examples:,} examples  "
                f"{predictions.tokens_per_second:,.0f} tokens/s",
                highlight=False,
            )
        report = TransferReport(task.name, split, metric, recipe.data.train_language, results)
        table = score_table(report)
        console.print(table)
        if setup.processes.is_first:
            _log_report(tracker, report, table, Path(folder))
    metrics = report.metrics() | fineness
    for language, record in records.items():
        own = {key: metrics.pop(key) for key in list(metrics) if key.endswith(f"/{language}")}
        tracker.log_metrics(own, step=step, dataset=record, model_id=model_id)
    tracker.log_metrics(metrics, step=step, model_id=model_id)
    return report


def _log_report(tracker: Tracker, report: TransferReport, table: Table, folder: Path) -> None:
    text = io.StringIO()
    Console(file=text, width=110).print(table)
    log_text(tracker, "scores.txt", text.getvalue())
    log_text(tracker, "report.json", json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    tracker.log_artifact(bar_chart(report, folder / "scores.png"))
