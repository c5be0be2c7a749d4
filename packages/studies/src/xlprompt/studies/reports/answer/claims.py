"""The verdicts as lines that open: the ruling in brief, then evidence, what would decide it, and the rule."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.evaluation.comparison.decisive import Need
from xlprompt.evaluation.comparison.verdicts import Verdict
from xlprompt.studies.reports.page import Table

SHORT = (
    "On par with fine-tuning, or better, in all languages",
    "The same with at most 0.13 % of the parameters",
    "More help for low-resource languages",
    "Because of finer tokenization",
)
"""The paper's claims in a few words; the claims themselves stand below."""

VERDICTS_NOTE = (
    "A verdict is what its rule makes of the figures. Undecided is what the data cannot tell; it is no "
    "evidence against a claim. What would decide it is simulated: the seen runs stay, and further seeds "
    "or languages are drawn from what was seen until the rule decides four of five studies. It takes the "
    "differences seen for the true ones, and one that was seen by luck needs more."
)
"""How to read them."""

DECIDED = "nothing: it is decided"

_SIGNS = {"supported": "✓", "not supported": "✗", "undecided": "?"}


def claims(verdicts: Sequence[Verdict], needs: Sequence[Need | None] = ()) -> Table:
    """The paper's claims with what became of them.

    Args:
        verdicts: From judge.
        needs: From what_decides, one for each verdict; empty where it was not asked.
    """
    given = needs or [None] * len(verdicts)
    return Table(
        "The paper's four claims",
        ("in short", "verdict", "in brief", "claim", "evidence", "what would decide it", "rule"),
        tuple(
            (
                f"{number}. {short}",
                f"{_SIGNS[each.verdict]} {each.verdict}",
                str(each.evidence["reason"]) if need is None else need.brief,
                each.claim,
                str(each.evidence["reason"]),
                DECIDED if need is None else need.text,
                each.rule,
            )
            for number, (each, short, need) in enumerate(zip(verdicts, SHORT, given, strict=True), 1)
        ),
        cards=True,
    )
