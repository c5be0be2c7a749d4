"""XQuAD: which words of a paragraph answer a question about it? English SQuAD in, 11 languages out.

Artetxe et al. 2020 (arXiv 1910.11856), CC BY-SA 4.0: 1,190 questions about 240 paragraphs of SQuAD 1.1's
development set (Rajpurkar et al. 2016; CC BY-SA 4.0, as commonly given), translated by professionals. So
that set holds the test's questions, and they are left out of it. `start` counts code points of the paragraph
as it stands in the file: it is never normalized.
"""

from xlprompt.data.splits import Split
from xlprompt.data.tasks.kinds.span import SPAN
from xlprompt.data.tasks.task_type import HubTable, Task, words


def _config(language: str) -> str:
    return f"xquad.{language}"


def _squad(language: str) -> str:
    return "plain_text"


def _splits(language: str) -> tuple[Split, ...]:
    return ("test",)


def _squads_splits(language: str) -> tuple[Split, ...]:
    return ("train", "validation")


XQUAD = Task(
    name="xquad",
    kind=SPAN,
    version=1,
    fields=("context", "question", "answers"),
    labels=(),
    label_words=(),
    metrics=("f1", "exact_match", "squad_f1", "squad_exact_match"),
    languages=words("ar de el en es hi ru th tr vi zh"),
    hub=HubTable(
        "google/xquad",
        row_id="id",
        config=_config,
        splits=_splits,
        split_names=(("test", "validation"),),
        english=HubTable("rajpurkar/squad", row_id="id", config=_squad, splits=_squads_splits),
    ),
    test_in_validation=True,
)
