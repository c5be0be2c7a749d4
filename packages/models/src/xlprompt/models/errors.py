"""The one exception of this package. It says what was wrong with a model and what to do about it."""

INSTEAD = "Take another decoder (XGLM, BLOOM, GPT-2, OPT, Llama, Gemma, Qwen, Mistral and most newer ones)"
"""How an error ends that refuses a model."""


class ModelError(ValueError):
    """A backbone, prompt or head can't be had as asked; the message names it and the way out."""
