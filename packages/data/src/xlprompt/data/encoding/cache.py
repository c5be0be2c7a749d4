"""A folder of datasets by fingerprint, safe against crashes, damaged files and several processes at once.

An entry is written under a temporary name and renamed, so a name that exists is a whole entry; checksums find
the ones that were damaged later. Nothing is ever deleted for room: the folder can be removed at any time.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"

Entry = tuple[datasets.Dataset, dict[str, Any]]


def load_or_build(cache_dir: Path, fingerprint: str, build: Callable[[], Entry]) -> Entry:
    """Return the entry of this fingerprint, building and storing it if there is none or only a damaged one.

    Args:
        cache_dir: The cache's folder; made if missing.
        fingerprint: The entry's name; whoever changes what `build` makes must change it too.
        build: Makes the dataset and a small JSON-serializable dict that is stored beside it.

    Returns:
        The dataset, memory-mapped from the cache, and the dict.
    """
    folder = cache_dir / fingerprint
    entry = _load(folder)
    if entry is not None:
        return entry
    built = build()
    try:
        _store(folder, *built)
    except OSError as error:  # no run needs the cache
        _tell_once(cache_dir, f"{error.strerror or error}")
        return built
    # None only if somebody clears the cache at this very moment; what was built is as good.
    return _load(folder) or built


@functools.lru_cache
def _tell_once(cache_dir: Path, reason: str) -> None:
    logger.warning(
        "The cache %s cannot be written (%s), so what is encoded is not kept. Make room there, or name "
        "another folder with XLPROMPT_CACHE",
        cache_dir,
        reason,
    )


def _store(folder: Path, dataset: datasets.Dataset, facts: dict[str, Any]) -> None:
    """Write an entry beside its final place, then rename it; another process that was first wins."""
    temporary = _aside(folder)
    temporary.mkdir(parents=True)
    try:
        with no_progress_bars():
            dataset.save_to_disk(temporary / "rows")
        manifest = {"facts": facts, "files": _checksums(temporary)}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        temporary.rename(folder)
    except OSError as error:
        # Asking for the folder alone is not enough: one that was in the way may have been removed as damaged.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not folder.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _load(folder: Path) -> Entry | None:
    """Read an entry; one that is not whole is removed, and None returned as if it had never been there."""
    if not os.path.isdir(folder):  # no error where the cache itself cannot be looked into
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["files"] == _checksums(folder):
            return datasets.load_from_disk(folder / "rows"), manifest["facts"]
        reason = "its files do not match their checksums"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    logger.warning("Removing the damaged cache entry %s (%s); it will be built again.", folder, reason)
    _remove(folder)
    return None


def _remove(folder: Path) -> None:
    """Take an entry out of sight in one step, so that no other process sees half of it, and delete it."""
    aside = _aside(folder)
    try:
        folder.rename(aside)
    except OSError:
        return  # another process found the damage too, or the cache cannot be written
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    """A name on the same file system that no other process uses."""
    return folder.with_name(f".{folder.name[:16]}.{uuid.uuid4().hex}")


def _checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file of an entry but the manifest, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    """Of a file that may be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """A bar for each language's few megabytes would only break up the run's own progress display."""
    shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
