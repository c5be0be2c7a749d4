"""LoRA by PEFT: low-rank updates beside chosen linear layers of a frozen backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import (
    attention_inputs,
    insert_by_peft,
    last_part,
    linear_layers,
    named,
)

if TYPE_CHECKING:  # a recipe is read without torch
    import torch

    from xlprompt.models.backbone.backbone import Backbone


class LoraSettings(Method):
    """Low-rank updates of frozen matrices (Hu et al. 2022, LoRA, arXiv 2106.09685).

    The defaults train about as many parameters as a prompt of the paper's length: 786,432 of XGLM-564M's
    against 737,280.
    """

    name: ClassVar[str] = "lora"
    trains: ClassVar[str] = "a product of two thin matrices beside chosen projections"

    rank: int = Field(
        8, ge=1, le=1024, description="width of the two matrices; parameters and time grow with it"
    )
    alpha: int = Field(
        16, ge=1, description="the update is scaled by alpha / rank; costs nothing, acts like a rate"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout on what the update reads while training; a little time"
    )
    targets: Literal["query_value", "all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "query_value",
        description="queries and values (Hu et al.), or all linear layers of the decoder (Dettmers et al. "
        "2023, QLoRA): six times the parameters in XGLM, and more time; or a list of layers' own names, such "
        "as [q_proj, o_proj]. Where one matrix makes queries, keys and values (GPT-2, BLOOM, Falcon, Phi 3), "
        "query_value is that matrix",
    )

    def apply(self, backbone: Backbone, generator: torch.Generator) -> None:
        """Put the updates in.

        First matrices are drawn as PEFT draws them, uniform within 1 / sqrt(inputs), but from `generator`, so
        that they are the same on any device; second ones are zero.

        Raises:
            ModelError: The backbone has no layers of the names that are looked for.
        """
        import torch
        from peft import LoraConfig

        model = backbone.model
        if self.targets == "all":
            targets = list(dict.fromkeys(last_part(path) for path in linear_layers(model)))
        elif isinstance(self.targets, tuple):
            targets = list(self.targets)
        else:
            targets = attention_inputs(model, ("q_proj", "v_proj"))
        named(model, targets)
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets
        )
        for path, parameter in insert_by_peft(backbone, config).items():
            if ".lora_A." in path:
                bound = parameter.shape[1] ** -0.5
                start = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.data.copy_(start)
