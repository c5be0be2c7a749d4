"""What decides how xglm-nano comes out: the keys of the recipes in `experiments/nano/`."""

from __future__ import annotations

from pydantic import Field

from xlprompt.training.recipes.settings import Settings


class PretrainingRecipe(Settings):
    """Everything that decides what comes out of pretraining."""

    name: str = Field(description="Name of the model.")
    seed: int = Field(default=0, description="Of the text, the weights and the order.")
    exponent: float = Field(
        ge=0,
        le=1,
        description="A language's share is proportional to XGLM's tokens to this power; 0: balanced.",
    )
    vocabulary: int = Field(gt=300, description="Number of token ids.")
    tokenizer_passages: int = Field(
        default=60_000, gt=0, description="Passages that the tokenizer is trained on; half a minute."
    )
    width: int = Field(gt=0, description="Size of the hidden states.")
    layers: int = Field(gt=0, description="Number of decoder layers.")
    heads: int = Field(gt=0, description="Attention heads of a layer.")
    feed_forward: int = Field(gt=0, description="Inner size of the feed-forward blocks.")
    init_std: float = Field(
        default=0.02, gt=0, description="Standard deviation of the initial weights; XGLM's is 0.02."
    )
    steps: int = Field(
        ge=0,
        description="Optimizer steps; time grows in proportion. 0 gives an untrained model, for comparison.",
    )
    token_budget: int = Field(gt=0, description="Tokens of a step, padding included.")
    learning_rate: float = Field(gt=0, description="Peak rate of AdamW.")
    weight_decay: float = Field(default=0.1, ge=0, description="Of the layers' matrices.")
    warmup_share: float = Field(
        default=0.03, ge=0, lt=1, description="Share of the steps with a rising rate."
    )
    decay_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of the steps, the last ones, with a falling rate."
    )
    max_offset: int = Field(
        default=48,
        ge=0,
        description="Positions begin at a random number up to this one, so that a prompt in front is nothing "
        "new.",
    )
    max_length: int = Field(default=256, gt=8, description="Longer passages are cut here, in tokens.")
    verdict_weight: float = Field(
        default=1.0,
        gt=0,
        description="Weight in the loss of the words that say whether a statement is right: one word in "
        "twenty, and the slowest to learn.",
    )
    checkpoint_every: int = Field(default=500, gt=0, description="Steps between two checkpoints.")

    @property
    def parameters(self) -> int:
        """Number of parameters of the XGLM that comes out, if its text fills the vocabulary."""
        width, inner = self.width, self.feed_forward
        attention = 4 * (width * width + width)
        feed_forward = 2 * width * inner + inner + width
        norms = 4 * width
        return self.vocabulary * width + self.layers * (attention + feed_forward + norms) + 2 * width

    @property
    def tokens(self) -> int:
        """Tokens that are read in all, padding included, at most."""
        return self.steps * self.token_budget
