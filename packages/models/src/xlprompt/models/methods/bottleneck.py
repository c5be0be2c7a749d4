"""The network that an adapter is, and how one is put behind each feed-forward of a backbone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from xlprompt.models.errors import ModelError
from xlprompt.models.methods.projections import is_called, leads_back, linear_layers

if TYPE_CHECKING:
    from xlprompt.models.backbone.backbone import Backbone

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


class BottleneckAdapter(nn.Module):
    """`hidden + up(f(down(hidden)))`; its parameters are float32 and cast once a forward pass."""

    def __init__(self, hidden_size: int, width: int, non_linearity: str, generator: torch.Generator) -> None:
        """Draw `down` uniformly within 1 / sqrt(hidden size); `up` is zero, so nothing changes at first."""
        super().__init__()
        bound = hidden_size**-0.5
        down = torch.empty(width, hidden_size).uniform_(-bound, bound, generator=generator)
        self.down_weight, self.down_bias = nn.Parameter(down), nn.Parameter(torch.zeros(width))
        self.up_weight = nn.Parameter(torch.zeros(hidden_size, width))
        self.up_bias = nn.Parameter(torch.zeros(hidden_size))
        self.non_linearity = non_linearity

    def forward(self, hidden: Tensor) -> Tensor:
        """`[batch, time, hidden]` to the same."""
        down_weight, down_bias, up_weight, up_bias = (
            parameter.to(hidden.dtype)
            for parameter in (self.down_weight, self.down_bias, self.up_weight, self.up_bias)
        )
        inner = _FUNCTIONS[self.non_linearity](
            functional.linear(hidden, down_weight, down_bias)
        )  # [batch, time, width]
        return hidden + functional.linear(inner, up_weight, up_bias)


def put_adapters(backbone: Backbone, width: int, non_linearity: str, generator: torch.Generator) -> nn.Module:
    """Put an adapter behind each feed-forward, by a hook.

    Args:
        backbone: Whose layers get them.
        width: Inner states of each.
        non_linearity: One of `relu`, `gelu`, `silu`, `tanh`.
        generator: For first weights.

    Returns:
        The adapters.

    Raises:
        ModelError: There is not one feed-forward in each layer.
    """
    adapters = nn.ModuleList()
    for place in feed_forwards(backbone):
        adapter = BottleneckAdapter(backbone.layer_width, width, non_linearity, generator)
        adapters.append(adapter)
        place.register_forward_hook(functools.partial(_adapted, adapter))
    return nn.ModuleDict({"layers": adapters})


def feed_forwards(backbone: Backbone) -> list[nn.Module]:
    """Of each layer the matrix that leads out of the feed-forward, whose output the adapter takes up.

    Not the feed-forward's module: in BLOOM that adds the residual.

    Raises:
        ModelError: It has none of the known names, or is not one in each layer (a mixture of experts has
            several).
    """
    back = leads_back(backbone.model)
    places = [
        [
            module
            for path, module in linear_layers(layer).items()
            if is_called(path, back) and path.count(".") <= 1  # fc2, mlp.down_proj
        ]
        for layer in backbone.decoder_layers
    ]
    everywhere = sum(is_called(path, back) for path in linear_layers(backbone.model))
    if everywhere != len(places) or not all(len(found) == 1 for found in places):
        raise ModelError(
            f"{type(backbone.model).__name__} has no single feed-forward in each of its "
            f"{backbone.num_layers} layers for an adapter to go behind; take another backbone "
            "or another method"
        )
    return [found[0] for found in places]


def _adapted(adapter: BottleneckAdapter, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
    adapted: Tensor = adapter(output)
    return adapted
