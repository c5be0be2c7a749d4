"""Full fine-tuning: all weights of the backbone train."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xlprompt.models.methods.method import Method

if TYPE_CHECKING:  # a recipe is read without torch
    import torch

    from xlprompt.models.backbone.backbone import Backbone


class FinetuneSettings(Method):
    """What full fine-tuning trains."""

    name: ClassVar[str] = "finetune"
    trains: ClassVar[str] = "all weights"
    trains_backbone: ClassVar[bool] = True

    train_embeddings: bool = Field(
        True,
        description="train the input embedding too: 46 % of XGLM-564M's parameters and 63 % of Gemma 3 "
        "270M's, of which a task in English moves only the rows of English subtokens",
    )

    def apply(self, backbone: Backbone, generator: torch.Generator) -> None:
        """Let the weights train."""
        backbone.unfreeze(embeddings=self.train_embeddings)
