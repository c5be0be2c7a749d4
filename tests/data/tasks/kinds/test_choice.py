"""Options to choose from: a row an option, and answers that do not depend on their order."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset

from xlprompt.data import DataError, Task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.tasks.kinds.choice import CHOICE
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.task_type import Place
from xlprompt.data.tokens.settings import EncodingSettings

COPA = Task(
    name="copa",
    kind=CHOICE,
    version=1,
    fields=("premise", "question", "choice1", "choice2", "label"),
    labels=("choice1", "choice2"),
    label_words=("yes",),
    metrics=("accuracy",),
    languages=("en",),
)
XGLM = tiny.xglm_tokenizer()
ROW = {
    "premise": "The man walked to the station.",
    "question": "effect",
    "choice1": "He reads a book.",
    "choice2": "The train had already left.",
    "label": 1,
}


def table(*rows: dict[str, Any]) -> Dataset:
    names = [*COPA.fields]
    return Dataset.from_dict(
        {"id": list(map(str, range(len(rows))))} | {n: [r[n] for r in rows] for n in names}
    )


def encoded(*rows: dict[str, Any], max_length: int = 128) -> Encoded:
    return encode(table(*rows), COPA, XGLM, EncodingSettings(max_length=max_length))


def plain(text: str) -> list[int]:
    return XGLM(text, add_special_tokens=False)["input_ids"]


def test_each_option_is_a_row_behind_the_other_texts():
    rows = encoded(ROW).dataset
    for option, row in enumerate(rows):
        texts = [plain(ROW[name]) for name in ("premise", "question", f"choice{option + 1}")]
        assert row["input_ids"] == [2, *texts[0], 2, 2, *texts[1], 2, 2, *texts[2], 2]
        assert row["readouts"] == [len(row["input_ids"]) - 1]
        assert (row["words"], row["labels"], row["example"]) == ([option], [int(option == 1)], 0)


def test_the_right_answer_is_the_number_of_the_option():
    assert encoded(ROW, ROW | {"label": 0}).gold() == [[1], [0]]


def test_exchanged_options_give_exchanged_answers():
    swapped = ROW | {"choice1": ROW["choice2"], "choice2": ROW["choice1"], "label": 0}
    one, other = encoded(ROW).dataset["input_ids"], encoded(swapped).dataset["input_ids"]
    assert list(one) == list(other)[::-1]
    scores, groups = torch.tensor([[0.3], [0.7]]), torch.zeros(2, dtype=torch.int64)
    assert CHOICE.decode(scores, groups).tolist() == [[1]]
    assert CHOICE.decode(scores.flip(0), groups).tolist() == [[0]]


def test_probabilities_are_of_the_options_by_their_names():
    scores = torch.tensor([0.25, 0.75, 0.9, 0.1]).log()[:, None]
    weighed = CHOICE.weigh(scores, torch.tensor([0, 0, 1, 1])).numpy()
    named = CHOICE.named(encoded(ROW, ROW), list(weighed))
    assert [list(each[0]) for each in named] == [["choice1", "choice2"]] * 2
    assert named[0][0]["choice2"] == pytest.approx(0.75)
    assert named[1][0]["choice1"] == pytest.approx(0.9)


def test_what_is_too_long_is_cut_from_the_longest_text_and_counted():
    long = ROW | {"premise": ROW["premise"] * 20}
    found = encoded(long, ROW, max_length=100)
    assert found.truncated == 1
    assert found.lengths.max() == 100
    assert list(found.dataset["input_ids"])[1][-8:-1] == plain(ROW["choice2"])[-7:]


def example(**changed: Any) -> Any:
    record = ROW | changed
    return COPA.example(record, Place(0, "copa.jsonl", 3))


def test_a_label_is_a_number_or_a_name():
    assert isinstance(example(), Example)
    assert example(label="choice1").answer == 0
    assert example(label=1).answer == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": 2}, "label 2 is out of range"),
        ({"label": "first"}, "unknown label 'first'"),
        ({"choice2": ROW["choice1"]}, "two options are the same text"),
        ({"choice2": " "}, "choice2 is blank"),
        ({"premise": None}, "premise is not a string but null"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_its_line(changed: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message) as caught:
        example(**changed)
    assert "copa.jsonl:3" in str(caught.value)


def test_accuracy_counts_examples():
    counts = CHOICE.counts(COPA, [[0], [1], [1]], [[0], [1], [0]], None, "en")
    assert np.array_equal(counts["accuracy"][0], [1, 1, 0])
    assert np.array_equal(counts["accuracy"][1], [1, 1, 1])
