"""An engine computes gradients, updates the weights, and gives its whole state back as tensors.

`TorchEngine` is plain torch: AdamW in float32 on everything that trains, in one process or in several that
share each step. Weights that are computed with in bfloat16 have float32 masters, which the updates go to
(mixed precision as in Micikevicius et al. 2018, arXiv 1710.03740): an update of a thousandth of a weight
would be lost in bfloat16. `deepspeed_engine.py` has the one that shards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from xlprompt.data.encoding.batches import Batch, TrainingStep
from xlprompt.evaluation.answers.known_states import KnownStates
from xlprompt.evaluation.processes import Processes
from xlprompt.models import TaskModel
from xlprompt.models.objective import summed_loss
from xlprompt.training.machine.allocator import FreedMemory
from xlprompt.training.recipes.recipe import OptimizerSettings

# What a step adds to its loss, given the model to call: a scalar, this process's share of it.
Penalty = Callable[[nn.Module], Tensor]


class Engine(Protocol):
    """What the training loop asks of an engine. Every process calls every method, in the same order."""

    def step(
        self, step: TrainingStep, rate_factor: float, penalty: Penalty | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute one step's gradient, clip it, and move the weights at this share of the peak rates.

        Returns:
            The loss of this process's share (over all processes they add up to the mean loss of the step),
            without the penalty, and the norm of the whole gradient before clipping: scalars on the model's
            device. Where one of them is not finite, the weights are void.
        """

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name, for process 0; others get nothing.

        On a CPU some of it may be what the engine works with: write it down before the next step.

        Names and values do not depend on the engine: `weight.NAME`, `exp_avg.NAME`, `exp_avg_sq.NAME` in
        float32 and `step.NAME`, so that another engine, or another number of processes, can go on from it.
        """

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where `state` was taken; every process is given the whole of it.

        Raises:
            ValueError: The state is of another model or optimizer.
        """

    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint holds (see `TaskModel.trainable_state`), for process 0; others get nothing."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put what process 0 got from `weights` back into the model of every process, to evaluate it."""

    def whole(self, parameter: Tensor) -> AbstractContextManager[None]:
        """Within it the parameter is whole in every process, for what reads it outside of its module."""

    def close(self) -> None:
        """Give back what the engine has taken; the model may be of no use afterwards."""


class TorchEngine:
    """Plain torch: each process holds everything, and gradients are added up between the processes.

    They are added in float32 and once a step; torch's own DistributedDataParallel would add what each
    micro-batch gives in the weights' precision.
    """

    def __init__(
        self, model: TaskModel, settings: OptimizerSettings, device: torch.device, processes: Processes
    ) -> None:
        """Make the optimizer, and float32 masters of the weights that train in a lower precision."""
        self._model = model
        self._device = device
        self._processes = processes
        self._freed = FreedMemory()
        self.known_states: KnownStates | None = None  # of the training set, where it is read once
        self._clip_norm = settings.clip_norm or math.inf
        self.masters: Mapping[str, Master] = {
            name: Master(parameter) for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        self._optimizer = make_optimizer(model, settings, self.masters)
        self._peaks = [float(group["lr"]) for group in self._optimizer.param_groups]

    def step(
        self, step: TrainingStep, rate_factor: float, penalty: Penalty | None = None
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the mean loss over the step's read-outs, clipped, and one step of AdamW."""
        loss = accumulate_gradients(self._model, step, self._device, self.known_states, self._freed)
        if penalty is not None:
            penalty(self._model).backward()
        weights = [master.weight for master in self.masters.values()]
        if self._processes.size > 1:
            self._processes.add_up([_gradient(weight) for weight in weights])
        norm = nn.utils.clip_grad_norm_(weights, self._clip_norm)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate_factor
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        for master in self.masters.values():
            master.publish()
        return loss, norm

    def state(self) -> dict[str, Tensor]:
        """Weights in float32 and AdamW's two moments and step count."""
        if not self._processes.is_first:
            return {}
        tensors: dict[str, Tensor] = {}
        for name, master in self.masters.items():
            tensors[f"weight.{name}"] = master.weight.detach()
            for slot, value in self._optimizer.state.get(master.weight, {}).items():
                tensors[f"{slot}.{name}"] = value
        return {name: tensor.to("cpu") for name, tensor in tensors.items()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put weights and moments back."""
        refuse_foreign_state(state, set(self.masters))
        for name, master in self.masters.items():
            master.weight.copy_(state[f"weight.{name}"])
            master.publish()
            slots = {
                key.partition(".")[0]: value
                for key, value in state.items()
                if key.partition(".")[2] == name and not key.startswith("weight.")
            }
            # AdamW keeps the moments where the weight is, and counts its steps on the CPU unless fused.
            fused = self._optimizer.defaults["fused"]
            self._optimizer.state[master.weight] = {
                slot: value.to("cpu" if slot == "step" and not fused else master.weight.device, copy=True)
                for slot, value in slots.items()
            }

    def weights(self) -> dict[str, Tensor]:
        """Copies on the CPU."""
        return self._model.trainable_state() if self._processes.is_first else {}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Process 0 loads them, and the others receive them."""
        hand_out_weights(self._model, weights, self._processes)

    def whole(self, parameter: Tensor) -> AbstractContextManager[None]:
        """It always is."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to give back."""


def hand_out_weights(model: TaskModel, weights: Mapping[str, Tensor], processes: Processes) -> None:
    """Load weights in process 0 into the models of all, each of which holds the whole."""
    if processes.is_first:
        model.load_trainable_state(weights)
    processes.hand_out(list(model.kept_parameters().values()))


def refuse_foreign_state(state: Mapping[str, Tensor], trained: set[str]) -> None:
    """Refuse an engine's state whose parameters are not the ones that train here.

    Raises:
        ValueError: They differ.
    """
    theirs = {name.partition(".")[2] for name in state}
    if theirs != trained:
        differing = ", ".join(sorted(theirs ^ trained)[:3])
        raise ValueError(f"this training state is of another model: it differs in {differing}")


class Master:
    """A parameter and the float32 weight behind it, which is the parameter itself where that is float32."""

    def __init__(self, parameter: nn.Parameter) -> None:
        """Copy the parameter, and move its gradient over to the copy whenever one arrives."""
        self.parameter = parameter
        self.weight = parameter
        if parameter.dtype != torch.float32:
            self.weight = nn.Parameter(parameter.detach().float())
            parameter.register_post_accumulate_grad_hook(self._take_gradient)

    @torch.no_grad()
    def publish(self) -> None:
        """Round the weight to what the model computes with."""
        if self.weight is not self.parameter:
            self.parameter.copy_(self.weight)

    def _take_gradient(self, parameter: Tensor) -> None:
        # Micro-batches are added up in float32; the bfloat16 gradient is freed at once.
        assert parameter.grad is not None
        if self.weight.grad is None:
            self.weight.grad = parameter.grad.float()
        else:
            self.weight.grad += parameter.grad
        parameter.grad = None


def _gradient(weight: nn.Parameter) -> Tensor:
    """The gradient, of zeros where a process has had nothing to do with the weight."""
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def accumulate_gradients(
    model: TaskModel,
    step: TrainingStep,
    device: torch.device,
    states: KnownStates | None = None,
    freed: FreedMemory | None = None,
) -> Tensor:
    """Add the gradients of this process's share of a step's loss, the mean cross-entropy over all decisions.

    Each micro-batch contributes its summed cross-entropy over the whole step's decisions, so the gradients
    add up to that of one big batch, whatever the split.

    Args:
        model: The task model.
        step: The step.
        device: Where the model is.
        states: What the backbone gives for the training set, where it is known.
        freed: Gives back what micro-batches have freed.

    Returns:
        The share's loss, a detached float32 scalar on `device`.
    """
    total = torch.zeros((), device=device)
    for batch in (freed or FreedMemory()).between(step.micro_batches):
        loss = share_of_loss(model, batch.to(device), step.decisions, states)
        loss.backward()
        total += loss.detach()
        del loss, batch  # before freed memory is given back
    return total


def share_of_loss(
    model: nn.Module, batch: Batch, decisions: int, states: KnownStates | None = None
) -> Tensor:
    """A micro-batch's summed cross-entropy over the decisions of the whole step, a float32 scalar."""
    if states is not None:
        logits = cast(TaskModel, model).head(states.of(batch))
    else:  # [readouts of the batch, width]
        logits = model(batch.input_ids, batch.rows, batch.columns, tree=batch.tree)
    return summed_loss(logits, batch.labels, batch.groups) / decisions


def make_optimizer(
    model: TaskModel, settings: OptimizerSettings, masters: Mapping[str, Master]
) -> torch.optim.AdamW:
    """AdamW over the masters of what trains, with rates and decay by kind of weight."""
    groups = [
        {**group, "params": [masters[name].weight for name in group["params"]]}
        for group in parameter_groups(model, settings)
    ]
    return torch.optim.AdamW(groups, betas=settings.betas, fused=updates_at_once(model))


def updates_at_once(model: TaskModel) -> bool:
    """Whether AdamW runs as torch's one fused operation, with no temporary tensors.

    For millions of weights, or hundreds of small ones, that is an order of magnitude faster on a CPU; for a
    prompt it is no matter.
    """
    return bool(model.backbone_parameters() or model.adapter_parameters())


def parameter_groups(model: TaskModel, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Names of the parameters that train, by rate and decay, as torch's optimizers take groups.

    Matrices are decayed; biases are not, nor is what zero would not switch off (see
    `TaskModel.undecayed_parameters`).
    """
    head = {id(parameter) for parameter in model.head_parameters()}
    undecayed = {id(parameter) for parameter in model.undecayed_parameters()}
    head_rate = settings.head_learning_rate or settings.learning_rate
    groups: dict[tuple[float, float], list[str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = head_rate if id(parameter) in head else settings.learning_rate
            decays = parameter.ndim > 1 and id(parameter) not in undecayed
            groups.setdefault((rate, settings.weight_decay if decays else 0.0), []).append(name)
    return [{"params": names, "lr": rate, "weight_decay": decay} for (rate, decay), names in groups.items()]
