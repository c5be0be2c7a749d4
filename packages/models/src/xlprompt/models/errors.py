"""The one exception of this package. It says what was wrong with a model and what to do about it."""


class ModelError(ValueError):
    """A backbone, prompt or head can't be had as asked; the message names it and the way out."""
