"""What a run will cost, told before it starts: one real pass of the run's own first batch, scaled.

It changes nothing about the run: no weight, no gradient, no random state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

from xlprompt.data.encoding.batches import Batch
from xlprompt.evaluation.processes import Processes
from xlprompt.models import StateMemory, TaskModel
from xlprompt.training.alignment.loss import Unlabelled
from xlprompt.training.fitting.engine import share_of_loss, updates_at_once
from xlprompt.training.fitting.read_once import ReadOnce
from xlprompt.training.machine.speed import timed
from xlprompt.training.runs.cost import training_flops, unlabelled_flops
from xlprompt.training.store.metric_names import (
    ESTIMATED_DEVELOPMENT_SECONDS,
    ESTIMATED_MODEL_TFLOPS,
    ESTIMATED_PEAK_MEMORY_MIB,
    ESTIMATED_TRAIN_SECONDS,
)
from xlprompt.training.store.training_state import random_state, restore_random_state

_UPDATED_AT_ONCE = 2**22  # parameters of the trial update; larger ones take the same time a parameter
_IN_PIECES = 1.3  # of a trial's growth: what activations take on a CPU, where freed memory falls to pieces


@dataclass(frozen=True, eq=False)
class Workload:
    """How much a training run will compute.

    Attributes:
        steps: Optimizer steps.
        batch_size: Rows that a process reads in a step.
        lengths: Tokens of each training row.
        development_lengths: Tokens of each row that a development score reads.
        evaluations: How often the development set will be scored.
        unlabelled: What a step reads beside its rows; None for nothing.
        once: Which sets are read once, for all steps and scores.
        read_lengths: Tokens of what is read for all of `lengths`, where rows that begin alike are read as
            one; None where each is read by itself.
        readouts: Read-outs of a training row, on average.
        processes: How many share each step and each score.
    """

    steps: int
    batch_size: int
    lengths: Collection[int]
    development_lengths: Collection[int]
    evaluations: int
    unlabelled: Unlabelled | None = None
    once: ReadOnce = ReadOnce()
    read_lengths: Collection[int] | None = None
    readouts: float = 1.0
    processes: int = 1


@dataclass(frozen=True)
class CostEstimate:
    """What a run will take on this device, if nothing else works on it.

    Attributes:
        train_seconds: Steps, without evaluations.
        development_seconds: All evaluations on the development set.
        peak_memory_bytes: Of the device, or of this process where the device is the CPU.
        activation_bytes: The part of it that a micro-batch's passes take.
        flops: Model FLOPs of all steps, of all processes together; see `xlprompt.models.accounting.flops`.
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
            ESTIMATED_TRAIN_SECONDS: self.train_seconds,
            ESTIMATED_DEVELOPMENT_SECONDS: self.development_seconds,
            ESTIMATED_PEAK_MEMORY_MIB: self.peak_memory_bytes / 2**20,
            ESTIMATED_MODEL_TFLOPS: self.flops / 1e12,
        }


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
    scaled to all tokens of the run, with the step's share of padding and of shared beginnings; the update of
    the weights is timed apart. Both passes run twice and the second counts, as the first allocates. Gradients
    are computed beside the parameters' own; weights and random state are as before afterwards. Measuring
    resets the GPU's peak memory statistics.

    Memory is what is held now, the gradients and optimizer state to come, and the growth in these passes or
    in AdamW's update, whichever is more. On a CPU the growth is seen in the process's resident set only, and
    three tenths are added: micro-batches of other shapes grew by up to 12 % more than the trial's (LoRA on
    Gemma's XQuAD), as freed memory falls to pieces and oneDNN keeps some of the products that it compiles.

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
                pass_seconds = timed(lambda: _forward_backward(model, batch, trained, memory), device)
        model.eval()
        with torch.no_grad():
            for _ in range(2):
                forward_seconds = timed(lambda: _logits(model, batch), device)
    finally:
        for module, training in modes:
            module.training = training
        restore_random_state(random, device, Processes())
    tokens = batch.input_ids.numel()
    mean_length = sum(map(int, workload.lengths)) / len(workload.lengths)
    real = sum(one.num_tokens for one in micro_batches) / sum(one.input_ids.numel() for one in micro_batches)
    rows = len(workload.lengths) if workload.once.train else workload.steps * workload.batch_size
    rows_of_all = rows if workload.once.train else rows * workload.processes
    evaluations = 1 if workload.once.development else workload.evaluations
    fused = updates_at_once(model)
    params = sum(parameter.numel() for parameter in trained)
    update_seconds = _update_seconds(params, device, fused=fused)
    forward_rate = forward_seconds / tokens
    unlabelled_seconds, unlabelled = 0.0, 0
    if (text := workload.unlabelled) is not None:
        unlabelled = unlabelled_flops(model, text, steps=workload.steps, readouts=workload.readouts)
        own, target = (sum(each) / len(each) for each in (text.lengths, text.target_lengths))
        row_seconds = pass_seconds / tokens * own + forward_rate * target
        unlabelled_seconds = row_seconds / real * workload.steps * text.rows
    activations = round(memory.activations * (1 if device.type == "cuda" else _IN_PIECES))
    return CostEstimate(
        train_seconds=pass_seconds / tokens * rows * mean_length / real
        + workload.steps * update_seconds
        + unlabelled_seconds,
        development_seconds=forward_rate
        * sum(map(int, workload.development_lengths))
        / workload.processes
        * evaluations,
        peak_memory_bytes=memory.before
        + workload.once.bytes
        + state.gradients
        + state.optimizer
        + max(activations, _update_bytes(trained, device, fused=fused)),
        activation_bytes=activations,
        flops=training_flops(
            model, workload.lengths, rows_of_all, readouts=workload.readouts, read=workload.read_lengths
        )
        + unlabelled,
        forward_seconds_per_token=forward_rate,
    )


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
    return model(batch.input_ids, batch.rows, batch.columns, tree=batch.tree)


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
    return timed(update, device) * params / size


def _update_bytes(trained: list[nn.Parameter], device: torch.device, *, fused: bool) -> int:
    """What torch's AdamW takes for a moment: on a GPU the roots of all second moments, else of one tensor's.

    Float32. On a CPU they are there twice, before and after the bias correction (torch 2.13,
    `torch/optim/adam.py`). The fused one takes nothing.
    """
    if fused:
        return 0
    sizes = [parameter.numel() for parameter in trained]
    return 4 * sum(sizes) if device.type == "cuda" else 2 * 4 * max(sizes, default=0)
