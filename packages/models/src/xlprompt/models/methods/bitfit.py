"""BitFit: only bias terms train (Ben Zaken et al. 2022, arXiv 2106.10199), those of norms included.

A backbone without bias terms, such as Gemma or Llama, is refused unless it is asked to get some: there is no
one standard for it. OpenDelta (for T5) and BEFT (Huang et al. 2025, arXiv 2509.15974) add biases that start
at zero, which is what `add` does; tuning norms instead is a method of its own (Zhao et al. 2023, arXiv
2312.11420).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xlprompt.models.errors import ModelError
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import linear_layers

if TYPE_CHECKING:  # a recipe is read without torch
    import torch
    from torch import Tensor, nn

    from xlprompt.models.backbone.backbone import Backbone


class BitfitSettings(Method):
    """Which biases train; there is no width to choose: 271,360 parameters in XGLM-564M."""

    name: ClassVar[str] = "bitfit"
    trains: ClassVar[str] = "the bias terms"

    add: bool = Field(
        False,
        description="give each linear layer that has no bias one that starts at zero: parameters, and an "
        "addition a layer. Needed for Gemma and Llama, which have no biases",
    )

    def apply(self, backbone: Backbone, generator: torch.Generator) -> nn.Module:
        """Let the biases train, which stay in the backbone's precision, and add those that are asked for.

        Raises:
            ModelError: There are none, and none are added.
        """
        import torch
        from torch import nn

        model = backbone.model
        backbone.freeze(fuse=False)
        own = [parameter for path, parameter in model.named_parameters() if path.endswith("bias")]
        if not own and not self.add:
            raise ModelError(
                f"{type(model).__name__} has no bias terms for BitFit to train. Set bitfit.add to true to "
                "give its linear layers some, or take another method (ia3 trains about as few parameters)"
            )
        for bias in own:
            bias.requires_grad_(True)
        added = nn.ParameterDict()
        for path, layer in linear_layers(model).items() if self.add else ():
            if isinstance(layer, nn.Linear) and layer.bias is None:  # GPT-2's Conv1D always has one
                name = path.replace(".", "/")  # torch allows no points in it
                added[name] = nn.Parameter(torch.zeros(layer.out_features))
                layer.register_forward_hook(functools.partial(_biased, added, name))
        return nn.ModuleDict({"biases": added})


def _biased(
    biases: nn.ParameterDict, name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    # Looked up by name: moving a module to another device may put new parameters into it.
    return output + biases[name].to(output.dtype)
