"""Bottleneck adapters: a small network behind each layer's feed-forward.

One adapter a layer, as Pfeiffer et al. place them (2021, AdapterFusion, arXiv 2005.00247; 2020, MAD-X, arXiv
2005.00052, the one that is used across languages), not two as Houlsby et al. do (2019, arXiv 1902.00751).
PEFT has none, so this is a module of our own.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from xlprompt.models.methods.method import Method

NonLinearity = Literal["relu", "gelu", "silu", "tanh"]
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


class AdapterSettings(BaseModel):
    """Width and kind of the adapters.

    The default width trains about as many parameters as a prompt of the paper's length: 811,392 of
    XGLM-564M's against 737,280. Pfeiffer et al. take a sixteenth of the hidden size, 64 there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: ClassVar[Method] = "adapter"

    width: int = Field(
        16, ge=1, le=8192, description="inner states of each adapter; parameters and time grow with it"
    )
    non_linearity: NonLinearity = Field("relu", description="between its two layers; costs nothing")


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


def adapter_matrix_params(num_layers: int, hidden_size: int, settings: AdapterSettings) -> int:
    """Parameters of all adapters' matrices."""
    return num_layers * 2 * hidden_size * settings.width


def adapter_params(num_layers: int, hidden_size: int, settings: AdapterSettings) -> int:
    """Parameters of all adapters, biases included."""
    biases = num_layers * (hidden_size + settings.width)
    return adapter_matrix_params(num_layers, hidden_size, settings) + biases
