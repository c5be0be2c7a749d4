"""Fertility against counting by hand."""

import pytest

from xlprompt.evaluation.tokenization import fertility
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
