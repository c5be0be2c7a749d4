"""An engine computes gradients, updates the weights, and gives its whole state back as tensors.

`TorchEngine` is plain torch in one process: AdamW in float32 on everything that trains. Weights that are
computed with in bfloat16 have float32 masters, which the updates go to (mixed precision as in Micikevicius et
al. 2018, arXiv 1710.03740): an update of a thousandth of a weight would be lost in bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from xlprompt.data.batches import Batch
from xlprompt.models import TaskModel
from xlprompt.training.recipe import OptimizerSettings


class Engine(Protocol):
    """What the training loop asks of an engine."""

    def gradients(self, micro_batches: list[Batch]) -> tuple[Tensor, Tensor]:
        """Compute one step's gradient, and clip it.

        Returns:
            The loss and the gradient's norm before clipping, scalars on the model's device.
        """

    def update(self, rate_factor: float) -> None:
        """Take the step, at this share of the peak learning rates."""

    def state(self) -> dict[str, Tensor]:
        """Copies of everything that the next step depends on, by name: weights and optimizer state."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where `state` was taken.

        Raises:
            ValueError: The state is of another model or optimizer.
        """


class TorchEngine:
    """Plain torch in one process."""

    def __init__(self, model: TaskModel, settings: OptimizerSettings, device: torch.device) -> None:
        """Make the optimizer, and float32 masters of the weights that train in a lower precision."""
        self._model = model
        self._device = device
        self._clip_norm = settings.clip_norm or math.inf
        self._masters = {
            name: Master(parameter) for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        self._optimizer = make_optimizer(model, settings, self._masters)
        self._peaks = [float(group["lr"]) for group in self._optimizer.param_groups]

    def gradients(self, micro_batches: list[Batch]) -> tuple[Tensor, Tensor]:
        """Accumulate the gradient of the mean loss over a step's read-outs in float32, and clip it."""
        loss = accumulate_gradients(self._model, micro_batches, self._device)
        weights = [master.weight for master in self._masters.values()]
        return loss, nn.utils.clip_grad_norm_(weights, self._clip_norm)

    def update(self, rate_factor: float) -> None:
        """One step of AdamW; what the model computes with follows its masters."""
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate_factor
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        for master in self._masters.values():
            master.publish()

    def state(self) -> dict[str, Tensor]:
        """Weights in float32 and AdamW's two moments and step count, on the CPU."""
        tensors: dict[str, Tensor] = {}
        for name, master in self._masters.items():
            tensors[f"weight.{name}"] = master.weight.detach()
            for slot, value in self._optimizer.state.get(master.weight, {}).items():
                tensors[f"{slot}.{name}"] = value
        return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put weights and moments back."""
        theirs = {name.partition(".")[2] for name in state}
        if theirs != self._masters.keys():
            differing = ", ".join(sorted(theirs ^ self._masters.keys())[:3])
            raise ValueError(f"this training state is of another model: it differs in {differing}")
        for name, master in self._masters.items():
            master.weight.copy_(state[f"weight.{name}"])
            master.publish()
            slots = {
                key.partition(".")[0]: value
                for key, value in state.items()
                if key.partition(".")[2] == name and not key.startswith("weight.")
            }
            # AdamW counts its steps on the CPU and keeps the moments where the weight is.
            self._optimizer.state[master.weight] = {
                slot: value.clone() if slot == "step" else value.to(master.weight.device, copy=True)
                for slot, value in slots.items()
            }


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


def accumulate_gradients(model: TaskModel, micro_batches: list[Batch], device: torch.device) -> Tensor:
    """Add the gradients of one step's loss, the mean cross-entropy over all its read-outs.

    Each micro-batch contributes its summed cross-entropy over the whole step's read-outs, so the gradient is
    that of one big batch, whatever the split.

    Returns:
        The loss, a detached float32 scalar on `device`.
    """
    readouts = sum(len(batch.labels) for batch in micro_batches)
    total = torch.zeros((), device=device)
    for cpu_batch in micro_batches:
        batch = cpu_batch.to(device)
        logits = model(batch.input_ids, batch.rows, batch.columns)  # [readouts, labels]
        loss = functional.cross_entropy(logits, batch.labels, reduction="sum") / readouts
        loss.backward()
        total += loss.detach()
    return total


def make_optimizer(
    model: TaskModel, settings: OptimizerSettings, masters: Mapping[str, Master]
) -> torch.optim.AdamW:
    """AdamW over what trains, with rates and decay by kind of weight.

    Matrices are decayed, but not a prompt: its keys and values take part in a softmax, so shrinking them to
    zero would not switch them off but dilute the attention to the text.
    """
    head = {id(parameter) for parameter in model.head_parameters()}
    prompt = {id(parameter) for parameter in model.prompt_parameters()}
    head_rate = settings.head_learning_rate or settings.learning_rate
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for master in masters.values():
        rate = head_rate if id(master.parameter) in head else settings.learning_rate
        decays = master.weight.ndim > 1 and id(master.parameter) not in prompt
        groups.setdefault((rate, settings.weight_decay if decays else 0.0), []).append(master.weight)
    return torch.optim.AdamW(
        [{"params": weights, "lr": rate, "weight_decay": decay} for (rate, decay), weights in groups.items()],
        betas=settings.betas,
    )
