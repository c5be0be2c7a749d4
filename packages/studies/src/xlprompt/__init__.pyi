from .training.errors import RunError as RunError
