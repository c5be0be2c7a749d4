"""Lines of a text file, plain or gzipped, with their numbers.

Only the file as bytes is judged here (readable, UTF-8, no byte-order mark, no NUL); what a line means is the
business of `formats`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, cast

from xlprompt.data.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEAD_BYTES = 65_536
_LONGEST_LINE = 16 << 20  # bytes; the longest line of the benchmarks has 20,000


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading, unpacking it if its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their ends; one that is too long, as of a file without any, comes cut and last."""
    while raw := file.readline(_LONGEST_LINE + 1):
        yield raw
        if len(raw) > _LONGEST_LINE:
            return


def numbered_lines(path: Path, stream: BinaryIO | None = None) -> Iterator[tuple[int, str | DataError]]:
    r"""Read a file line by line.

    Lines end at ``\n`` or ``\r\n`` and nowhere else: the other characters that `str.splitlines` splits at
    occur inside the benchmarks' sentences.

    Args:
        path: Text file; ``.gz`` is unpacked on the way.
        stream: Read instead of the file and left open; `path` then only names it in messages.

    Yields:
        Line number from 1, and the line's text or what is wrong with it. After a file error (unreadable,
        truncated) and after a line that is too long nothing follows.
    """
    number = 0
    try:
        with open_binary(path) if stream is None else nullcontext(stream) as file:
            for raw in raw_lines(file):
                number += 1
                yield number, _decode(raw, path, number)
    except (OSError, EOFError, zlib.error) as error:
        yield number + 1, _file_problem(error, path, number + 1)


def first_lines(path: Path, count: int = 5) -> tuple[str, ...]:
    """Return the first non-blank lines, to see what kind of file it is; none if it is unreadable."""
    found: list[str] = []
    try:
        with open_binary(path) as file:
            size = 0
            for raw in raw_lines(file):
                text = raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace").rstrip("\r\n")
                if text.strip():
                    found.append(text)
                size += len(raw)
                if len(found) == count or size > _HEAD_BYTES:
                    break
    except (OSError, EOFError, zlib.error):
        # The reader meets the same error and reports it with its line.
        return tuple(found)
    return tuple(found)


def _decode(raw: bytes, path: Path, number: int) -> str | DataError:
    if number == 1 and raw.startswith(_BYTE_ORDER_MARK):
        return DataError(
            "the file begins with a byte-order mark", file=path, line=1, fix="Save it as UTF-8 without BOM."
        )
    if len(raw) > _LONGEST_LINE:
        return DataError(
            f"the line is longer than {_LONGEST_LINE >> 20} MiB",
            file=path,
            line=number,
            fix="Put one row on each line.",
        )
    if b"\0" in raw:
        return DataError(
            f"NUL byte at byte {raw.index(0) + 1} of the line",
            file=path,
            line=number,
            fix="The file is damaged or not UTF-8 text; get it again.",
        )
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        return DataError(
            f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line",
            file=path,
            line=number,
            fix="Convert the file to UTF-8.",
        )


def _file_problem(error: Exception, path: Path, line: int) -> DataError:
    again = "The file is damaged; get it again."
    if isinstance(error, gzip.BadGzipFile):
        return DataError(f"not a gzip file ({error})", file=path, line=line, fix=again)
    if isinstance(error, (EOFError, zlib.error)):
        return DataError("the gzip file is truncated or damaged", file=path, line=line, fix=again)
    reason = getattr(error, "strerror", None) or str(error)
    return DataError(f"cannot be read ({reason})", file=path, fix="Check that it exists and its permissions.")
