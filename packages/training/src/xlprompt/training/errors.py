"""What ends a run or keeps it from starting, other than data and model."""


class RunError(RuntimeError):
    """A run that cannot be done as asked on this machine or with these data; the message says what to do."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used: missing, damaged, too new, or of another backbone."""


class RecipeError(ValueError):
    """A recipe that cannot be run as it is written; the message names the file, the key and a remedy."""
