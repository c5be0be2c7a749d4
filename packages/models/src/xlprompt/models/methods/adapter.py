"""Bottleneck adapters: a small network behind each layer's feed-forward.

One adapter a layer, as Pfeiffer et al. place them (2021, AdapterFusion, arXiv 2005.00247; 2020, MAD-X, arXiv
2005.00052, the one that is used across languages), not two as Houlsby et al. do (2019, arXiv 1902.00751).
PEFT has none, so this is a module of our own.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from xlprompt.models.errors import ModelError
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import is_called, leads_back, linear_layers

if TYPE_CHECKING:
    from xlprompt.models.backbone.backbone import Backbone

NonLinearity = Literal["relu", "gelu", "silu", "tanh"]
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


class AdapterSettings(Method):
    """Width and kind of the adapters.

    The default width trains about as many parameters as a prompt of the paper's length: 811,392 of
    XGLM-564M's against 737,280. Pfeiffer et al. take a sixteenth of the hidden size, 64 there.
    """

    name: ClassVar[str] = "adapter"
    trains: ClassVar[str] = "a small two-layer network behind each feed-forward"

    width: int = Field(
        16, ge=1, le=8192, description="inner states of each adapter; parameters and time grow with it"
    )
    non_linearity: NonLinearity = Field("relu", description="between its two layers; costs nothing")

    def apply(self, backbone: "Backbone", generator: torch.Generator) -> nn.Module:
        """Put an adapter behind each feed-forward.

        Raises:
            ModelError: There is not one in each layer.
        """
        backbone.freeze()
        adapters = nn.ModuleList()
        for place in feed_forwards(backbone):
            adapter = BottleneckAdapter(backbone.layer_width, self, generator)
            adapters.append(adapter)
            place.register_forward_hook(functools.partial(_adapted, adapter))
        return nn.ModuleDict({"layers": adapters})


class BottleneckAdapter(nn.Module):
    """`hidden + up(f(down(hidden)))`; its parameters are float32 and cast once a forward pass."""

    def __init__(self, hidden_size: int, settings: AdapterSettings, generator: torch.Generator) -> None:
        """Draw `down` uniformly within 1 / sqrt(hidden size); `up` is zero, so nothing changes at first."""
        super().__init__()
        bound = hidden_size**-0.5
        down = torch.empty(settings.width, hidden_size).uniform_(-bound, bound, generator=generator)
        self.down_weight, self.down_bias = nn.Parameter(down), nn.Parameter(torch.zeros(settings.width))
        self.up_weight = nn.Parameter(torch.zeros(hidden_size, settings.width))
        self.up_bias = nn.Parameter(torch.zeros(hidden_size))
        self.non_linearity = settings.non_linearity

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


def feed_forwards(backbone: "Backbone") -> list[nn.Module]:
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
