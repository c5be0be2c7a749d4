"""Texts in sentences, and the one that shares most words with a question: an answer without a model."""

from pathlib import Path

import numpy as np
import pytest

from xlprompt.data.sources import open_source
from xlprompt.data.tasks import task
from xlprompt.data.tasks.kinds.answer_text import token_f1
from xlprompt.data.tasks.kinds.overlap import closest_sentences, sentences

ENGLISH = "Ann met Bo in Rome. Cy left on Monday! At 3.5 degrees?\nYes"


@pytest.mark.parametrize(
    ("language", "text", "parts"),
    [
        ("en", ENGLISH, ["Ann met Bo in Rome.", "Cy left on Monday!", "At 3.5 degrees?", "Yes"]),
        ("zh", "安走了。波在家！谁？", ["安走了。", "波在家！", "谁？"]),
        ("hi", "वह गया। वह आई।", ["वह गया।", "वह आई।"]),
        ("ur", "وہ گیا۔ وہ آئی؟", ["وہ گیا۔", "وہ آئی؟"]),
        ("th", "เธอไป เขาอยู่", ["เธอไป", "เขาอยู่"]),
        ("en", " one ", ["one"]),
        ("en", "", [""]),
    ],
)
def test_a_text_is_split_behind_the_marks_of_its_script_and_thai_at_blanks(language, text, parts):
    assert sentences(text, language) == parts


@pytest.mark.parametrize(
    ("language", "question", "closest"),
    [
        ("en", "When did Cy leave on a Monday?", "Cy left on Monday!"),
        ("en", "On the on on? Ann, Bo", "Ann met Bo in Rome."),  # words that come again count once
        ("en", "Who?", "Ann met Bo in Rome."),  # nothing is shared, and the first of equals is taken
        ("zh", "波在哪里？", "波在家！"),
    ],
)
def test_the_sentence_that_shares_most_words_is_found(language, question, closest):
    context = "安走了。波在家！" if language == "zh" else ENGLISH
    assert closest_sentences([context], [question], language) == [closest]


XQUAD = {"ru": 15.00, "de": 15.02, "es": 15.69, "tr": 14.67, "ar": 14.68, "hi": 13.50, "zh": 17.55}


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", 15.31), ("th", 25.07), *(pytest.param(*each, marks=pytest.mark.slow) for each in XQUAD.items())],
)
def test_on_xquad_it_reaches_about_15_f1_and_more_where_characters_are_tokens(
    benchmark_data: Path, language: str, expected: float
):
    xquad = task("xquad")
    rows = open_source(str(benchmark_data)).load(xquad, language, "test")
    closest = closest_sentences(rows["context"], rows["question"], language)
    gold = [[answer["text"] for answer in answers] for answers in rows["answers"]]
    values = [token_f1(text, right, language) for text, right in zip(closest, gold, strict=True)]
    assert 100 * np.mean(values) == pytest.approx(expected, abs=0.005)
