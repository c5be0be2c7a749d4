"""What needs no model: by hand on two questions, and what tables and rules call it."""

import pytest
from datasets import Dataset

from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.tasks import task
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation.scores.floors import floor_name, has_trivial, trivial_baseline

CONTEXT = "Ann met Bo in Rome. Cy left on Monday."


def encoded(name: str, **columns: list[object]) -> Encoded:
    table = Dataset.from_dict(columns)
    return Encoded(task(name), EncodingSettings(), Dataset.from_dict({}), table, 0, "")


def test_the_floor_of_spans_is_the_token_f1_of_the_sentence_nearest_in_words():
    answers = [[{"text": "Monday", "start": 31}], [{"text": "in Rome", "start": 11}]]
    questions = ["When has Cy left?", "Where has Ann met Bo?"]
    examples = encoded("xquad", context=[CONTEXT] * 2, question=questions, answers=answers)
    # "Cy left on Monday" has 1 right word of 4, "Ann met Bo in Rome" 2 of 5, and nothing is missing.
    by_hand = 100 * (2 * (1 / 4) / (1 + 1 / 4) + 2 * (2 / 5) / (1 + 2 / 5)) / 2
    assert trivial_baseline(examples, "en") == pytest.approx(by_hand) == pytest.approx(48.571, abs=0.001)


@pytest.mark.parametrize("name", ["xnli", "xcopa", "ner"])
def test_labels_have_the_majority_baseline_instead(name: str):
    assert trivial_baseline(encoded(name), "en") is None


@pytest.mark.parametrize(
    ("tasks", "name"),
    [
        (["xnli", "ner"], "majority baseline"),
        (["xquad"], "trivial baseline"),
        (["xnli", "xquad"], "majority or trivial baseline"),
    ],
)
def test_a_report_names_what_its_tasks_have(tasks: list[str], name: str):
    assert floor_name(tasks) == name
    assert has_trivial(tasks) == ("trivial" in name)
