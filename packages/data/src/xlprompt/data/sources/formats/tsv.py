"""Tab-separated files with a header and no quoting, which is how XNLI and PAWS-X are published.

Reading them with quoting on loses rows: a sentence may begin with a quotation mark that nothing closes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.sources.lines import numbered_lines


def records(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | DataError]]:
    """Read a file's rows as dictionaries.

    Args:
        path: The file.
        required: Columns that the header has to have.

    Yields:
        Line number, and the row or what is wrong with it. After a header that lacks a column nothing
        follows.
    """
    header: list[str] | None = None
    for line, text in numbered_lines(path):
        if isinstance(text, DataError):
            yield line, text
            if header is None:
                return
        elif header is None:
            header = text.split("\t")
            missing = [name for name in required if name not in header]
            if missing:
                yield (
                    line,
                    DataError(
                        f"missing column {', '.join(map(repr, missing))}",
                        file=path,
                        line=line,
                        fix=f"The first line has to name the columns; it has: {', '.join(header)[:200]}.",
                    ),
                )
                return
        elif text:
            cells = text.split("\t")
            if len(cells) == len(header):
                yield line, dict(zip(header, cells, strict=True))
            else:
                yield (
                    line,
                    DataError(
                        f"{len(cells)} columns where the header has {len(header)}",
                        file=path,
                        line=line,
                        fix="The row is cut off or has a stray tab; get the file again.",
                    ),
                )
