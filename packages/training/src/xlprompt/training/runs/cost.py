"""What a run will cost, told before it starts, and what it did cost.

The estimate is one real pass of the run's own first batch, scaled; the measurement puts time, arithmetic,
memory and disk in relation. Neither changes anything about the run: no weight, no gradient, no random state.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch
from torch import Tensor, nn

from xlprompt.data.encoding.batches import Batch
from xlprompt.evaluation.processes import Processes
from xlprompt.models import StateMemory, TaskModel
from xlprompt.training.alignment.loss import Unlabelled
from xlprompt.training.fitting.engine import share_of_loss, updates_at_once
from xlprompt.training.machine.environment import device_name
from xlprompt.training.store.training_state import random_state, restore_random_state

# FLOPs a second in bfloat16 on tensor cores, dense and without sparsity (data sheets that give the sparse
# figure give twice as much), from NVIDIA's data sheets of the H100, H200, A100, L40S, L4 and A10. Found by
# words of torch's device name; the first line all of whose words occur in it counts.
_DATASHEET: tuple[tuple[frozenset[str], float], ...] = (
    (frozenset({"H100", "PCIe"}), 756e12),
    (frozenset({"H100", "NVL"}), 835e12),
    (frozenset({"H100", "HBM3"}), 989e12),  # SXM
    (frozenset({"H200", "NVL"}), 835e12),
    (frozenset({"H200"}), 989e12),
    (frozenset({"A100"}), 312e12),
    (frozenset({"L40S"}), 362e12),
    (frozenset({"L4"}), 121e12),
    (frozenset({"A10"}), 125e12),
)
_LONG_ENOUGH = 0.01  # seconds of a product after which a larger one would not tell more
_SIZES = (512, 1024, 2048, 4096, 8192)
_UPDATED_AT_ONCE = 2**22  # parameters of the trial update; larger ones take the same time a parameter


@dataclass(frozen=True)
class PeakRate:
    """The most arithmetic a device can do, and how that is known."""

    flops_per_second: float
    source: Literal["datasheet", "measured"]


@dataclass(frozen=True, eq=False)
class Workload:
    """How much a training run will compute.

    Attributes:
        steps: Optimizer steps.
        batch_size: Rows a step.
        lengths: Tokens of each training row.
        development_lengths: Tokens of each development row.
        evaluations: How often the development set will be scored.
        unlabelled: What a step reads beside its rows; None for nothing.
    """

    steps: int
    batch_size: int
    lengths: Collection[int]
    development_lengths: Collection[int]
    evaluations: int
    unlabelled: Unlabelled | None = None


@dataclass(frozen=True)
class CostEstimate:
    """What a run will take on this device, if nothing else works on it.

    Attributes:
        train_seconds: Steps, without evaluations.
        development_seconds: All evaluations on the development set.
        peak_memory_bytes: Of the device, or of this process where the device is the CPU.
        activation_bytes: The part of it that a micro-batch's passes take.
        flops: Model FLOPs of all steps; see `xlprompt.models.accounting.flops`.
        forward_seconds_per_token: A forward pass without gradients, for scaling to test sets.
    """

    train_seconds: float
    development_seconds: float
    peak_memory_bytes: int
    activation_bytes: int
    flops: int
    forward_seconds_per_token: float

    def to_metrics(self) -> dict[str, float]:
        """By the names they are logged under."""
        return {
            "cost/estimated_train_seconds": self.train_seconds,
            "cost/estimated_development_seconds": self.development_seconds,
            "cost/estimated_peak_memory_mib": self.peak_memory_bytes / 2**20,
            "cost/estimated_model_tflops": self.flops / 1e12,
        }


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
    """

    train_seconds: float
    total_seconds: float
    tokens_per_second: float
    flops: int
    model_flops_utilization: float
    peak_memory_bytes: int
    checkpoint_bytes: int

    def to_metrics(self) -> dict[str, float]:
        """By the names they are logged under; `cost/model_tflops` is work (1e12 FLOPs), not a rate."""
        return {
            "cost/train_seconds": self.train_seconds,
            "cost/total_seconds": self.total_seconds,
            "cost/tokens_per_second": self.tokens_per_second,
            "cost/model_tflops": self.flops / 1e12,
            "cost/model_flops_utilization": self.model_flops_utilization,
            "cost/peak_memory_mib": self.peak_memory_bytes / 2**20,
            "cost/checkpoint_bytes": self.checkpoint_bytes,
        }


def device_peak_flops(device: torch.device, precision: Literal["bfloat16", "float32"]) -> PeakRate:
    """The rate that a model's arithmetic is held against.

    Of GPUs whose data sheet is known it is the sheet's, in bfloat16; of any other device that of the fastest
    of a few square matrix products, which takes well under a second and on a GPU half a GB of memory. A
    measured rate is one that can be reached, so utilization by it comes out higher than by a data sheet's.
    """
    words = frozenset(device_name(device).replace("-", " ").split())
    if device.type == "cuda" and precision == "bfloat16" and "MIG" not in words:  # a slice is not the whole
        for wanted, rate in _DATASHEET:
            if wanted <= words:
                return PeakRate(rate, "datasheet")
    return PeakRate(_measured_rate(device, getattr(torch, precision)), "measured")


def training_flops(model: TaskModel, lengths: Collection[int], rows: int) -> int:
    """Model FLOPs of training on so many rows, drawn evenly from rows of these lengths."""
    return model.flops.step(lengths) * rows // len(lengths)


def unlabelled_flops(model: TaskModel, text: Unlabelled, *, steps: int) -> int:
    """Model FLOPs of what an alignment loss adds: both passes over one text, the first over the other."""
    rows = steps * text.rows
    forward = model.flops.forward(text.target_lengths) * rows // len(text.target_lengths)
    return training_flops(model, text.lengths, rows) + forward


def estimate(
    model: TaskModel,
    micro_batches: list[Batch],
    workload: Workload,
    *,
    state: StateMemory,
    device: torch.device,
) -> CostEstimate:
    """Time one pass of a real batch and scale it to the whole run.

    Time grows with padded tokens, so the time of a step's first micro-batch, which has its longest rows, is
    scaled to all tokens of the run, with the step's share of padding; the update of the weights is timed
    apart. Both passes run twice and the second counts, as the first allocates. Gradients are computed beside
    the parameters' own; weights and random state are as before afterwards. Measuring resets the GPU's peak
    memory statistics.

    Memory is what is held now, the gradients and optimizer state to come, and the growth in these passes or
    in AdamW's update, whichever is more. On a CPU the growth is seen in the process's resident set only, to
    which memory that was freed before, and kept by the allocator, does not count: there it is a lower bound.

    Args:
        model: On `device`, before an engine is made for it.
        micro_batches: A step of the run; of the first one, which has the longest rows, memory is the peak's.
        workload: How much will be computed.
        state: What the engine will hold; its weights are in memory already.
        device: Where the model is.
    """
    batch = micro_batches[0].to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    random = random_state(device, Processes())
    modes = [(module, module.training) for module in model.modules()]
    try:
        with _memory(device) as memory:
            model.train()
            for _ in range(2):
                pass_seconds = _timed(lambda: _forward_backward(model, batch, trained, memory), device)
        model.eval()
        with torch.no_grad():
            for _ in range(2):
                forward_seconds = _timed(lambda: _logits(model, batch), device)
    finally:
        for module, training in modes:
            module.training = training
        restore_random_state(random, device, Processes())
    tokens = batch.input_ids.numel()
    mean_length = sum(map(int, workload.lengths)) / len(workload.lengths)
    real = sum(one.num_tokens for one in micro_batches) / sum(one.input_ids.numel() for one in micro_batches)
    rows = workload.steps * workload.batch_size
    fused = updates_at_once(model)
    params = sum(parameter.numel() for parameter in trained)
    update_seconds = _update_seconds(params, device, fused=fused)
    forward_rate = forward_seconds / tokens
    unlabelled_seconds, unlabelled = 0.0, 0
    if (text := workload.unlabelled) is not None:
        unlabelled = unlabelled_flops(model, text, steps=workload.steps)
        own, target = (sum(each) / len(each) for each in (text.lengths, text.target_lengths))
        row_seconds = pass_seconds / tokens * own + forward_rate * target
        unlabelled_seconds = row_seconds / real * workload.steps * text.rows
    return CostEstimate(
        train_seconds=pass_seconds / tokens * rows * mean_length / real
        + workload.steps * update_seconds
        + unlabelled_seconds,
        development_seconds=forward_rate * sum(map(int, workload.development_lengths)) * workload.evaluations,
        peak_memory_bytes=memory.before
        + state.gradients
        + state.optimizer
        + max(memory.activations, _update_bytes(trained, device, fused=fused)),
        activation_bytes=memory.activations,
        flops=training_flops(model, workload.lengths, rows) + unlabelled,
        forward_seconds_per_token=forward_rate,
    )


def measured(
    *,
    train_seconds: float,
    total_seconds: float,
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
        total_seconds: Wall-clock time of everything.
        tokens_per_second: Training tokens without padding a second.
        flops: Of all steps; see `training_flops`.
        peak: Of one device.
        peak_memory_bytes: Most memory held.
        checkpoint_bytes: See `folder_bytes`.
        devices: Number of devices that `flops` were shared by.
    """
    return RunCost(
        train_seconds=train_seconds,
        total_seconds=total_seconds,
        tokens_per_second=tokens_per_second,
        flops=flops,
        model_flops_utilization=flops / (train_seconds * peak.flops_per_second * devices),
        peak_memory_bytes=peak_memory_bytes,
        checkpoint_bytes=checkpoint_bytes,
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder, as of a checkpoint."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class _Memory:
    """Memory held before, and the most it grew by."""

    def __init__(self, held: Callable[[], int]) -> None:
        self._held = held
        self.before = held()
        self.after_forward = self.peak = self.gradients = 0

    def look(self) -> int:
        """Growth so far."""
        growth = max(0, self._held() - self.before)
        self.peak = max(self.peak, growth)
        return growth

    @property
    def activations(self) -> int:
        """What passes take beside the gradients, which the engine's own take the place of.

        A trial holds all gradients until its end. A step moves each over as soon as it is there.
        """
        return max(self.after_forward, self.peak - self.gradients)


@contextmanager
def _memory(device: torch.device) -> Iterator[_Memory]:
    """Watch the device's allocations, or this process's resident set, which no system keeps a peak of."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        memory = _Memory(lambda: torch.cuda.memory_allocated(device))
        yield memory
        memory.peak = torch.cuda.max_memory_allocated(device) - memory.before
        return
    process = psutil.Process()
    memory = _Memory(lambda: int(process.memory_info().rss))
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            memory.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        over.set()
        watcher.join()
        memory.look()


def _logits(model: TaskModel, batch: Batch) -> Tensor:
    return model(batch.input_ids, batch.rows, batch.columns)


def _forward_backward(model: TaskModel, batch: Batch, trained: list[nn.Parameter], memory: _Memory) -> None:
    """What `accumulate_gradients` does with a micro-batch, but for the accumulation."""
    loss = share_of_loss(model, batch, len(batch.labels))
    memory.after_forward = max(memory.after_forward, memory.look())
    # Not backward(): it would write .grad and set off the engine's hooks.
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    memory.look()
    memory.gradients = sum(one.numel() * one.element_size() for one in gradients if one is not None)


def _update_seconds(params: int, device: torch.device, *, fused: bool) -> float:
    """Time of clipping and AdamW on so many parameters, from a trial on fewer."""
    size = min(params, _UPDATED_AT_ONCE)
    if size == 0:
        return 0.0
    weight = nn.Parameter(torch.zeros(size, device=device))
    weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW([weight], fused=fused)

    def update() -> None:
        nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()

    update()  # makes the moments
    return _timed(update, device) * params / size


def _update_bytes(trained: list[nn.Parameter], device: torch.device, *, fused: bool) -> int:
    """What torch's AdamW takes for a moment: on a GPU the roots of all second moments, else of one tensor's.

    Float32. On a CPU they are there twice, before and after the bias correction (torch 2.13,
    `torch/optim/adam.py`). The fused one takes nothing.
    """
    if fused:
        return 0
    sizes = [parameter.numel() for parameter in trained]
    return 4 * sum(sizes) if device.type == "cuda" else 2 * 4 * max(sizes, default=0)


def _measured_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of square products that grow until one takes long enough; the best median of three."""
    best = 0.0
    for size in _SIZES:
        matrix = torch.full((size, size), 0.5, dtype=dtype, device=device)
        result = torch.empty_like(matrix)
        first = _timed(lambda m=matrix, r=result: torch.mm(m, m, out=r), device)  # type: ignore[misc]
        times = [
            _timed(lambda m=matrix, r=result: torch.mm(m, m, out=r), device)  # type: ignore[misc]
            for _ in range(3 if first < 0.2 else 1)  # a device this slow is not asked more than it must be
        ]
        seconds = statistics.median(times)
        best = max(best, 2 * size**3 / seconds)
        if seconds > _LONG_ENOUGH:
            break
    return best


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds, until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
