"""Keeps libraries from talking over xlprompt's own output while they load or convert a model."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


@contextmanager
def quietly() -> Iterator[None]:
    """Within it, transformers draws no progress bars, and DeepSpeed reports errors only."""
    shows_progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    deepspeed = logging.getLogger("DeepSpeed")  # transformers imports it when it saves a model
    deepspeed.addFilter(_errors_only)
    try:
        yield
    finally:
        deepspeed.removeFilter(_errors_only)
        if shows_progress:
            transformers_logging.enable_progress_bar()
