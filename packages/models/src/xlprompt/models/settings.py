"""What a recipe says of the head and of alignment, read without torch so that a wrong one is told at once.

What the settings do is `heads`' and `alignment`'s business. Those of a method stand in its own file.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

AlignmentKind = Literal["none", "mean", "mean_scale", "principal", "subspace"]
ALIGNMENT_KINDS: tuple[AlignmentKind, ...] = get_args(AlignmentKind)


class HeadSettings(BaseModel):
    """Which head reads the hidden states."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear", "verbalizer", "plain"] = Field(
        "linear",
        description="a trained linear layer, or the backbone's own embedding of label words (trains "
        "nothing), or a linear layer on states as they are, which transformers' classifiers have (for what "
        "was trained elsewhere)",
    )


class AlignmentSettings(BaseModel):
    """With which alignments a trained model is scored, beside its scores without any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[AlignmentKind, ...] = Field(
        default=("none",),
        description="none, mean, mean_scale, principal, subspace; 'none' is scored always. The first "
        "other one costs a forward pass over `sentences` of each language, the rest a moment.",
    )
    sentences: int = Field(
        default=500,
        ge=1,
        description="Unlabelled development sentences (or pairs) of a language that its moments are taken "
        "from, at most. Of the training language, of which there is plenty, a thousand are read.",
    )
    layer: int | None = Field(
        default=None,
        ge=1,
        description="Align the states that come out of this decoder layer, at every token but a row's first; "
        "null aligns what the head reads. A layer costs one more pass over the test set for each kind, and "
        "may gain more: 76.7 in layer 4 of Gemma 3 270M, 67.8 at the head, 45.0 without (mean_scale, parts "
        "of speech, prompt of 100 steps, mean of de, ru and hi).",
    )

    @field_validator("kinds")
    @classmethod
    def _none_comes_first(cls, value: tuple[AlignmentKind, ...]) -> tuple[AlignmentKind, ...]:
        return tuple(kind for kind in ALIGNMENT_KINDS if kind == "none" or kind in value)


class AlignmentLossSettings(BaseModel):
    """What pulls the languages' states together in training, beside the loss of the task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(
        default=0.0,
        ge=0,
        description="Of the distance between a language's states and the training language's, which is added "
        "to the loss; 0 leaves it out. The figures are then no longer of training on one language alone: "
        "unlabelled text of the others is read.",
    )
    moments: Literal["mean", "mean_scale"] = Field(
        default="mean_scale", description="What is to agree: means, or means and deviations."
    )
    languages: tuple[str, ...] | None = Field(
        default=None,
        description="Whose text is read, such as [de, sw]; null for every language that is scored and has "
        "unlabelled text. One of them is drawn for each step.",
    )
    rows: int = Field(
        default=16,
        ge=2,
        description="Sentences or pairs of that language that a step reads, and as many of the training "
        "language, or fewer where schedule.token_budget is full. A step takes longer by a forward and a "
        "backward pass over the ones, and a forward pass over the others.",
    )
    sentences: int = Field(
        default=500,
        ge=2,
        description="Unlabelled development sentences (or pairs) of a language to draw from, at most.",
    )

    @field_validator("languages")
    @classmethod
    def _languages_are_named_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value)):
            raise ValueError("name each language once, at least one; null takes all that have text")
        return value
