"""(IA)3 by PEFT: scales of what a frozen backbone's layers compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import attention_inputs, insert_by_peft, leads_back

if TYPE_CHECKING:  # a recipe is read without torch
    import torch

    from xlprompt.models.backbone.backbone import Backbone


class Ia3Settings(Method):
    """Scales of keys, values and inner feed-forward states (Liu et al. 2022, T-Few, arXiv 2205.05638).

    There is no width to choose: 147,456 parameters in XGLM-564M, a fifth of a prompt of the paper's length.
    Where one matrix makes queries, keys and values (GPT-2, BLOOM, Falcon, Phi 3), queries are scaled too, as
    PEFT does.
    """

    name: ClassVar[str] = "ia3"
    trains: ClassVar[str] = "a scale of each key, value and inner feed-forward state"

    feed_forward: bool = Field(
        True, description="scale the feed-forward's inner states too, two thirds of the parameters in XGLM"
    )

    def apply(self, backbone: Backbone, generator: torch.Generator) -> None:
        """Put the scales in; all are one.

        Raises:
            ModelError: The backbone has no layers of the names that are looked for.
        """
        from peft import IA3Config

        back = [leads_back(backbone.model)] if self.feed_forward else []
        inputs = attention_inputs(backbone.model, ("k_proj", "v_proj"))
        insert_by_peft(backbone, IA3Config(target_modules=[*inputs, *back], feedforward_modules=back))

    def decays(self, path: str) -> bool:
        """A scale's neutral value is one."""
        return ".ia3_" not in path
