"""Gzipped JSON Lines: written whole or not at all, and read back line by line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.whole_files import write_whole


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write each value as a line; the same values give the same bytes.

    Missing folders are made, an existing file is replaced.

    Args:
        path: The file.
        values: What JSON can hold.
    """
    text = "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, gzip.compress(text.encode("utf-8"), mtime=0))


def read_lines(path: Path, fix: str) -> Iterator[tuple[int, bytes]]:
    """Yield every line with its number, counted from 1; what it holds is for the caller to parse.

    Raises:
        DataError: The file is missing, no file, not allowed to be read, or not a whole gzip file; names it
            and ends with `fix`.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise DataError("is not a file", file=path, fix=fix)
        with gzip.open(path, "rb") as file:
            yield from enumerate(file, start=1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error})", file=path, fix=fix) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path, fix=fix) from error
