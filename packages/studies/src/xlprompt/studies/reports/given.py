"""Whether there is something to report on, told before what makes reports is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlprompt.data.files import read_lines
from xlprompt.studies.grid.ledger import require_store

FIX = "Give a file that xlprompt publish wrote, or fetch it anew."
REMEDY = "Run a study first (make all-tasks), name another, or give published runs (--runs)"


def require_runs(store: Path, published: Sequence[Path], remedy: str = REMEDY) -> None:
    """Refuse a store that is not there where no published runs are given, and files of them that are not.

    Args:
        store: Folder of the MLflow store.
        published: The files.
        remedy: What to do where there is neither.

    Raises:
        StudyError: There is no store, and no file.
        DataError: A file is not there or cannot be read.
    """
    for path in published:
        next(read_lines(path, FIX), None)
    if not published:
        require_store(store, remedy)
