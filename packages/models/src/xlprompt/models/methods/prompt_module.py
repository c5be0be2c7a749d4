"""The parameters of a prompt, and the start that the backbone computes for a text."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xlprompt.models.backbone.prompt_tensors import PromptShape, PromptTensors
from xlprompt.models.errors import ModelError
from xlprompt.models.methods.prompt import PromptSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from xlprompt.models.backbone.backbone import Backbone


class Prompts(nn.Module):
    """The trainable parameters of a prompt, kept in float32 and cast once a forward pass."""

    def __init__(
        self,
        settings: PromptSettings,
        shape: PromptShape,
        start: dict[str, Tensor],
        generator: torch.Generator,
    ) -> None:
        """Start from `start` (name to tensor) where it holds a parameter, else from normal(0, std).

        Raises:
            ModelError: The settings ask for layers that the backbone does not have.
        """
        super().__init__()
        self.settings = settings
        self.prompted = settings.prompted_layers(shape.num_layers)
        for name, size in settings.sizes(shape).items():
            if name in start:
                value = start[name].detach().to("cpu", torch.float32, copy=True)
                if tuple(value.shape) != size:
                    raise ValueError(f"prompt {name!r} must be of shape {size}, got {tuple(value.shape)}")
            else:
                value = torch.randn(size, generator=generator) * settings.std
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, dtype: torch.dtype) -> PromptTensors:
        """Cast to `dtype`; gradients flow back to the float32 parameters."""
        cast = {name: parameter.to(dtype) for name, parameter in self.named_parameters()}
        return PromptTensors(**cast, position_offset=self.settings.shift, prompted=self.prompted)


@torch.no_grad()
def text_initialisation(
    backbone: Backbone, tokenizer: PreTrainedTokenizerFast, settings: PromptSettings
) -> dict[str, Tensor]:
    """What the backbone itself computes for `settings.text`, as the start of each prompt parameter.

    The text is cut, or repeated, to the prompt's length. Keys and values are those of the text's own tokens,
    positions and all, so that with shifted positions an untrained `layers` prompt acts exactly as if the text
    stood in front.

    Returns:
        Tensors by parameter name, in the backbone's dtype.
    """
    lead = tokenizer("").input_ids
    words = tokenizer(settings.text, add_special_tokens=False).input_ids
    if not words:
        raise ModelError("prompt.text has no tokens in this tokenizer; write a sentence")
    ids = [*lead, *itertools.islice(itertools.cycle(words), settings.length)][: settings.length]
    input_ids = torch.tensor([ids], device=backbone.device)
    was_training = backbone.training
    backbone.eval()
    try:
        return _computed_for(backbone, input_ids, settings)
    finally:
        backbone.train(was_training)


def _computed_for(backbone: Backbone, input_ids: Tensor, settings: PromptSettings) -> dict[str, Tensor]:
    from xlprompt.models.backbone.attention import KeyValueRecorder

    start: dict[str, Tensor] = {}
    if settings.trains_layers:
        recorder = KeyValueRecorder()
        backbone(input_ids, recorder=recorder)
        start["layers"] = torch.stack(
            [
                torch.stack([states[0] for states in recorder.states[layer]])
                for layer in settings.prompted_layers(backbone.num_layers)
            ]
        )
    if settings.trains_input:
        start["input"] = backbone.embedding(input_ids)[0]
    if settings.scheme == "hidden":
        entries: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, arguments: entries.append(arguments[0][0]))
            for layer in backbone.decoder_layers
        ]
        try:
            backbone(input_ids)
        finally:
            for hook in hooks:
                hook.remove()
        # The first entry is embedding plus position in XGLM; positions are added again, so start from the
        # embedding.
        start["hidden"] = torch.stack((backbone.embedding(input_ids)[0], *entries[1:]))
    return start
