"""Errors of the file system, wherever in a command they come up, as one line with the file and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_ROOM = "Make room on its disk"
_WRITABLE = "Make it and its folder accessible to you, or name another place"
_IN_THE_WAY = "Something else is there: name another place"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: _WRITABLE,
    errno.ENOENT: "Bring it or its folder back (was its disk taken away?), or name another place",
    errno.ESTALE: "Bring its disk back",
    errno.EIO: "Check its disk",
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.ENAMETOOLONG: "Give it a shorter name",
}


class FileError(RuntimeError):
    """A file or folder that cannot be read or written; the message names it and says what to do."""


@contextmanager
def file_errors_explained() -> Iterator[None]:
    """Raise the file system's errors that a user can mend as `FileError`, and leave others alone."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        # Of the two names of a renaming, the second is where the file should have come to.
        name = error.filename2 or error.filename or "a file (the system does not say which)"
        raise FileError(f"{name}: {error.strerror}. {remedy}, and run the command again") from error
