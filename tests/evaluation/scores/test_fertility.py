"""Fertility against counting by hand."""

import pytest

from xlprompt.data import TASKS
from xlprompt.evaluation.scores.fertility import fertility, tokens_per_word
from xlprompt.models import load_tokenizer


def test_fertility_is_subtokens_over_words(tiny_xglm):
    tokenizer = load_tokenizer(str(tiny_xglm))
    texts = ["A woman reads a book.", "Nobody reads a book."]
    pieces = sum(len(tokenizer.tokenize(text)) for text in texts)
    assert fertility(tokenizer, texts, 11) == pytest.approx(pieces / 11)


def test_tokens_added_around_a_text_are_not_counted(tiny_xglm):
    tokenizer = load_tokenizer(str(tiny_xglm))
    assert len(tokenizer("a").input_ids) == 2
    assert fertility(tokenizer, ["a"], 1) == 1


def test_no_words_are_an_error_and_not_a_division_by_zero(tiny_xglm):
    with pytest.raises(ValueError, match="no word"):
        fertility(load_tokenizer(str(tiny_xglm)), [], 0)


def test_words_of_pairs_stand_between_spaces_and_those_of_sentences_are_annotated(tiny_xglm):
    tokenizer = load_tokenizer(str(tiny_xglm))
    pairs = {"first": ["A woman reads.", "Nobody."], "second": ["reads a book", "reads"]}
    texts = [*pairs["first"], *pairs["second"]]
    assert tokens_per_word(tokenizer, TASKS["xnli"], "en", pairs) == fertility(tokenizer, texts, 8)
    sentences = {"tokens": [["A", "woman", "."], ["reads"]]}
    assert tokens_per_word(tokenizer, TASKS["pos"], "en", sentences) == fertility(
        tokenizer, ["A woman .", "reads"], 4
    )


def test_without_spaces_only_annotated_words_can_be_counted(tiny_xglm):
    tokenizer = load_tokenizer(str(tiny_xglm))
    assert tokens_per_word(tokenizer, TASKS["xnli"], "zh", {"first": ["他读书"], "second": ["书"]}) is None
    assert tokens_per_word(tokenizer, TASKS["pos"], "zh", {"tokens": [["他", "读", "书"]]}) == fertility(
        tokenizer, ["他读书"], 3
    )
    assert tokens_per_word(tokenizer, TASKS["pos"], "en", {"tokens": []}) is None
