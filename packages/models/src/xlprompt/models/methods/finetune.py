"""Full fine-tuning: which weights of the backbone train, and how they are handed to other programs."""

from pydantic import BaseModel, ConfigDict, Field


class FinetuneSettings(BaseModel):
    """What full fine-tuning trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_embeddings: bool = Field(
        True,
        description="train the input embedding too: 46 % of XGLM-564M's parameters and 63 % of Gemma 3 "
        "270M's, of which a task in English moves only the rows of English subtokens",
    )
