"""Folders that are written whole: under another name beside, and renamed when all of it is there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xlprompt.data.whole_files import flush_folder, replace_folder
from xlprompt.training.errors import RunError


@contextmanager
def new_folder(directory: Path, *, of_ours: Sequence[str]) -> Iterator[Path]:
    """A folder beside `directory` that takes its place when the block ends without an error.

    Args:
        directory: What it becomes. One that is there is replaced only if it is empty or was made like this,
            and is no git repository.
        of_ours: The files by which one that was made like this is known; nothing else writes all of them.

    Raises:
        RunError: Something else is there, or it cannot be written.
    """
    directory = directory.absolute()
    if os.path.lexists(directory) and not _is_ours(directory, of_ours):
        reason = _what_is_wrong(directory, of_ours)
        raise RunError(f"{directory}: there is something else ({reason}). Name another folder")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Not mkdtemp, whose 0700 would hide it from other users.
        new = directory.with_name(f".{directory.name}.new-{os.getpid()}-{secrets.token_hex(4)}")
        new.mkdir()
    except OSError as error:
        raise RunError(f"{directory}: cannot be written ({error}). Name another folder") from error
    try:
        yield new
        flush_folder(new)
        replace_folder(new, directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _is_ours(directory: Path, of_ours: Sequence[str]) -> bool:
    return directory.is_dir() and (not any(directory.iterdir()) or not _what_is_wrong(directory, of_ours))


def _what_is_wrong(directory: Path, of_ours: Sequence[str]) -> str:
    if (directory / ".git").exists():
        return "a git repository"
    missing = [name for name in of_ours if not (directory / name).is_file()]
    return f"no {missing[0]} in it" if missing else ""
