"""Model FLOPs: the arithmetic that a forward pass or a training step needs, whatever the hardware does.

torch counts them in passes over the meta device: the matrix products of the decoder's layers and of
attention, a multiplication and an addition as two. Left out is what is small or never computed: the
language-model head (classification has none), the input embedding (a lookup), norms, activations, softmax and
the task's head.

- As in PaLM (Chowdhery et al. 2022, arXiv 2204.02311, appendix B), that half of attention which the causal
  mask or a sliding window throws away is not taken off.
- Gradient checkpointing computes more, but needs no more: it adds nothing, as in PaLM's model FLOPs
  utilization. Nor does the update of the weights, which is no matrix product.
- Of the last layer what a decoder computes counts: read-outs alone where few are read (see
  `xlprompt.models.backbone.readouts`), keys and values of all positions, and by most decoders their queries.
- Of a mixture those experts count that work on a token, and the router.
- What is frozen and lies below all that trains has no gradient, and a frozen matrix none of its own.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

_LENGTHS = (2, 3, 4)


def _grouped_flops(rows: torch.Size, matrices: torch.Size, *_: Any, **__: Any) -> int:
    """Of the product of each row with its expert's matrix, forward, and of a gradient of either."""
    return 2 * math.prod(rows) * matrices[-1]


_OF_EXPERTS = {getattr(torch.ops.aten, "_grouped_mm", None): _grouped_flops}
"""What transformers computes experts by. torch 2.13 has no formula for it, and an older one not even it."""


@dataclass(frozen=True)
class Quadratic:
    """FLOPs of a row as a function of its length, which they are a polynomial of second degree of.

    Attributes:
        first: At the first of `_LENGTHS`.
        slope: What the next length adds.
        growth: How much more the one after that adds.
    """

    first: int
    slope: int
    growth: int

    @classmethod
    def through(cls, first: int, second: int, third: int) -> "Quadratic":
        """The one that has these values at `_LENGTHS`."""
        return cls(first, second - first, third - 2 * second + first)

    def __call__(self, lengths: Collection[int]) -> int:
        """FLOPs of rows, `[rows]` tokens each without padding, so that padding counts as no useful work."""
        beyond = [int(length) - _LENGTHS[0] for length in lengths]  # of an array too, without its overflow
        return sum(self.first + self.slope * more + self.growth * (more * (more - 1) // 2) for more in beyond)


@dataclass(frozen=True)
class Flops:
    """FLOPs of a task model.

    Attributes:
        forward: A forward pass.
        step: Forward and backward. A head alone needs the forward pass and nothing more.
    """

    forward: Quadratic
    step: Quadratic


def count_flops(model: nn.Module, device: torch.device, *, dense: bool = False) -> Flops:
    """Count a task model's FLOPs; its weights, gradients and modes stay as they are.

    Args:
        model: A `TaskModel`.
        device: Where it is, for models that look at the values that they compute: a meta tensor has none.
        dense: Read every token of a row; else one.
    """
    try:
        counts = [_count(model, length, torch.device("meta"), dense) for length in _LENGTHS]
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error).lower():
            raise
        counts = [_count(model, length, device, dense) for length in _LENGTHS]
    return Flops(*(Quadratic.through(*of_pass) for of_pass in zip(*counts, strict=True)))


def _count(model: nn.Module, length: int, device: torch.device, dense: bool) -> tuple[int, int]:
    """FLOPs of a forward pass over a row, and of forward and backward."""
    state = {
        name: tensor.detach().to(device).requires_grad_(tensor.requires_grad)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    trained = [tensor for tensor in state.values() if tensor.requires_grad]
    columns = torch.arange(length if dense else 1, device=device)
    ids, rows = torch.zeros(1, length, dtype=torch.long, device=device), torch.zeros_like(columns)
    with (
        _evaluating(model),
        FlopCounterMode(display=False, custom_mapping=_OF_EXPERTS) as counter,
        torch.enable_grad(),
    ):
        # With ties a module of two names, such as a backbone's layers, would keep our tensors (torch 2.13).
        states: Tensor = functional_call(
            model, state, (ids, rows, columns), {"only_states": True}, tie_weights=False
        )
        forward = counter.get_total_flops()
        if states.requires_grad:
            torch.autograd.grad(states.sum(), trained, allow_unused=True)
        return forward, counter.get_total_flops()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[Any]:
    """Within it no module drops out or recomputes anything."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
