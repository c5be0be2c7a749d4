"""Scores of one model, language by language: printed, drawn and tracked.

What is measured, and how, is decided in `xlprompt.evaluation`. The scores without alignment are the run's;
those with one stand beside them under their own names.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table

from xlprompt.evaluation import (
    LanguageResult,
    Predictions,
    TransferReport,
    bar_chart,
    language_result,
    main_metric,
    predict,
    save_predictions,
    score_table,
    sweep_figure,
    sweep_table,
)
from xlprompt.evaluation.answers.aligned import predict_with_maps
from xlprompt.evaluation.fitted_table import show_table
from xlprompt.evaluation.scores.alignment_table import alignment_table
from xlprompt.evaluation.scores.fertility import TOKENS_PER_WORD, tokens_per_word
from xlprompt.evaluation.scores.floors import trivial_baseline
from xlprompt.evaluation.scores.metrics import has_main_metric, main_value
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import counted
from xlprompt.evaluation.zeroshot.likelihood import answer
from xlprompt.evaluation.zeroshot.templates import questions
from xlprompt.models import AffineMap, AlignmentKind, AlignmentSettings, TaskModel, ZeroShotSettings
from xlprompt.training.alignment.measure import measure_alignments
from xlprompt.training.alignment.moments import Alignment
from xlprompt.training.inputs.preparation import Setup, Split, load_split
from xlprompt.training.machine.allocator import give_back_freed_memory
from xlprompt.training.runs.known_figures import figure_key, keep_figure, known_figure
from xlprompt.training.runs.opened import Run
from xlprompt.training.store.labels import NOTE_TAG
from xlprompt.training.store.metric_names import (
    ALIGNED_ENTROPY,
    ALIGNMENT_DISTANCE,
    ENTROPY,
    SCORE_GAP,
    SCORE_TRAINED_ON,
    SCORE_ZERO_SHOT,
    predictions_folder,
    swept_mean,
)
from xlprompt.training.store.shown.note import opening, scores_note
from xlprompt.training.store.tracker import DatasetRecord, Tracker, log_text

_COUNTED = 1000  # examples of a test set: some 20,000 words, in a tenth of a second


@dataclass(frozen=True)
class Variant:
    """One way to score a model: the kind of alignment, and which of several it is."""

    kind: AlignmentKind = "none"
    place: int = 0


@dataclass(frozen=True)
class Scores:
    """What scoring a model came to.

    Attributes:
        report: Without alignment.
        aligned: By kind of alignment.
        sweep: Zero-shot means by kind, and by the number of sentences or the layer that was swept.
    """

    report: TransferReport
    aligned: Mapping[str, TransferReport] = field(default_factory=dict)
    sweep: Mapping[str, Mapping[int | None, float]] = field(default_factory=dict)


def score_languages(
    run: Run,
    split: str,
    wanted: Sequence[AlignmentSettings],
    *,
    model_id: str | None,
    checkpoint: Path | None,
) -> Scores:
    """Score one loaded model language by language; print, draw and track what comes out.

    Args:
        run: An open run.
        split: `test` or `validation`.
        wanted: Alignments to score with as well. The last one is what is reported by language; with several,
            means of all are swept over.
        model_id: The model in the store.
        checkpoint: Its checkpoint folder, beside which moments are kept; None in a process that does not
            write.
    """
    setup, languages, tracker, console = run.setup, run.languages, run.tracker, run.console
    task, metric = setup.task, run.metric
    alignments = measure_alignments(setup, run.model, languages, console, wanted, checkpoint)
    kinds = [kind for kind in wanted[-1].kinds if kind != "none"] if alignments else []
    with tempfile.TemporaryDirectory() as folder:
        scored = _Scored(alignments)
        with counted(console, f"scoring {split} sets", len(languages), in_logs=False) as done:
            for number, language in enumerate(languages, start=1):
                with setup.processes.first_alone():
                    part = load_split(setup, language, split)
                predictions = _predict(setup, run.model, part, language, alignments, kinds, languages)
                scored.add(setup, part, language, split, predictions, tracker, Path(folder))
                plain = scored.results[Variant()][language]
                score = plain.scores[metric]
                console.print(
                    f"  {split} {number}/{len(languages)}  {language:<3} {metric} "
                    f"{f'{score.value:.1f}' if score.is_defined else 'n/a':>5}  {plain.examples:,} examples  "
                    f"{predictions[Variant()].tokens_per_second:,.0f} tokens/s",
                    highlight=False,
                )
                give_back_freed_memory()  # or batches of ever other shapes keep some 0.2 GiB more
                done()
        trained, *more = run.recipe.data.train_languages
        reports = {
            variant: TransferReport(
                task.name,
                # Named after the split, so that their metrics stand beside those of the paper's protocol.
                split if variant.kind == "none" else f"{split}-{variant.kind}",
                metric,
                trained,
                results,
                tuple(more),
            )
            for variant, results in scored.results.items()
        }
        report = reports[Variant()]
        table = score_table(report, trained=run.model.method.is_trained)
        show_table(console, table)
        if setup.processes.is_first:
            _log_report(tracker, report, table, Path(folder))
            if (place := tracker.place()) is not None:
                about = opening(run.recipe, split)
                note = scores_note(about, report, place, has_model=model_id is not None)
                tracker.set_tag(NOTE_TAG, note)
        if split == "test":
            tracker.log_metrics(_headline(report))  # first, as MLflow lists what is logged first at the top
        _log_metrics(
            tracker, report.metrics() | scored.fineness | scored.unlabelled, scored.records, model_id
        )
        if not kinds:
            return Scores(report)
        aligned: dict[str, TransferReport] = {kind: reports[Variant(kind, scored.last)] for kind in kinds}
        without_text = alignments[-1].without_text(languages)
        _show(tracker, console, alignment_table(report, aligned, without_text), "alignment.txt")
        content = {kind: each.to_dict() for kind, each in aligned.items()}
        log_text(tracker, "alignment.json", json.dumps(content, indent=2, ensure_ascii=False))
        for of_kind in aligned.values():
            _log_metrics(tracker, of_kind.metrics(), scored.records, model_id)
        sweep = _sweep(report, scored.swept, alignments, kinds)
        if sweep:
            _log_sweep(setup, tracker, console, report, sweep, _swept(alignments), Path(folder))
    return Scores(report, aligned, sweep)


@dataclass
class _Scored:
    """What has been scored so far.

    Attributes:
        alignments: All that are scored; the last one is reported by language.
        results: By variant and language, of no alignment and the last one.
        swept: Main scores by variant and language, of every alignment.
        records: The test sets by language.
        fineness: Metrics that say how finely the tokenizer cuts.
        unlabelled: Metrics that no label is needed for: how unsure the answers are, without and with the last
            alignment, and how far a language's states lie from the training language's.
    """

    alignments: Sequence[Alignment]
    results: dict[Variant, dict[str, LanguageResult]] = field(default_factory=dict)
    swept: dict[Variant, dict[str, float]] = field(default_factory=dict)
    records: dict[str, DatasetRecord] = field(default_factory=dict)
    fineness: dict[str, float] = field(default_factory=dict)
    unlabelled: dict[str, float] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """Place of the alignment that is reported by language."""
        return len(self.alignments) - 1

    def add(
        self,
        setup: Setup,
        part: Split,
        language: str,
        split: str,
        predictions: Mapping[Variant, Predictions],
        tracker: Tracker,
        folder: Path,
    ) -> None:
        """Score one language's predictions, and keep their files."""
        task, gold, ids = setup.task, part.encoded.gold(), part.dataset["id"][:]
        save = partial(save_predictions, task=task, language=language, split=split, ids=ids, gold=gold)
        floor = trivial_baseline(part.encoded, language)
        for variant, each in predictions.items():
            name = self._folder(variant)
            path = folder / name / f"{language}.{split}.jsonl.gz"
            save(path, predicted=each.labels, trivial_baseline=floor)
            tracker.log_artifact(path, name)
            if variant.kind != "none" and variant.place != self.last:
                if has_main_metric(task, gold):
                    value = main_value(task, gold, each.labels, language=language)
                    self.swept.setdefault(variant, {})[language] = value
                continue
            result = language_result(task, language, gold, each.labels, trivial_baseline=floor)
            self.results.setdefault(variant, {})[language] = result
            score = result.scores[main_metric(task)]
            if score.is_defined:
                self.swept.setdefault(variant, {})[language] = score.value
        tracker.log_dataset(part.record)
        self.records[language] = part.record
        if split == "test":
            self._note_unlabelled(language, predictions)
        if split == "test" and setup.processes.is_first:
            tokens = _tokens_per_word(setup, part, language)
            if tokens is not None:
                self.fineness[f"{TOKENS_PER_WORD}{language}"] = tokens

    def _folder(self, variant: Variant) -> str:
        if variant.kind == "none" or variant.place == self.last:
            return predictions_folder(variant.kind)
        alignment = self.alignments[variant.place]
        return predictions_folder(variant.kind, alignment.sentences, alignment.layer)

    def _note_unlabelled(self, language: str, predictions: Mapping[Variant, Predictions]) -> None:
        for variant, each in predictions.items():
            if variant.kind == "none":
                self.unlabelled[f"{ENTROPY}{language}"] = each.entropy
            elif variant.place == self.last:
                self.unlabelled[f"{ALIGNED_ENTROPY}{variant.kind}/{language}"] = each.entropy
        if self.alignments and (distance := self.alignments[-1].distance(language)) is not None:
            self.unlabelled[f"{ALIGNMENT_DISTANCE}{language}"] = distance


def _tokens_per_word(setup: Setup, part: Split, language: str) -> float | None:
    """Of the first examples; it depends on text and tokenizer alone, and is counted once for all runs."""
    key = figure_key("fertility", encoded=part.encoded.fingerprint, language=language, examples=_COUNTED)
    known = known_figure("fertility", key)
    if known is not None:
        return known
    tokens = tokens_per_word(setup.tokenizer, setup.task, language, part.dataset[:_COUNTED])
    if tokens is not None:
        keep_figure("fertility", key, tokens)
    return tokens


def _predict(
    setup: Setup,
    model: TaskModel,
    part: Split,
    language: str,
    alignments: Sequence[Alignment],
    kinds: Sequence[AlignmentKind],
    among: Sequence[str],
) -> dict[Variant, Predictions]:
    """Predictions of one language by every variant; where nothing is moved, those of none.

    `among` are all languages that are scored.
    """
    if not model.method.is_trained:
        return {Variant(): _asked(setup, model, part, language)}
    batching = {
        "token_budget": setup.recipe.evaluation.token_budget,
        "pad_id": setup.pad_id,
        "device": setup.device,
        "processes": setup.processes,
    }
    maps: dict[int | None, dict[Variant, AffineMap | None]] = {None: {Variant(): None}}
    unmoved = []
    for place, alignment in enumerate(alignments):
        for kind, each in alignment.maps(language, kinds, among).items():
            if each is None:
                unmoved.append(Variant(kind, place))
            else:
                maps.setdefault(alignment.layer, {})[Variant(kind, place)] = each
    predictions: dict[Variant, Predictions] = {}
    for layer, of_layer in maps.items():
        if list(of_layer) == [Variant()]:
            predictions[Variant()] = predict(model, part.encoded, **batching)  # type: ignore[arg-type]
        else:
            predictions |= predict_with_maps(model, part.encoded, of_layer, layer=layer, **batching)  # type: ignore[arg-type]
    return predictions | dict.fromkeys(unmoved, predictions[Variant()])


def _asked(setup: Setup, model: TaskModel, part: Split, language: str) -> Predictions:
    """Predictions of the untouched backbone, asked in words."""
    words = cast(ZeroShotSettings, model.method).words
    return answer(
        model.backbone,
        setup.tokenizer,
        questions(setup.task, language, part.dataset, words),
        [index for (index,) in part.encoded.gold()],
        token_budget=setup.recipe.evaluation.token_budget,
        device=setup.device,
        processes=setup.processes,
    )


def _log_metrics(
    tracker: Tracker,
    metrics: dict[str, float],
    records: Mapping[str, DatasetRecord],
    model_id: str | None,
) -> None:
    # Without a step: MLflow draws what has one as a line, which of a single figure is a dot.
    for language, record in records.items():
        own = {key: metrics.pop(key) for key in list(metrics) if key.endswith(f"/{language}")}
        tracker.log_metrics(own, dataset=record, model_id=model_id)
    tracker.log_metrics(metrics, model_id=model_id)


def _headline(report: TransferReport) -> dict[str, float]:
    """The main figures under names that are alike for all tasks, rounded for the narrow columns of a list."""
    trained = report.results.get(report.train_language)
    figures = {
        SCORE_TRAINED_ON: trained.scores[report.metric] if trained else None,
        SCORE_ZERO_SHOT: report.mean_zero_shot(),
        SCORE_GAP: report.transfer_gap(),
    }
    return {name: round(each.value, 2) for name, each in figures.items() if each and each.is_defined}


def _log_report(tracker: Tracker, report: TransferReport, table: Table, folder: Path) -> None:
    _log_table(tracker, table, "scores.txt")
    log_text(tracker, "report.json", json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    tracker.log_artifact(bar_chart(report, folder / "scores.png"))


def _swept(alignments: Sequence[Alignment]) -> str:
    return "layer" if len({each.layer for each in alignments}) > 1 else "sentences"


def _sweep(
    report: TransferReport,
    scores: Mapping[Variant, Mapping[str, float]],
    alignments: Sequence[Alignment],
    kinds: Sequence[AlignmentKind],
) -> dict[str, dict[int | None, float]]:
    """Zero-shot means by kind and by what the alignments differ in; nothing where there is one of them."""
    zero_shot = report.zero_shot_scored
    if len(alignments) < 2 or not zero_shot:
        return {}
    name = _swept(alignments)
    return {
        kind: {
            getattr(alignment, name): sum(scores[Variant(kind, place)][code] for code in zero_shot)
            / len(zero_shot)
            for place, alignment in enumerate(alignments)
        }
        for kind in kinds
    }


def _log_sweep(
    setup: Setup,
    tracker: Tracker,
    console: Console,
    report: TransferReport,
    sweep: Mapping[str, Mapping[int | None, float]],
    name: str,
    folder: Path,
) -> None:
    """Means as metrics whose step is the number of sentences or the layer (0 for the head), and a figure."""
    summary = report.mean_zero_shot()
    none = summary.value if summary else 0.0
    title = f"{report.task} · {report.split} · zero-shot {report.metric} by {name}"
    _show(tracker, console, sweep_table(title, name, none, sweep), f"alignment-{name}.txt")
    if not setup.processes.is_first:
        return
    tracker.log_artifact(sweep_figure(folder / f"alignment-{name}.png", title, name, none, sweep))
    for kind, points in sweep.items():
        for value, mean in points.items():
            key = swept_mean(report.metric, kind, name, report.split)
            tracker.log_metrics({key: mean}, step=value or 0)


def _show(tracker: Tracker, console: Console, table: Table, name: str) -> None:
    show_table(console, table)
    _log_table(tracker, table, name)


def _log_table(tracker: Tracker, table: Table, name: str) -> None:
    text = io.StringIO()
    show_table(open_console(file=text, width=110), table)
    log_text(tracker, name, text.getvalue())
