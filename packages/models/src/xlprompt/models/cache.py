"""Where xlprompt keeps what it can make again: converted models, fingerprints and encoded data."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """The user's cache folder for xlprompt: `XLPROMPT_CACHE` when set, else the platform's usual place."""
    override = os.environ.get("XLPROMPT_CACHE")
    return Path(override).expanduser() if override else user_cache_path("xlprompt")
