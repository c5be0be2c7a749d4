"""What ends a run or keeps it from starting, other than data, model, recipe and checkpoint."""


class RunError(RuntimeError):
    """A run that cannot be done as asked on this machine or with these data; the message says what to do."""
