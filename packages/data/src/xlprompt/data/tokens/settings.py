"""How examples become token ids, as a recipe says it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from xlprompt.data.tokens.cutter import GranularitySettings


class EncodingSettings(BaseModel):
    """How examples become token ids; part of every recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_length: int = Field(
        default=256,
        ge=8,
        description="Most tokens of a row, with the tokenizer's own leading token and without the prompt. "
        "Longer pairs are cut, longer sentences split into windows.",
    )
    label_on: Literal["last", "first"] = Field(
        default="last",
        description="The subtoken of a word that is read for its tag. At the first one a causal model has "
        "not seen the rest of the word.",
    )
    separator: str | None = Field(
        default=None,
        description="Text between the two texts of a pair; null is the tokenizer's own (XGLM: </s></s>) or, "
        "if it has none, a line break.",
    )
    end: str | None = Field(
        default=None,
        description="Text behind a pair, where the model is read; null is </s> for tokenizers with a "
        "separator of their own and a line break for the others; empty reads at the last token of the pair.",
    )
    word_spaces: Literal["script", "always"] = Field(
        default="script",
        description="Spaces between the words of a tagged sentence: as its language is written (none in "
        "Chinese, Japanese and Thai), or always, as XTREME has it.",
    )
    granularity: GranularitySettings = Field(
        default_factory=GranularitySettings,
        description="Text cut more finely than the tokenizer does, to see what granularity causes.",
    )
