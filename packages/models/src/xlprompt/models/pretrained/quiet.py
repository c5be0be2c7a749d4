"""Keeps libraries from talking over xlprompt's own output while they load or convert a model."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


@contextmanager
def quietly() -> Iterator[None]:
    """Within it, transformers draws no progress bars, and it and DeepSpeed report errors only.

    What transformers would tell of a load, such as weights that were missing, is asked of it and told in our
    own words; its table of weights that are rightly not needed only teaches people to overlook it.
    """
    shows_progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    deepspeed = logging.getLogger("DeepSpeed")  # transformers imports it when it saves a model
    deepspeed.addFilter(_errors_only)
    try:
        yield
    finally:
        deepspeed.removeFilter(_errors_only)
        transformers_logging.set_verbosity(verbosity)
        if shows_progress:
            transformers_logging.enable_progress_bar()
