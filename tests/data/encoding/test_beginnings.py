"""Texts that begin alike share a row, and each text's tokens and read-outs come back out of it."""

from itertools import islice

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from xlprompt.data import task
from xlprompt.data.encoding.batches import (
    Batch,
    evaluation_batches,
    lengths_in_training,
    shared_rows,
    training_steps,
)
from xlprompt.data.encoding.beginnings import share_beginnings
from xlprompt.data.encoding.encode import Encoded, Ragged
from xlprompt.data.tokens.settings import EncodingSettings

PAD = 99
BUDGET = 120

# Few different tokens, and whole beginnings out of a short list: much is shared, and some texts are equal.
TOKENS = st.lists(st.integers(0, 2), max_size=6)
TEXTS = st.lists(
    st.tuples(st.sampled_from([[5, 6, 7, 8, 9], [5, 6, 7, 1, 1, 1, 1, 1], [4, 4, 4, 4], [3]]), TOKENS).map(
        lambda parts: parts[0] + parts[1]
    ),
    min_size=1,
    max_size=25,
)


def encoded_texts(texts: list[list[int]], *, kind: str = "pos", options: int = 1) -> Encoded:
    """Each text is read at every second token and at its last one; its words are the numbers of those."""
    readouts = [sorted({*range(0, len(text), 2), len(text) - 1}) for text in texts]
    if kind == "xcopa":
        readouts = [[len(text) - 1] for text in texts]
    rows = {
        "input_ids": texts,
        "readouts": readouts,
        "labels": [[(7 * row + at) % 2 for at in each] for row, each in enumerate(readouts)],
        "example": [row // options for row in range(len(texts))],
        "words": [
            [row % options if kind == "xcopa" else at for at in each] for row, each in enumerate(readouts)
        ],
    }
    table = Dataset.from_dict({"id": [str(row) for row in range(len(texts) // options)]})
    return Encoded(task(kind), EncodingSettings(), Dataset.from_dict(rows), table, 0, "made up")


def read_back(batch: Batch) -> list[tuple[int, int, int, list[int]]]:
    """Of each read-out its example, word and label, and the tokens that a model may look at there."""
    found = []
    for at in range(len(batch.rows)):
        row, column = int(batch.rows[at]), int(batch.columns[at])
        ids = batch.input_ids[row].tolist()
        positions, branches = range(len(ids)), [0] * len(ids)
        if batch.tree is not None:
            positions, branches = batch.tree[:, row].tolist()
        seen = {
            positions[other]: ids[other]
            for other in range(len(ids))
            if positions[other] <= positions[column] and branches[other] in (0, branches[column])
        }
        assert sorted(seen) == list(range(positions[column] + 1))
        text = [seen[position] for position in sorted(seen)]
        found.append((int(batch.examples[at]), int(batch.words[at]), int(batch.labels[at]), text))
    return found


def expected(encoded: Encoded) -> list[tuple[int, int, int, list[int]]]:
    return [
        (row["example"], word, label, row["input_ids"][: at + 1])
        for row in encoded.dataset
        for at, word, label in zip(row["readouts"], row["words"], row["labels"], strict=True)
    ]


@given(TEXTS)
@settings(max_examples=40, deadline=None)
def test_every_text_is_read_once_at_its_own_places(texts: list[list[int]]) -> None:
    encoded = encoded_texts(texts)
    batches = list(evaluation_batches(encoded, token_budget=BUDGET, pad_id=PAD, share=True))
    assert sorted(each for batch in batches for each in read_back(batch)) == sorted(expected(encoded))
    assert sum(batch.num_tokens for batch in batches) == encoded.lengths.sum()
    assert all(batch.input_ids.numel() <= BUDGET for batch in batches)
    rows = shared_rows(encoded, BUDGET)
    assert sorted(rows.texts) == list(range(len(texts)))
    assert rows.lengths.sum() == sum(int((each.input_ids != PAD).sum()) for each in batches)
    assert rows.lengths.sum() <= encoded.lengths.sum()


@given(TEXTS)
@settings(max_examples=20, deadline=None)
def test_a_training_step_has_the_same_texts_shared_or_not(texts: list[list[int]]) -> None:
    encoded = encoded_texts(texts)
    options = {"batch_size": 6, "token_budget": BUDGET, "seed": 1, "pad_id": PAD}
    for plain, shared in zip(
        islice(training_steps(encoded, **options), 3),
        islice(training_steps(encoded, share=True, **options), 3),
        strict=True,
    ):
        assert (plain.decisions, plain.num_tokens) == (shared.decisions, shared.num_tokens)
        for one, other in zip(plain.micro_batches, shared.micro_batches, strict=True):
            assert sorted(read_back(one)) == sorted(read_back(other))
            assert other.input_ids.numel() <= one.input_ids.numel()


def test_options_of_an_example_share_their_premise_in_training_and_are_compared() -> None:
    texts = [[*range(premise, premise + 9), option] for premise in (10, 30, 50) for option in (1, 2)]
    encoded = encoded_texts(texts, kind="xcopa", options=2)
    step = next(training_steps(encoded, batch_size=3, token_budget=BUDGET, seed=0, pad_id=PAD, share=True))
    (batch,) = step.micro_batches
    assert batch.input_ids.shape == (3, 11)
    assert batch.groups is not None
    assert batch.groups.tolist() == batch.examples.tolist()
    assert sorted(read_back(batch)) == sorted(expected(encoded))


def test_texts_that_share_nothing_are_in_the_batches_of_before() -> None:
    generator = np.random.default_rng(0)
    texts = [[i, *generator.integers(0, 9, generator.integers(0, 20)).tolist()] for i in range(60)]
    encoded = encoded_texts(texts)
    plain = evaluation_batches(encoded, token_budget=BUDGET, pad_id=PAD)
    shared = evaluation_batches(encoded, token_budget=BUDGET, pad_id=PAD, share=True)
    for one, other in zip(plain, shared, strict=True):
        assert other.tree is None
        assert torch.equal(one.input_ids, other.input_ids)
        assert torch.equal(one.columns, other.columns)
        assert torch.equal(one.examples, other.examples)


def test_the_cheapest_rows_are_found() -> None:
    a, b = [1] * 10, [2] * 8
    texts = [[*a, 3], [*b, 3], [*a, 4], [7, 7], [*b, 4, 4], [*a]]
    ids = Ragged(np.concatenate(texts).astype(np.int32), np.cumsum([0, *map(len, texts)]))
    rows = share_beginnings(ids, np.arange(6), longest=100)
    split = [each.tolist() for each in np.split(rows.texts, rows.firsts[1:-1])]
    assert split == [[0, 2, 5], [1, 4], [3]]
    assert rows.shared.tolist() == [10, 8, 2]
    assert rows.lengths.tolist() == [12, 11, 2]
    assert share_beginnings(ids, np.arange(6), longest=11).lengths.max() == 11


@pytest.mark.parametrize("longest_first", [True, False])
def test_rows_longer_than_any_text_make_a_batch_smaller(longest_first: bool) -> None:
    texts = [[*([premise] * 12), option] for premise in range(9) for option in range(8)]
    batches = list(
        evaluation_batches(
            encoded_texts(texts), token_budget=200, pad_id=PAD, longest_first=longest_first, share=True
        )
    )
    assert {batch.input_ids.shape[1] for batch in batches} == {20}
    # Attention takes [rows, time, time]: no more than that of the plain batches, 15 rows of 13.
    assert max(len(batch.input_ids) * 20**2 for batch in batches) <= 200 * 13


def test_the_rows_that_training_reads_are_those_of_each_example() -> None:
    """Two examples of two options each, whose premises are the same but for the last word."""
    texts = [[*range(9), example, option] for example in (20, 30) for option in (1, 2)]
    assert lengths_in_training(encoded_texts(texts, kind="xcopa", options=2)).tolist() == [12, 12]
    alone = encoded_texts(texts)
    assert lengths_in_training(alone).tolist() == alone.lengths.tolist()
