"""BitFit: only bias terms train (Ben Zaken et al. 2022, arXiv 2106.10199), those of norms included.

A backbone without bias terms, such as Gemma or Llama, is refused unless it is asked to get some: there is no
one standard for it. OpenDelta (for T5) and BEFT (Huang et al. 2025, arXiv 2509.15974) add biases that start
at zero, which is what `add` does; tuning norms instead is a method of its own (Zhao et al. 2023, arXiv
2312.11420).
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from xlprompt.models.errors import ModelError
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import linear_layers


class BitfitSettings(BaseModel):
    """Which biases train; there is no width to choose: 271,360 parameters in XGLM-564M."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: ClassVar[Method] = "bitfit"

    add: bool = Field(
        False,
        description="give each linear layer that has no bias one that starts at zero: parameters, and an "
        "addition a layer. Needed for Gemma and Llama, which have no biases",
    )


def own_biases(model: nn.Module) -> dict[str, nn.Parameter]:
    """The backbone's bias terms by path."""
    return {path: parameter for path, parameter in model.named_parameters() if path.endswith("bias")}


def layers_without_bias(model: nn.Module) -> dict[str, nn.Linear]:
    """Linear layers that have none."""
    return {path: layer for path, layer in linear_layers(model).items() if layer.bias is None}


def require_biases(model: nn.Module, settings: BitfitSettings) -> None:
    """Refuse a backbone that BitFit would leave as it is.

    Raises:
        ModelError: It has no biases, and none are added.
    """
    if not settings.add and not own_biases(model):
        raise ModelError(
            f"{type(model).__name__} has no bias terms for BitFit to train. Set bitfit.add to true to give "
            "its linear layers some, or take another method (ia3 trains about as few parameters)"
        )
