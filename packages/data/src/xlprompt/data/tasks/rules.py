"""Which rows of a task count, whatever file or table they stand in.

Publishers leave rows without a translation, a label or their words. Such a row is left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.task_type import Task

NOT_TRANSLATED = "not translated"
NO_LABEL = "no gold label"
NO_TAG = "a word without a tag"
WITHHELD = "words withheld"


class Skipped(NamedTuple):
    """A row that is left out on purpose, and why."""

    reason: str


def untranslated(task: Task, texts: Sequence[str]) -> bool:
    """Tell whether a text of a pair is the task's mark for one that was not translated."""
    return bool(task.untranslated) and any(text.strip() in task.untranslated for text in texts)


def words_withheld(task: Task, tokens: Sequence[str], tags: Sequence[int] | None) -> bool:
    """Tell whether a sentence is published without its words, as treebanks are for licence reasons.

    An underscore then stands for each word, but for some (French-FTB keeps every sentence's first). Under the
    tag of a symbol an underscore may be a real one. A quarter of the words have to be withheld, because
    Turkish-IMST has a stray one in 11 sentences, up to a fifth of their words; where no tag tells words from
    symbols, more than half.

    Args:
        task: The task.
        tokens: The words.
        tags: Their label numbers; None where there are none.
    """
    blank = [token == "_" for token in tokens]
    if all(blank):
        return True
    if tags is None or not task.symbols:
        return 2 * sum(blank) > len(blank)
    words = [one for one, tag in zip(blank, tags, strict=True) if task.labels[tag] not in task.symbols]
    return any(words) and 4 * sum(words) >= len(words)


def withheld(skipped: Mapping[str, int], count: int, *, file: str | Path, language: str) -> DataError | None:
    """Return what is wrong with a split of which at least half of the sentences have no words.

    The few sentences that are whole in such a treebank are headings and single words, and stand for nothing.

    Args:
        skipped: Rows left out, by reason.
        count: Rows that are left.
        file: For the message.
        language: For the message.
    """
    blank = skipped.get(WITHHELD, 0)
    if not blank or blank < count:
        return None
    return DataError(
        f"the words of {blank:,} of {blank + count:,} {language} sentences are withheld, "
        "and '_' stands in their place",
        file=file,
        fix="Merge the text in from the original corpus, as its README says, or take the file out.",
    )
