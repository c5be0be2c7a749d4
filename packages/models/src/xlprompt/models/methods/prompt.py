"""Trainable prompts in four schemes, and their initialisation.

| scheme | trains | parameters at length P (L layers, width D, K key-value heads of size H) |
|---|---|---|
| `layers` | a key and a value for every slot in every layer (P-tuning v2) | P x 2 x L x K x H |
| `input` | an embedding for every slot in front of the text (soft prompt) | P x D |
| `both` | `layers` and `input` together | their sum |
| `hidden` | the hidden state of every slot at the entry of every layer | P x L x D |

`PromptSettings.layers` leaves layers out of `layers` and `both`; L counts those that have one. The others
attend to the text alone. Schemes follow Liu et al. 2022 (P-tuning v2, arXiv 2110.07602) for `layers`, Lester
et al. 2021 (arXiv 2104.08691) for `input`. This module knows nothing of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from xlprompt.models.errors import ModelError
from xlprompt.models.methods.method import Method

if TYPE_CHECKING:  # a recipe is read without torch
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from xlprompt.models.backbone.backbone import Backbone
    from xlprompt.models.backbone.prompt_tensors import PromptShape
    from xlprompt.models.methods.prompt_module import Prompts

Scheme = Literal["layers", "input", "both", "hidden"]

LayerNumber = Annotated[int, Field(ge=1)]

DEFAULT_PROMPT_TEXT = (
    "Read the following text, in whatever language it is written, and decide which label fits it best."
)


class PromptSettings(Method):
    """What kind of prompt is trained and where it starts from."""

    name: ClassVar[str] = "prompt"
    trains: ClassVar[str] = "keys and values, or embeddings, in front of the text's"
    changes_backbone: ClassVar[bool] = False
    needed_for: ClassVar[Mapping[str, tuple[str, str]]] = {
        "text": ("init", "text"),
        "std": ("init", "normal"),
    }

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
        description="the text's positions start behind the prompt, as if it were text (P-tuning v2, PEFT); "
        "BLOOM's distances know no start, so there it changes nothing",
    )

    @model_validator(mode="after")
    def _layers_can_be_chosen(self) -> PromptSettings:
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

    @property
    def shift(self) -> int:
        """How many positions the text moves by."""
        return self.slots if self.shift_positions else 0

    @property
    def texts(self) -> tuple[str, ...]:
        """The text that a prompt may start from."""
        return (self.text,)

    def prompts(
        self,
        backbone: Backbone,
        generator: torch.Generator,
        tokenizer: PreTrainedTokenizerFast | None = None,
    ) -> Prompts:
        """The prompt, started from what the backbone computes for `text` where `init` says so.

        Raises:
            ModelError: The backbone has fewer layers than `layers` asks for, or no one width for `hidden`.
        """
        from xlprompt.models.methods.prompt_module import Prompts, text_initialisation

        if self.scheme == "hidden" and backbone.layer_width != backbone.hidden_size:
            raise ModelError(
                f"{backbone.name}: its layers are {backbone.layer_width} wide and its embedding "
                f"{backbone.hidden_size}, and the scheme hidden has one width. Take the scheme layers, input "
                "or both"
            )
        start: dict[str, Tensor] = {}
        if tokenizer is not None and self.init == "text":
            start = text_initialisation(backbone, tokenizer, self)
        return Prompts(self, backbone.shape, start, generator)

    def decays(self, path: str) -> bool:
        """A prompt never does.

        Its keys and values take part in a softmax, so shrinking them to zero would not switch them off but
        dilute the attention to the text.
        """
        return not path.startswith("prompts.")

    def sizes(self, shape: PromptShape) -> dict[str, tuple[int, ...]]:
        """Shapes of the prompt's parameters by name, for a backbone of these sizes.

        Raises:
            ModelError: The settings ask for layers that the backbone does not have.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        if self.trains_layers:
            chosen = len(self.prompted_layers(shape.num_layers))
            shapes["layers"] = (chosen, 2, shape.num_kv_heads, self.length, shape.head_dim)
        if self.trains_input:
            shapes["input"] = (self.length, shape.hidden_size)
        if self.scheme == "hidden":
            shapes["hidden"] = (shape.num_layers, self.length, shape.hidden_size)
        return shapes
