"""Scores a small sample of every language while a run trains, and puts the scores into the store by step.

Nothing is chosen by them. They change nothing about training either: the model answers in evaluation mode
and without gradients, which draws no random number, and every module is left in the mode that it was in.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from xlprompt.evaluation import main_metric, predict
from xlprompt.evaluation.processes import Processes
from xlprompt.evaluation.scores.metrics import has_main_metric, main_value
from xlprompt.models import TaskModel
from xlprompt.training.fitting.listeners import Listener, Step
from xlprompt.training.inputs.curve_samples import CurveSample
from xlprompt.training.machine.phases import Phase, Phases
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT, curve_score
from xlprompt.training.store.tracker import Tracker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LanguageCurve(Listener):
    """Scores the samples at some of the steps; all processes of a run have it, and share them.

    Attributes:
        model: What is trained, on `device`.
        samples: Of every language.
        tracker: Where scores go; a step that it has already is not logged again.
        steps: When.
        trained: Languages that are trained on, which the mean leaves out.
        token_budget: Padded tokens of a pass at most.
        pad_id: Fills up shorter rows.
        device: Where the batches go.
        processes: Those that share the work.
        phases: The run's stopwatch.
    """

    model: TaskModel
    samples: Sequence[CurveSample]
    tracker: Tracker
    steps: Collection[int]
    trained: Collection[str]
    token_budget: int
    pad_id: int
    device: torch.device
    processes: Processes
    phases: Phases

    def stepped(self, step: Step) -> None:
        """Score the samples when their turn has come."""
        if step.number in self.steps:
            with self.phases.of(Phase.CURVE):
                self.tracker.log_metrics(self.figures(step.number), step=step.number)

    def figures(self, step: int) -> dict[str, float]:
        """Scores and entropies by their metrics' names; a language without a figure at this step has none."""
        figures: dict[str, float] = {}
        zero_shot = []
        metric = main_metric(self.samples[0].encoded.task)
        for sample in self.samples:
            language, encoded = sample.language, sample.encoded
            try:
                predictions = predict(
                    self.model,
                    encoded,
                    token_budget=self.token_budget,
                    pad_id=self.pad_id,
                    device=self.device,
                    processes=self.processes,
                )
            except FloatingPointError:  # the loop says so, if it is more than a passing overflow
                _log.warning("Step %d: the curve has no point in %s, whose logits overflow", step, language)
                continue
            figures[curve_score("entropy", language)] = predictions.entropy
            gold = encoded.gold()
            if has_main_metric(encoded.task, gold):
                value = main_value(encoded.task, gold, predictions.labels, language=language)
                figures[curve_score(metric, language)] = value
                if language not in self.trained:
                    zero_shot.append(value)
        if zero_shot:
            figures[curve_score(metric, MEAN_ZERO_SHOT)] = sum(zero_shot) / len(zero_shot)
        return figures
