"""Where xlprompt keeps what it can make again: converted models, fingerprints and encoded data.

No run needs it. Where it cannot be written, a run goes on without it and says so once.
"""

import contextlib
import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

logger = logging.getLogger(__name__)

_known: dict[str, str] = {}  # what a cache that cannot be written would have kept


def cache_dir() -> Path:
    """The user's cache folder for xlprompt: `XLPROMPT_CACHE` when set, else the platform's usual place."""
    override = os.environ.get("XLPROMPT_CACHE")
    return Path(os.path.expanduser(override)) if override else user_cache_path("xlprompt")


def writable_cache_dir() -> Path | None:
    """The cache folder, made where it is missing; None, said once a process, where it cannot be written."""
    folder = cache_dir()
    return None if _told_problem(folder) else folder


def cache_problem(folder: Path) -> str | None:
    """Why a cache folder cannot be written; None where it can. A folder that is missing is not made."""
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return f"{place}: {error.strerror or error}"
    return None


@lru_cache
def _told_problem(folder: Path) -> bool:
    problem = cache_problem(folder)
    if problem is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"{folder}: {error.strerror or error}"
    if problem is not None:
        logger.warning(
            "The cache %s cannot be written (%s), so this run goes on without it. Name another folder with "
            "XLPROMPT_CACHE",
            folder,
            problem,
        )
    return problem is not None


def recall(kind: str, key: str) -> str | None:
    """What `remember` kept, in this process or an earlier one; None where it kept nothing."""
    with contextlib.suppress(OSError, ValueError):
        return (cache_dir() / kind / key).read_text(encoding="ascii")
    return _known.get(f"{kind}/{key}")


def remember(kind: str, key: str, text: str) -> None:
    """Keep a short text; only for this process where the cache cannot be written."""
    _known[f"{kind}/{key}"] = text
    folder = writable_cache_dir()
    if folder is None:
        return
    target = folder / kind / key
    temporary = target.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # a disk that has just become full; it can be made again
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="ascii")
        temporary.replace(target)
