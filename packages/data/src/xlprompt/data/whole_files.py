"""Files and folders that are whole or not there: flushed to the disk, then renamed into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under another name beside it and rename it, so that half of it never has its name.

    Args:
        path: The file, in a folder that is there; a device or a pipe is written to and stays what it is.
        content: Bytes, or text that is written as UTF-8.

    Raises:
        OSError: It cannot be written; an existing file is as it was.
    """
    content = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with in_place_of(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A name beside a file, whose content takes the file's place when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    if os.name == "nt":  # Windows cannot open a folder to flush it
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def previous_folder(directory: Path) -> Path:
    """Where `replace_folder` puts the old folder while it renames."""
    return directory.with_name(f".{directory.name}.previous")


def replace_folder(new: Path, directory: Path) -> None:
    """Rename `new` to `directory`; POSIX renames onto an empty folder only, so an old one is moved aside."""
    if not directory.exists():
        new.rename(directory)
        return
    previous = previous_folder(directory)
    shutil.rmtree(previous, ignore_errors=True)
    directory.rename(previous)
    try:
        new.rename(directory)
    except OSError:
        previous.rename(directory)
        raise
    shutil.rmtree(previous)
