"""Running texts of an example, for every kind that has them: their checks, how they are typed and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.kind import Answers, Counts, Encodings, Example, Shown
from xlprompt.data.tasks.kinds.labels import json_type, label_number, right_answers
from xlprompt.data.tasks.rules import NO_LABEL, NOT_TRANSLATED, Skipped, untranslated
from xlprompt.data.tasks.task_type import Place, Task

_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight")


def checked_texts(task: Task, texts: Sequence[Any], names: Sequence[str], place: Place) -> Skipped | None:
    """Check that texts are strings that are not blank and can be encoded.

    Returns:
        Why the row is left out, or None.

    Raises:
        DataError: One is not; the message names the field.
    """
    for name, text in zip(names, texts, strict=False):
        if not isinstance(text, str):
            raise place.error(f"{name} is not a string but {json_type(text)}")
        place.check_text(name, text)
    if untranslated(task, texts):
        return Skipped(NOT_TRANSLATED)
    for name, text in zip(names, texts, strict=False):
        if not text.strip():
            raise place.error(f"{name} is blank", "Fill it in or delete the row.")
    for field, values in task.only:
        text = texts[task.text_fields.index(field)]
        if text not in values:
            raise place.error(f"{field} is {text[:40]!r}", f"Give {' or '.join(values)}.")
    return None


class RunningTexts:
    """The part of a kind whose examples are running texts, with metrics that say something of each."""

    by_word = False
    ends_rows = True
    metric_titles: ClassVar[Mapping[str, str]] = {}

    def rows_of(self, task: Task) -> list[tuple[str, ...]]:
        """One row of all texts."""
        return [task.text_fields]

    def typed(self, task: Task, texts: Sequence[str]) -> list[tuple[Any, ...]]:
        """The texts of one example; of a task with one text, any number of them."""
        wanted = task.text_fields
        if len(wanted) == 1:
            return [(text,) for text in texts]
        if len(texts) != len(wanted):
            raise DataError(
                f"{len(texts)} text{'s' if len(texts) != 1 else ''} where {task.name} takes "
                f"{self.typed_as(task).removesuffix(' texts')}",
                fix=f"Give {', '.join(wanted[:-1])} and {wanted[-1]}; many examples can stand in a file.",
            )
        return [tuple(texts)]

    def typed_as(self, task: Task) -> str:
        """As many texts as the task has."""
        number = len(task.text_fields)
        return "a text" if number == 1 else f"{_NUMBERS[number - 2]} texts"

    def shown(self, task: Task, texts: Sequence[Any], answers: Sequence[str]) -> Shown:
        """A line a text; an answer goes with all of them."""
        return {name: [(text, "")] for name, text in zip(task.text_fields, texts, strict=True)}

    def out_of_reach(self, encoded: Encodings) -> int:
        """None."""
        return 0

    def is_defined(self, task: Task, metric: str, gold: Answers) -> bool:
        """Always."""
        return True


class OneLabelAnExample(RunningTexts):
    """The part of a kind whose examples are running texts with one label each."""

    json_type = str

    def with_label(self, task: Task, texts: Sequence[str], answer: Any, place: Place) -> Example | Skipped:
        """An example of texts that have been checked.

        Raises:
            DataError: Its answer is no label of the task.
        """
        if place.labeled and task.no_label and answer == task.no_label:
            return Skipped(NO_LABEL)
        number = label_number(task, answer, place) if place.labeled else 0
        return Example(place.position, place.id, tuple(texts), number)

    def to_json(self, answers: Sequence[Any]) -> Any:
        """The one answer."""
        (answer,) = answers
        return answer

    def from_json(self, value: Any) -> list[Any]:
        """The answer alone in a list."""
        return [value]

    def counts(
        self, task: Task, gold: Answers, predicted: Answers, only: str | None, language: str | None
    ) -> Counts:
        """Accuracy: 1 or 0 over 1."""
        return {"accuracy": right_answers(gold, predicted)}
