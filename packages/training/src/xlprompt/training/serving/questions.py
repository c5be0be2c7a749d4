"""Answers requests of many models together: what a server's one computing thread does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.evaluation.answers.together import Part, answer_together
from xlprompt.training.machine.out_of_memory import out_of_memory_explained
from xlprompt.training.runs.predictions import Prediction
from xlprompt.training.runs.predictor import Predictor, Question

Answered = tuple[Prediction, ...] | Exception


@dataclass(frozen=True)
class Asked:
    """A request: checked rows, at least one, of one language, for one model."""

    predictor: Predictor
    rows: tuple[Example, ...]
    language: str


def answer_all(asked: Sequence[Asked]) -> list[Answered]:
    """Answer requests, each as `Predictor.answer` does alone; what fails fails alone.

    Returns:
        Of each request its answers, or the error that it met.
    """
    try:
        return _together(asked)
    except Exception as error:  # whichever it is: the others must not suffer for one
        if len(asked) == 1:
            return [error]
        return [answer for each in asked for answer in answer_all([each])]


def _together(asked: Sequence[Asked]) -> list[Answered]:
    """Requests of the same model and language are encoded as one, as that costs most where rows are few.

    But not where words are cut more finely: which ones depends on the places of the rows.
    """
    groups: dict[tuple[int, str, int], list[int]] = {}
    for number, each in enumerate(asked):
        finer = each.predictor.recipe.encoding.granularity.applies_to(each.language, "test")
        groups.setdefault((id(each.predictor), each.language, number if finer else -1), []).append(number)
    answers: dict[int, Answered] = {}
    for device in dict.fromkeys(each.predictor.device for each in asked):
        there = [numbers for numbers in groups.values() if asked[numbers[0]].predictor.device == device]
        read = [_question([asked[number] for number in numbers]) for numbers in there]
        parts = [_part(asked[numbers[0]].predictor, each) for numbers, each in zip(there, read, strict=True)]
        with out_of_memory_explained():
            found = answer_together(parts, device)
        for numbers, question, of_group in zip(there, read, found, strict=True):
            if isinstance(of_group, Exception):
                answers.update(dict.fromkeys(numbers, of_group))
                continue
            rows = asked[numbers[0]].predictor.predictions(question, of_group)
            first = 0
            for number in numbers:
                stop = first + len(asked[number].rows)
                answers[number] = rows[first:stop]
                first = stop
    return [answers[number] for number in range(len(asked))]


def _question(group: Sequence[Asked]) -> Question:
    return group[0].predictor.question([row for each in group for row in each.rows], group[0].language)


def _part(predictor: Predictor, question: Question) -> Part:
    budget = predictor.recipe.evaluation.token_budget
    return Part(predictor.model, question.encoded, budget, predictor.pad_id)
