"""Answers that are parts of a context: their places, windows, and the best one by the scores."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from xlprompt.data import DataError, Task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.tasks.kinds.span import SPAN
from xlprompt.data.tasks.kinds.span_answers import FIRST, LAST, LONGEST_ANSWER, best_span
from xlprompt.data.tasks.task_type import Place
from xlprompt.data.tokens.cutter import GranularitySettings
from xlprompt.data.tokens.settings import EncodingSettings

SQUAD = Task(
    name="squad",
    kind=SPAN,
    version=1,
    fields=("context", "question", "answers"),
    labels=(),
    label_words=(),
    metrics=("f1", "exact_match"),
    languages=("en",),
)
CONTEXT = "The man in the red coat walked to the station, but the train had already left."
TOKENIZERS = {"xglm": tiny.xglm_tokenizer(), "bpe": tiny.bpe_tokenizer()}


def row(
    answer: str = "the station", context: str = CONTEXT, question: str = "Where did he go?"
) -> dict[str, Any]:
    return {
        "context": context,
        "question": question,
        "answers": [{"text": answer, "start": context.index(answer)}],
    }


def table(*rows: dict[str, Any]) -> Dataset:
    columns = {name: [each[name] for each in rows] for name in SQUAD.fields}
    return Dataset.from_dict({"id": list(map(str, range(len(rows)))), **columns})


def encoded(*rows: dict[str, Any], tokenizer: str = "xglm", **options: Any) -> Encoded:
    return encode(table(*rows), SQUAD, TOKENIZERS[tokenizer], EncodingSettings(**options), language="en")


def right_places(found: Encoded, example: int = 0) -> list[int]:
    labels = found.by_example("labels")[example]
    return [int(np.flatnonzero(labels & FIRST)[0]), int(np.flatnonzero(labels & LAST)[0])]


CONTEXTS = {
    "spaces": f"  {CONTEXT}",
    "unspaced": "女の人が本を読んでいます。男は駅まで歩いた。",
    "ligature": "The ﬁrst man ½ walked to the ﬁne station, and the train left.",
    "combining": "Eine Fra\u0301u ging zum Bahnho\u0301f, aber der Zug war weg.",
}


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("max_length", [24, 256])
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("spaces", "the station"),
        ("unspaced", "駅"),
        ("ligature", "the ﬁne station"),
        ("combining", "Bahnho\u0301f"),
    ],
)
def test_the_right_tokens_give_the_answer_back(tokenizer: str, max_length: int, name: str, answer: str):
    found = encoded(row(answer, CONTEXTS[name], "Where?"), tokenizer=tokenizer, max_length=max_length)
    first, last = right_places(found)
    ((text,),) = SPAN.answers(found, [[first, last]])
    assert answer in text  # a token may reach over the answer's ends
    if first < last:
        fewer = SPAN.answers(found, [[first + 1, last]]) + SPAN.answers(found, [[first, last - 1]])
        assert not any(answer in shorter for (shorter,) in fewer)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("max_length", [20, 32, 256])
def test_every_token_of_the_context_is_read_once_in_order(tokenizer: str, max_length: int):
    found = encoded(row(), row(question="Who?"), tokenizer=tokenizer, max_length=max_length)
    of: PreTrainedTokenizerFast = TOKENIZERS[tokenizer]
    context = of(CONTEXT, add_special_tokens=False)["input_ids"]
    for example in range(2):
        rows = [each for each in found.dataset if each["example"] == example]
        read = [each["input_ids"][column] for each in rows for column in each["readouts"]]
        assert read == context
        assert [word for each in rows for word in each["words"]] == list(range(len(context)))
    assert found.lengths.max() <= max_length
    if tokenizer == "xglm":  # the other has long tokens
        assert (len(found.dataset) > 2) == (max_length < 256)


def test_the_question_stands_in_front_of_every_window():
    found = encoded(row(question="Where?"), max_length=24)
    question = TOKENIZERS["xglm"]("Where?", add_special_tokens=False)["input_ids"]
    assert len(found.dataset) > 1
    for each in found.dataset:
        assert each["input_ids"][: len(question) + 3] == [2, *question, 2, 2]


def test_a_question_over_half_a_row_is_cut_and_counted():
    found = encoded(row(question="Where did he go? " * 20), row(question="Where?"), max_length=32)
    assert found.truncated == 1
    assert len(found.by_example("labels")[0]) == len(found.by_example("labels")[1])


def test_answers_that_are_too_long_to_be_given_are_counted():
    context = " ".join(["a"] * (LONGEST_ANSWER + 2))
    lengths = (LONGEST_ANSWER, LONGEST_ANSWER + 1, 1)
    found = encoded(*(row(" ".join(["a"] * length), context) for length in lengths), max_length=32)
    assert [last - first + 1 for first, last in map(partial(right_places, found), range(3))] == list(lengths)
    assert found.task.kind.out_of_reach(found) == 1
    unlabeled = encoded(row() | {"answers": []}, row() | {"answers": []})
    assert unlabeled.task.kind.out_of_reach(unlabeled) == 0


def test_tokens_that_are_cut_more_finely_keep_their_places():
    plain = encoded(row())
    finer = encoded(row(), granularity=GranularitySettings(share=1.0))
    assert finer.num_readouts > plain.num_readouts
    assert SPAN.answers(finer, [right_places(finer)]) == SPAN.answers(plain, [right_places(plain)])


def test_gold_answers_are_all_that_are_right():
    both = row() | {"answers": [{"text": "the station", "start": 34}, {"text": "station", "start": 38}]}
    assert encoded(both).gold() == [["the station", "station"]]


def example(answers: Any, context: str = CONTEXT) -> Any:
    record = {"context": context, "question": "Who?", "answers": answers}
    return SQUAD.example(record, Place(0, "squad.json", 7))


def test_answers_may_be_written_as_squad_and_as_the_hub_have_them():
    expected = [{"text": "man", "start": 4}]
    assert example(expected).answer == expected
    assert example([{"text": "man", "answer_start": 4}]).answer == expected
    assert example({"text": ["man"], "answer_start": [4]}).answer == expected


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "answers is empty"),
        ("man", "answers is not a list but a string"),
        (["man"], "answers, 1 is not an object but a string"),
        ([{"text": "man", "start": 5}], "at 5 of the context stands 'an ' and not 'man'"),
        ([{"text": "man", "start": -74}], "at -74 of the context stands '' and not 'man'"),
        ([{"text": "man", "start": "4"}], "start is not a whole number but a string"),
        (
            [{"text": "man", "start": 4}, {"text": "", "start": 0}],
            "answers, 2: the answer is blank, as in copies",
        ),
        ([{"start": 4}], "text is not a string but null"),
        ({"text": ["man"], "answer_start": []}, "no object of two lists of one length"),
    ],
)
def test_an_answer_that_does_not_stand_there_is_refused_with_its_line(answers: Any, message: str):
    with pytest.raises(DataError, match=message) as caught:
        example(answers)
    assert "squad.json:7" in str(caught.value)


def test_a_normalized_context_is_found_out():
    context = CONTEXTS["combining"]
    start = context.index("Bahn")
    assert example([{"text": "Bahn", "start": start}], context).answer[0]["start"] == start
    with pytest.raises(DataError, match="perhaps normalized"):
        example([{"text": "Bahn", "start": start - 1}], context)


def brute_force(scores: np.ndarray) -> tuple[int, int]:
    """Of all allowed pairs the one of the highest sum; of equal ones the first, and of those the shortest."""
    pairs = [
        (first, last)
        for first, last in product(range(len(scores)), repeat=2)
        if first <= last < first + LONGEST_ANSWER
    ]
    return max(pairs, key=lambda pair: (scores[pair[0], 0] + scores[pair[1], 1], -pair[0], -pair[1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_the_best_span_is_that_of_trying_all(lengths: list[int], seed: int):
    # Whole numbers, so that sums are exact and equal ones occur.
    scores = np.random.default_rng(seed).integers(0, 20, (sum(lengths), 2)).astype(np.float32)
    groups = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
    found = SPAN.decode(torch.from_numpy(np.stack((scores, -scores))), groups)
    for variant, sign in enumerate((1, -1)):
        parts = np.split(sign * scores, np.cumsum(lengths)[:-1])
        assert [tuple(each) for each in found[variant].tolist()] == list(map(brute_force, parts))


def test_an_answer_is_as_probable_as_its_beginning_and_its_end_together():
    starts, ends = torch.tensor([0.1, 0.7, 0.2]), torch.tensor([0.5, 0.1, 0.4])
    weighed = SPAN.weigh(torch.stack((starts, ends), dim=1).log(), torch.zeros(3, dtype=torch.int64))
    assert weighed[0].tolist() == pytest.approx([1, 2, 0.28], abs=1e-6)


def test_no_examples_have_no_best_span():
    first, last, score = best_span(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    assert first.shape == last.shape == score.shape == (0,)


def test_scores_are_by_the_rules_of_the_language():
    gold, predicted = [["der Bahnhof"], ["Zug"]], [["Bahnhof"], ["der Zug war"]]
    german = SPAN.counts(SQUAD, gold, predicted, None, "de")
    assert german["exact_match"][0].tolist() == [1.0, 0.0]
    assert german["f1"][0].tolist() == pytest.approx([1.0, 2 / 3])
    assert set(SPAN.counts(SQUAD, gold, predicted, "f1", "de")) == {"f1"}
