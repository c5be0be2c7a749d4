"""The one exception of this package.

Every complaint about data says which file (and line) is wrong, what is wrong with it, and what to do. Nothing
here decides whether a problem is fatal: readers raise or collect it.
"""

from __future__ import annotations

from pathlib import Path

from xlprompt.data.printable import printable

_MOST_CHARACTERS = 1000
"""A message may quote what is wrong, which may be a line of any length."""


class DataError(ValueError):
    """Data that cannot be used as it is.

    ``str()`` of it is ``<file>:<line>: <message>. <fix>`` without the parts that are not known, on one line
    and with control characters escaped: messages quote files, and go to terminals.
    """

    def __init__(
        self, message: str, *, file: str | Path | None = None, line: int | None = None, fix: str | None = None
    ) -> None:
        """Say what is wrong and where.

        Args:
            message: What is wrong, without a full stop.
            file: The file or folder it is wrong in.
            line: The line of `file`, counted from 1.
            fix: What the user can do, as a sentence.
        """
        self.message = _shown(message)
        self.file = None if file is None else str(file)
        self.line = line
        self.fix = None if fix is None else _shown(fix)
        super().__init__(self.message)

    def __str__(self) -> str:
        """Join place, message and fix into one line."""
        place = "" if self.file is None else f"{printable(self.file)}: "
        if self.file is not None and self.line is not None:
            place = f"{printable(self.file)}:{self.line}: "
        return f"{place}{self.message}." + (f" {self.fix}" if self.fix else "")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when a worker process hands the error back."""
        return _rebuild, (self.message, self.file, self.line, self.fix)


def _shown(text: str) -> str:
    cut = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"
    return printable(cut)


def _rebuild(message: str, file: str | None, line: int | None, fix: str | None) -> DataError:
    return DataError(message, file=file, line=line, fix=fix)
