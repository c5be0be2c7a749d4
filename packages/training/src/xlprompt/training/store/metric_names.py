"""What a run's figures are called in the store.

Scores have the names that `xlprompt.evaluation.scores.transfer_scores` gives them, by split, metric and
language; `score_name` is one of these, for who reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from xlprompt.data.languages import in_study_order

TRAIN_LOSS = "train/loss"
TRAIN_RATE = "train/learning_rate"
TRAIN_SPEED = "train/tokens_per_second"
TRAIN_DISTANCE = "train/alignment_distance"
VALIDATION_LOSS = "validation/loss"

CURVE = "curve/"
"""Of a sample of every language, by step: `curve/<metric>/<language>`, and `curve/entropy/<language>`."""

CURVE_ROWS = "curve_rows"
"""How many rows the smallest of these samples has."""

ENTROPY = "answers/entropy/"
"""By language, in nats: how unsure the test set's answers are; it needs no labels."""

ALIGNED_ENTROPY = "answers/entropy-"
"""The same with a kind of alignment: `answers/entropy-<kind>/<language>`."""

ALIGNMENT_DISTANCE = "alignment/distance/"
"""By language: how far its states' means lie from the training language's before they are moved."""

BEST_STEP = "best/step"

TEST = "test/"

COST = "cost/"
TRAIN_SECONDS = "cost/train_seconds"
TOTAL_SECONDS = "cost/total_seconds"
TOKENS_PER_SECOND = "cost/tokens_per_second"
PEAK_MEMORY_MIB = "cost/peak_memory_mib"
MODEL_TFLOPS = "cost/model_tflops"  # work in 1e12 FLOPs, not a rate
MODEL_FLOPS_UTILIZATION = "cost/model_flops_utilization"
CHECKPOINT_BYTES = "cost/checkpoint_bytes"
PHASE_SECONDS = "cost/seconds/"  # by phase; together they are the total
ESTIMATED_TRAIN_SECONDS = "cost/estimated_train_seconds"
ESTIMATED_DEVELOPMENT_SECONDS = "cost/estimated_development_seconds"
ESTIMATED_PEAK_MEMORY_MIB = "cost/estimated_peak_memory_mib"
ESTIMATED_MODEL_TFLOPS = "cost/estimated_model_tflops"
TRIALS_SECONDS = "cost/trials_seconds"

LANGUAGE_MODEL = "language_model/"
LOSS_BEFORE = "language_model/before/"
LOSS_AFTER = "language_model/after/"
LOSS_CHANGE = "language_model/change/"

SCORE = "score/"
SCORE_TRAINED_ON = "score/trained_on"
SCORE_ZERO_SHOT = "score/zero_shot"
SCORE_GAP = "score/gap"
HEADLINE = (SCORE_TRAINED_ON, SCORE_ZERO_SHOT, SCORE_GAP)
"""The test set's main figures once more, under names that are alike for all tasks, metrics and languages.

A training run logs them as NaN when it begins, which keeps them the first places in MLflow's table.
"""

MEAN = "mean"
MEAN_ZERO_SHOT = "mean_zero_shot"
TRANSFER_GAP = "transfer_gap"


def score_name(metric: str, what: str, split: str = "test") -> str:
    """A score: of a language, or `MEAN`, `MEAN_ZERO_SHOT` or `TRANSFER_GAP`."""
    return f"{split}/{metric}/{what}"


def scored_languages(names: Iterable[str]) -> tuple[str, ...]:
    """The languages that a run has scores of, on test or development sets, by the names of its figures."""
    parts = [name.split("/") for name in names]
    found = {each[2] for each in parts if len(each) == 3 and each[0] in ("test", "validation")}
    return in_study_order(found - {MEAN, MEAN_ZERO_SHOT, TRANSFER_GAP})


def swept_mean(metric: str, kind: str, swept: str, split: str = "test") -> str:
    """The zero-shot mean with a kind of alignment, by the number of sentences or the layer as its step."""
    return f"{split}-{kind}/{metric}/{MEAN_ZERO_SHOT}_by_{swept}"


class KeptPredictions(NamedTuple):
    """Which of a run's predictions a folder holds.

    Attributes:
        kind: Kind of alignment, or `none`.
        sentences: Of one of several alignments that were scored at once; None for the one that counts.
        layer: Its decoder layer; None for what the head reads.
    """

    kind: str
    sentences: int | None = None
    layer: int | None = None


_KEPT = re.compile(r"predictions-([a-z_]+)(?:-(head|[0-9]+)-([0-9]+))?")


def predictions_folder(kind: str, sentences: int | None = None, layer: int | None = None) -> str:
    """The folder of a run's predictions, by the fields of `KeptPredictions`; `kept_in` reads it."""
    if kind == "none":
        return "predictions"
    if sentences is None:
        return f"predictions-{kind}"
    return f"predictions-{kind}-{'head' if layer is None else layer}-{sentences}"


def kept_in(folder: str) -> KeptPredictions | None:
    """What a folder among a run's artifacts holds, by its name; None where that is no predictions."""
    if folder == predictions_folder("none"):
        return KeptPredictions("none")
    match = _KEPT.fullmatch(folder)
    if match is None:
        return None
    kind, place, sentences = match.groups()
    if place is None:
        return KeptPredictions(kind)
    return KeptPredictions(kind, int(sentences), None if place == "head" else int(place))


def curve_score(metric: str, what: str) -> str:
    """A score of a language's sample by step, or `MEAN_ZERO_SHOT` of all."""
    return f"{CURVE}{metric}/{what}"


def best_score(metric: str) -> str:
    """The development score of the step that was kept."""
    return f"best/{metric}"
