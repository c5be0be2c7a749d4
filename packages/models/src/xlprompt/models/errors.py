"""The one exception of this package, and how lack of memory is told from all others.

A `ModelError` says what was wrong with a model and what to do about it.
"""

INSTEAD = "Take another decoder (XGLM, BLOOM, GPT-2, OPT, Llama, Gemma, Qwen, Mistral and most newer ones)"
"""How an error ends that refuses a model."""

_OUT_OF_MEMORY = ("out of memory", "allocate memory")


class ModelError(ValueError):
    """A backbone, prompt or head can't be had as asked; the message names it and the way out."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says so; of a CPU's memory torch raises a plain RuntimeError."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)
