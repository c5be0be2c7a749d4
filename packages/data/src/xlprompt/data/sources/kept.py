"""Rows that are made and not read, kept between runs: the mini benchmark says each set anew in half a second.

Sources that read files are not kept: they check what they read, and tell of what they leave out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xlprompt.data.encoding.cache import load_or_build
from xlprompt.data.fingerprints import code_fingerprint, fingerprint_of
from xlprompt.data.sources.mini import MiniSource

if TYPE_CHECKING:
    from datasets import Dataset

    from xlprompt.data.sources import Source
    from xlprompt.data.tasks.task_type import Task

# Whatever rows are made by; a change of it makes them anew.
_MAKERS = (
    "xlprompt.data.mini",
    "xlprompt.data.sources.mini",
    "xlprompt.data.sources.rows",
    "xlprompt.data.tasks",
)


def load_rows(
    source: Source,
    task: Task,
    language: str,
    split: str,
    *,
    limit: int | None,
    cache_dir: Path | None,
    labeled: bool = True,
) -> Dataset:
    """What `source.load` gives, from the cache where it has been made before.

    Args:
        source: The source.
        task: The task.
        language: The language.
        split: The split.
        limit: At most so many rows.
        cache_dir: Where rows are kept between runs; None does not keep them.
        labeled: Whether each row needs an answer.

    Raises:
        DataError: As the source's `load`.
    """
    if cache_dir is None or not isinstance(source, MiniSource):
        return source.load(task, language, split, limit=limit, labeled=labeled)
    made_from = [source.name, source.fingerprint(task, language, split), limit, code_fingerprint(*_MAKERS)]
    rows, _ = load_or_build(
        cache_dir,
        fingerprint_of(made_from),
        lambda: (source.load(task, language, split, limit=limit), {}),
    )
    return rows
