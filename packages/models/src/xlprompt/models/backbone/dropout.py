"""Dropout whose mask is drawn sixteen bits at a time.

On a CPU torch draws a number of 32 bits or more for each element, which takes as long as the product of a
feed-forward whose inner states drop out. Four elements share a number here. A share of 65,536ths is dropped,
so the probability is right to 2**-17; what is kept is scaled by that very share, so the mean stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

_VALUES = 2**16


def drops_out(model: PreTrainedModel) -> bool:
    """Whether a model has any dropout above zero, by its configuration or in a module that was put in."""
    told = (value for key, value in model.config.to_dict().items() if "drop" in key)
    inside = (module.p for module in model.modules() if isinstance(module, nn.Dropout))
    return any(isinstance(value, float) and value > 0 for value in (*told, *inside))


class CheapDropout(TorchFunctionMode):
    """While it is entered, `functional.dropout` of tensors on a CPU is `dropped_out`, whoever calls it.

    Gradient checkpointing recomputes outside of it and would draw another mask: leave it out then.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Exchange the one function."""
        return (dropped_out if func is functional.dropout else func)(*args, **(kwargs or {}))


def dropped_out(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """What `functional.dropout` gives, which has these arguments, with another draw.

    Args:
        input: Of any shape; on another device than a CPU torch's own function is taken.
        p: Probability that an element is set to zero.
        training: Whether anything is dropped.
        inplace: Kept for torch's sake; nothing is changed in place.
    """
    dropped = round(p * _VALUES)
    if not training or input.device.type != "cpu" or not 64 <= dropped < _VALUES:
        return functional.dropout(input, p, training, inplace)
    drawn = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    bits = drawn.view(torch.int16)[: input.numel()].view(input.shape)
    kept = (bits >= dropped - _VALUES // 2).to(input.dtype)
    return input * kept.mul_(_VALUES / (_VALUES - dropped))
