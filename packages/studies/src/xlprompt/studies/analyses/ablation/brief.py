"""What variants come to in brief, as the rows of a table in a document."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.studies.reports.page import Table

KIND = "ablations"


def brief_table(name: str, rows: Sequence[tuple[str, str, str]]) -> Table:
    """The rows of one grid.

    Args:
        name: The grid's.
        rows: Of each task and method its name, the first variant, and the others.
    """
    return Table(
        KIND,
        ("NAME", "task and method", "first variant", "the others"),
        tuple((f"`{name.replace('`', '')}`", *row) for row in rows),
        "Zero-shot mean in percent, ± standard deviation over seeds (where variants train on several "
        "languages: over all but the first); of the others, but for other training languages, the difference "
        "from it in points, with its 95 % interval over seeds and test examples, not corrected for the "
        "number of variants, bold where the interval leaves out zero. In brackets the trained share, where "
        "it is not the first variant's.",
    )
