"""What a run did cost: time, arithmetic, memory and disk, put in relation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xlprompt.models import TaskModel
from xlprompt.models.backbone.readouts import MOST_READ
from xlprompt.training.alignment.loss import Unlabelled
from xlprompt.training.machine.speed import PeakRate
from xlprompt.training.store.metric_names import (
    CHECKPOINT_BYTES,
    MODEL_FLOPS_UTILIZATION,
    MODEL_TFLOPS,
    PEAK_MEMORY_MIB,
    PHASE_SECONDS,
    TOKENS_PER_SECOND,
    TOTAL_SECONDS,
    TRAIN_SECONDS,
)


@dataclass(frozen=True)
class RunCost:
    """What a run took.

    Attributes:
        train_seconds: Steps, without evaluations.
        total_seconds: Everything, of all attempts at a run that was interrupted.
        tokens_per_second: Training tokens without padding, by `train_seconds`.
        flops: Model FLOPs of all steps, by all devices together.
        model_flops_utilization: `flops` by what the devices could have computed in `train_seconds`, 0 to 1.
        peak_memory_bytes: Of the device, or of the process.
        checkpoint_bytes: All files of the checkpoint.
        phases: What `total_seconds` went into; see `xlprompt.training.machine.phases`.
    """

    train_seconds: float
    total_seconds: float
    tokens_per_second: float
    flops: int
    model_flops_utilization: float
    peak_memory_bytes: int
    checkpoint_bytes: int
    phases: Mapping[str, float] = field(default_factory=dict)

    def to_metrics(self) -> dict[str, float]:
        """By the names they are logged under."""
        return {
            TRAIN_SECONDS: self.train_seconds,
            TOTAL_SECONDS: self.total_seconds,
            TOKENS_PER_SECOND: self.tokens_per_second,
            MODEL_TFLOPS: self.flops / 1e12,
            MODEL_FLOPS_UTILIZATION: self.model_flops_utilization,
            PEAK_MEMORY_MIB: self.peak_memory_bytes / 2**20,
            CHECKPOINT_BYTES: self.checkpoint_bytes,
            **{PHASE_SECONDS + phase: seconds for phase, seconds in self.phases.items()},
        }


def training_flops(
    model: TaskModel,
    lengths: Collection[int],
    rows: int,
    *,
    readouts: float = 1.0,
    read: Collection[int] | None = None,
) -> int:
    """Model FLOPs of training on so many rows, drawn evenly from rows of these lengths.

    Args:
        model: What is trained.
        lengths: Tokens of each row.
        rows: How many are trained on.
        readouts: Read-outs of a row, on average.
        read: Tokens of what is really read for all of `lengths`, where texts that begin alike share a row;
            None where each is read by itself.
    """
    read = lengths if read is None else read
    return _flops(model, "step", read, readouts * len(lengths) / len(read)) * rows // len(lengths)


def unlabelled_flops(model: TaskModel, text: Unlabelled, *, steps: int, readouts: float = 1.0) -> int:
    """Model FLOPs of what an alignment loss adds: both passes over one text, the first over the other."""
    rows = steps * text.rows
    forward = _flops(model, "forward", text.target_lengths, readouts) * rows // len(text.target_lengths)
    return training_flops(model, text.lengths, rows, readouts=readouts) + forward


def _flops(
    model: TaskModel, which: Literal["forward", "step"], lengths: Collection[int], readouts: float
) -> int:
    """FLOPs of rows: those of one read-out, those of all, or as far between as read-outs are."""
    once: int = getattr(model.flops, which)(lengths)
    mean = sum(map(int, lengths)) / len(lengths)
    if readouts <= 1:
        return once
    every: int = getattr(model.dense_flops, which)(lengths)
    return (
        every if readouts > MOST_READ * mean else once + round((every - once) * (readouts - 1) / (mean - 1))
    )


def measured(
    *,
    train_seconds: float,
    phases: Mapping[str, float],
    tokens_per_second: float,
    flops: int,
    peak: PeakRate,
    peak_memory_bytes: int,
    checkpoint_bytes: int,
    devices: int = 1,
) -> RunCost:
    """Put what a run took in relation; model FLOPs utilization as in PaLM (arXiv 2204.02311, appendix B).

    Args:
        train_seconds: Wall-clock time of the steps.
        phases: Wall-clock time of everything, by phase.
        tokens_per_second: Training tokens without padding a second.
        flops: Of all steps; see `training_flops`.
        peak: Of one device.
        peak_memory_bytes: Most memory held.
        checkpoint_bytes: See `folder_bytes`.
        devices: Number of devices that `flops` were shared by.
    """
    return RunCost(
        train_seconds=train_seconds,
        total_seconds=sum(phases.values()),
        tokens_per_second=tokens_per_second,
        flops=flops,
        model_flops_utilization=flops / (train_seconds * peak.flops_per_second * devices),
        peak_memory_bytes=peak_memory_bytes,
        checkpoint_bytes=checkpoint_bytes,
        phases=phases,
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder, as of a checkpoint."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
