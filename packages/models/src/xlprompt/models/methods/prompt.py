"""Trainable prompts in four schemes, their initialisation and the tensors that a backbone consumes.

| scheme | trains | parameters at length P (L layers, width D, K key-value heads of size H) |
|---|---|---|
| `layers` | a key and a value for every slot in every layer (P-tuning v2) | P x 2 x L x K x H |
| `input` | an embedding for every slot in front of the text (soft prompt) | P x D |
| `both` | `layers` and `input` together | their sum |
| `hidden` | the hidden state of every slot at the entry of every layer | P x L x D |

`PromptSettings.layers` leaves layers out of `layers` and `both`; L counts those that have one. The others
attend to the text alone. Schemes follow Liu et al. 2022 (P-tuning v2, arXiv 2110.07602) for `layers`, Lester
et al. 2021 (arXiv 2104.08691) for `input`. This module knows nothing of tokenizers or data.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from xlprompt.models.errors import ModelError

Scheme = Literal["layers", "input", "both", "hidden"]

LayerNumber = Annotated[int, Field(ge=1)]

DEFAULT_PROMPT_TEXT = (
    "Read the following text, in whatever language it is written, and decide which label fits it best."
)


class PromptSettings(BaseModel):
    """What kind of prompt is trained and where it starts from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Scheme = Field("layers", description="where the prompt acts: layers, input, both or hidden")
    length: int = Field(15, ge=1, le=1024, description="slots; each costs attention time in every layer")
    layers: Literal["all"] | LayerNumber | Annotated[tuple[LayerNumber, ...], Field(min_length=1)] = Field(
        "all",
        description="which layers get keys and values: all, a number n for the n last (deepest), or a list "
        "of layers counted from 1, lowest first; the others have no prompt and cost no attention to one. "
        "Schemes layers and both only. With shift_positions the text's positions move in every layer alike",
    )
    init: Literal["normal", "text"] = Field(
        "normal", description="start from a normal distribution or from what the backbone computes for `text`"
    )
    std: float = Field(0.02, gt=0, description="standard deviation of the normal initialisation")
    text: str = Field(DEFAULT_PROMPT_TEXT, min_length=1, description="text of the text initialisation")
    shift_positions: bool = Field(
        True,
        description="the text's positions start behind the prompt, as if it were text (P-tuning v2, PEFT)",
    )

    @model_validator(mode="after")
    def _layers_can_be_chosen(self) -> "PromptSettings":
        if self.layers != "all" and not self.trains_layers:
            raise ValueError(
                f"layers cannot be chosen with the scheme {self.scheme}, whose slots run through all of them "
                "as tokens do. Leave layers at all, or take the scheme layers or both"
            )
        if isinstance(self.layers, tuple) and list(self.layers) != sorted(set(self.layers)):
            raise ValueError("layers must be listed once each, lowest first")
        return self

    def prompted_layers(self, num_layers: int) -> tuple[int, ...]:
        """The layers that get keys and values, counted from 0, lowest first; none with `input` and `hidden`.

        Args:
            num_layers: Layers of the backbone.

        Raises:
            ModelError: The backbone has fewer layers than `layers` asks for.
        """
        if not self.trains_layers:
            return ()
        if self.layers == "all":
            return tuple(range(num_layers))
        deepest = self.layers if isinstance(self.layers, int) else self.layers[-1]
        if deepest > num_layers:
            raise ModelError(
                f"the backbone has {num_layers} layers, and prompt.layers asks for {self.layers!r}. Give at "
                f"most {num_layers}, or all"
            )
        if isinstance(self.layers, int):
            return tuple(range(num_layers - self.layers, num_layers))
        return tuple(number - 1 for number in self.layers)

    @property
    def trains_layers(self) -> bool:
        """Whether keys and values are trained."""
        return self.scheme in ("layers", "both")

    @property
    def trains_input(self) -> bool:
        """Whether input embeddings are trained."""
        return self.scheme in ("input", "both")

    @property
    def slots(self) -> int:
        """Positions that the text moves by when `shift_positions` is on."""
        return 2 * self.length if self.scheme == "both" else self.length


@dataclass(frozen=True)
class PromptShape:
    """The sizes of a backbone that a prompt must fit."""

    num_layers: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int

    def sizes(self, settings: PromptSettings) -> dict[str, tuple[int, ...]]:
        """Shapes of the prompt's parameters by name.

        Raises:
            ModelError: The settings ask for layers that the backbone does not have.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        if settings.trains_layers:
            chosen = len(settings.prompted_layers(self.num_layers))
            shapes["layers"] = (chosen, 2, self.num_kv_heads, settings.length, self.head_dim)
        if settings.trains_input:
            shapes["input"] = (settings.length, self.hidden_size)
        if settings.scheme == "hidden":
            shapes["hidden"] = (self.num_layers, settings.length, self.hidden_size)
        return shapes


@dataclass(frozen=True)
class PromptTensors:
    """A prompt in the backbone's dtype, ready for one or more forward passes.

    Attributes:
        layers: `[prompted layer, 2, kv head, length, head dim]`: keys and values, or None.
        input: `[length, hidden]`: embeddings in front of the text's, on their scaled range, or None.
        hidden: `[layer, length, hidden]`: hidden states at the entry of each layer, or None.
        position_offset: Position of the text's first token.
        prompted: The backbone's layers, from 0, that `layers` has rows for; None for all.
    """

    layers: Tensor | None = None
    input: Tensor | None = None
    hidden: Tensor | None = None
    position_offset: int = 0
    prompted: tuple[int, ...] | None = None

    def by_layer(self) -> dict[int, Tensor]:
        """`[2, kv head, length, head dim]` of each layer, from 0, that has keys and values."""
        if self.layers is None:
            return {}
        places = range(len(self.layers)) if self.prompted is None else self.prompted
        return dict(zip(places, self.layers.unbind(), strict=True))

    @property
    def input_slots(self) -> int:
        """Slots that run through the layers as tokens do."""
        if self.input is not None:
            return self.input.shape[0]
        return 0 if self.hidden is None else self.hidden.shape[1]


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
        for name, size in shape.sizes(settings).items():
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
        offset = self.settings.slots if self.settings.shift_positions else 0
        return PromptTensors(**cast, position_offset=offset, prompted=self.prompted)
