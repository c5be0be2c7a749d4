"""What a method says of itself: its settings, what they do to a backbone, and which weights train then.

Each method is one file, and one entry of `xlprompt.models.methods.registry`; recipe sections, parameter
counts, FLOPs and checkpoints follow from it. `Method` itself trains nothing beside the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # a recipe is read without torch
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerFast

    from xlprompt.models.backbone.backbone import Backbone
    from xlprompt.models.methods.prompt_module import Prompts


class Method(BaseModel):
    """The settings of a method, which a recipe has under the method's name, and what follows from them.

    Attributes:
        name: What recipes call it.
        trains: What trains beside the head, in a few words.
        trains_backbone: Whether it trains the backbone's weights at large, so that a checkpoint holds all of
            them and DeepSpeed may divide them.
        changes_backbone: Whether it puts something into a backbone or trains its weights; else several models
            can stand on one that is loaded once.
        is_trained: Whether anything trains at all; else the backbone is asked in words, and has no head.
        needs_backward: Whether anything trains below the head.
        needed_for: By a setting that another one can make idle, that one and the value it needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    trains: ClassVar[str]
    trains_backbone: ClassVar[bool] = False
    changes_backbone: ClassVar[bool] = True
    is_trained: ClassVar[bool] = True
    needs_backward: ClassVar[bool] = True
    needed_for: ClassVar[Mapping[str, tuple[str, str]]] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts of the settings that the tokenizer must know."""
        return ()

    @property
    def shift(self) -> int:
        """How many positions the text moves by."""
        return 0

    def prompts(
        self,
        backbone: Backbone,
        generator: torch.Generator,
        tokenizer: PreTrainedTokenizerFast | None = None,
    ) -> Prompts | None:
        """What stands in front of the text, drawn before the head is; None for nothing.

        Args:
            backbone: The decoder, not yet changed.
            generator: Where random numbers come from.
            tokenizer: For starts that are computed from text; None where the sizes alone matter.

        Raises:
            ModelError: The backbone has no place for it.
        """
        return None

    def apply(self, backbone: Backbone, generator: torch.Generator) -> nn.Module | None:
        """Change a backbone, with weights or on the meta device, and say which of its own weights train.

        What is new is held in float32 and starts without effect. A backbone can be changed once.

        Returns:
            What does not lie in the backbone's own modules but acts by hooks, so that their names stay.

        Raises:
            ModelError: The backbone has no place for the method.
        """
        backbone.freeze()
        return None

    def decays(self, path: str) -> bool:
        """Whether weight decay would bring this weight of several axes to a neutral value."""
        return True
