"""Bottleneck adapters: a small network behind each layer's feed-forward.

One adapter a layer, as Pfeiffer et al. place them (2021, AdapterFusion, arXiv 2005.00247; 2020, MAD-X, arXiv
2005.00052, the one that is used across languages), not two as Houlsby et al. do (2019, arXiv 1902.00751).
PEFT has none, so this is a module of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from xlprompt.models.methods.method import Method

if TYPE_CHECKING:  # a recipe is read without torch
    import torch
    from torch import nn

    from xlprompt.models.backbone.backbone import Backbone

NonLinearity = Literal["relu", "gelu", "silu", "tanh"]


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

    def apply(self, backbone: Backbone, generator: torch.Generator) -> nn.Module:
        """Put an adapter behind each feed-forward.

        Raises:
            ModelError: There is not one in each layer.
        """
        from xlprompt.models.methods.bottleneck import put_adapters

        backbone.freeze()
        return put_adapters(backbone, self.width, self.non_linearity, generator)
