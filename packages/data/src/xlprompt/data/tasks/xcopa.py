"""XCOPA: which of two sentences is the premise's cause, or effect? English COPA in, 11 languages out.

Ponti et al. 2020 (arXiv 2005.00333), CC BY 4.0, translated from COPA (Roemmele et al. 2011; BSD, as commonly
given). English is COPA: items 1 to 400 to train on, 401 to 500 to choose by, 501 to 1000 for the test. In the
published Thai, Turkish, Swahili, Indonesian and Italian files many rows say "effect" where English and the
text ask for the cause, so `question` is taken from the English row of the same id.
"""

from xlprompt.data.splits import Split
from xlprompt.data.tasks.kinds.choice import CHOICE
from xlprompt.data.tasks.task_type import HubTable, Task, words

_FIELDS = ("premise", "question", "choice1", "choice2", "label")


def _splits(language: str) -> tuple[Split, ...]:
    return () if language == "en" else ("validation", "test")


def _copa(language: str) -> str:
    return "copa"


def _copas_splits(language: str) -> tuple[Split, ...]:
    """The labels of COPA's test rows are not in SuperGLUE."""
    return ("train", "validation")


XCOPA = Task(
    name="xcopa",
    kind=CHOICE,
    version=1,
    fields=_FIELDS,
    labels=("choice1", "choice2"),
    label_words=("yes",),  # how well an option fits
    metrics=("accuracy",),
    languages=words("en et ht id it qu sw ta th tr vi zh"),
    hub=HubTable(
        "cambridgeltl/xcopa",
        row_id="idx",
        splits=_splits,
        english=HubTable("aps/super_glue", row_id="idx", config=_copa, splits=_copas_splits),
    ),
    aliases=(("0", "choice1"), ("1", "choice2")),  # its labels are numbers
    as_in_english=("question",),
    blind_label="choice1",  # XTREME's prepared test files
    only=(("question", ("cause", "effect")),),
)
