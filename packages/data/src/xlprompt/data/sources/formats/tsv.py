"""Tab-separated files with a header, which is how XNLI and PAWS-X are published.

They are published without quoting; `quoting` tells copies that have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.quoting import Style, has_doubled_marks, style_of_file, unquoted


def records(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | DataError]]:
    """Read a file's rows as dictionaries.

    Args:
        path: The file.
        required: Columns that the header has to have.

    Yields:
        Line number, and the row or what is wrong with it. After a header that lacks a column, or names one
        twice, nothing follows.
    """
    style = style_of_file(path)
    header: list[str] | None = None
    for line, text in numbered_lines(path):
        if isinstance(text, DataError):
            yield line, text
            if header is None:
                return
        elif header is None:
            try:
                header = check_header(cells_of(text, style, path, line), required, path, line)
            except DataError as problem:
                yield line, problem
                return
        elif text:
            try:
                yield line, dict(zip(header, row_of(text, len(header), style, path, line), strict=True))
            except DataError as problem:
                yield line, problem


def check_header(header: list[str], required: Sequence[str], path: Path, line: int) -> list[str]:
    """Return the header, or raise a DataError if it lacks a column or names one twice."""
    missing = [name for name in required if name not in header]
    if missing:
        raise DataError(
            f"missing column {', '.join(map(repr, missing))}",
            file=path,
            line=line,
            fix=f"The first line has to name the columns; it has: {', '.join(header)[:200]}.",
        )
    twice = [name for place, name in enumerate(header) if name and name in header[:place]]
    if twice:
        raise DataError(
            f"the header names the column {twice[0]!r} twice",
            file=path,
            line=line,
            fix="Nothing says which is meant: rename or delete one.",
        )
    return header


def row_of(text: str, width: int, style: Style, path: Path, line: int) -> list[str]:
    """Return a line's cells, or raise a DataError if they are not as many as the header's."""
    cells = cells_of(text, style, path, line)
    if len(cells) != width:
        raise DataError(
            f"{how_many(len(cells), 'column')} where the header has {width}",
            file=path,
            line=line,
            fix="The row is cut off or has a stray tab; get the file again.",
        )
    return cells


def cells_of(text: str, style: Style, path: Path, line: int) -> list[str]:
    """Return a line's cells, in a quoted file without the marks.

    Raises:
        DataError: A cell is quoted in a file in which other cells cannot be.
    """
    cells = text.split("\t")
    if style == "mixed" and any(map(has_doubled_marks, cells)):
        raise DataError(
            "quoted as in CSV, with doubled quotation marks, while other rows of the file are not",
            file=path,
            line=line,
            fix="Write the file anew without quoting, as it is published.",
        )
    return [unquoted(cell) for cell in cells] if style == "quoted" else cells
