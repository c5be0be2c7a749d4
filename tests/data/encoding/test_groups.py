"""Rows that one softmax compares stay together in training, within the budget, in any number of processes."""

import logging
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from datasets import Dataset

from xlprompt.data import DataError, Task
from xlprompt.data.encoding.batches import Batch, TrainingStep, evaluation_batches, training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.tasks.kinds.span import SPAN
from xlprompt.data.tokens.settings import EncodingSettings

TASK = Task("squad", SPAN, 1, ("context", "question", "answers"), (), (), ("f1",), ("en",))


def make_encoded(sizes: list[int], *, longest: int = 20, seed: int = 0) -> Encoded:
    """Examples of so many rows; the last row of each is the one with the answer."""
    rng = np.random.default_rng(seed)
    rows = []
    for example, size in enumerate(sizes):
        for number in range(size):
            length = int(rng.integers(2, longest + 1))
            right = 3 * (number == size - 1)
            rows.append(
                {
                    "input_ids": [len(rows)] * length,
                    "readouts": [0, length - 1],
                    "labels": [0, right],
                    "words": [2 * number, 2 * number + 1],
                    "example": example,
                }
            )
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return Encoded(
        task=TASK,
        settings=EncodingSettings(),
        dataset=Dataset.from_dict(columns),
        table=Dataset.from_dict({"id": list(map(str, range(len(sizes))))}),
        truncated=0,
        fingerprint="made up",
    )


def steps_of(encoded: Encoded, number: int, **options: int) -> list[TrainingStep]:
    given = {"batch_size": 4, "token_budget": 200, "seed": 1, "pad_id": 0} | options
    return list(islice(training_steps(encoded, **given), number))


def rows_of(batch: Batch) -> list[int]:
    return batch.input_ids[:, 0].tolist()


SIZES = [1, 3, 2, 5, 1, 4, 2, 2, 3, 1, 1, 6]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_rows_of_an_example_are_in_one_batch_and_an_epoch_has_each_once(processes: int):
    encoded = make_encoded(SIZES)
    seen: list[int] = []
    for rank in range(processes):
        for step in steps_of(encoded, 3, rank=rank, processes=processes):
            assert step.decisions == 4
            for batch in step.micro_batches:
                if not len(batch.rows):
                    continue
                here = rows_of(batch)
                examples = set(encoded.examples[here].tolist())
                whole = np.flatnonzero(np.isin(encoded.examples, list(examples)))
                assert sorted(here) == whole.tolist()
                assert batch.input_ids.numel() <= 200
                seen += here
    assert sorted(seen) == list(range(sum(SIZES)))


def test_groups_number_the_examples_of_a_batch():
    encoded = make_encoded(SIZES)
    for step in steps_of(encoded, 3):
        for batch in step.micro_batches:
            groups, examples = batch.groups, batch.examples
            assert groups is not None
            assert groups.unique().tolist() == list(range(len(examples.unique())))
            for group in groups.unique():
                assert len(examples[groups == group].unique()) == 1


def test_a_process_without_an_example_reads_a_row_and_is_asked_nothing():
    encoded = make_encoded([2, 2])
    (step,) = steps_of(encoded, 1, batch_size=1, rank=1, processes=2)
    (batch,) = step.micro_batches
    assert batch.groups is not None
    assert (len(batch.groups), len(batch.labels), batch.num_tokens) == (0, 0, 0)
    assert batch.input_ids.shape[0] == 1


def test_an_example_over_the_budget_is_trained_on_with_its_answer(caplog: pytest.LogCaptureFixture):
    encoded = make_encoded([1, 9, 2], longest=20)
    with caplog.at_level(logging.INFO, "xlprompt"):
        steps = steps_of(encoded, 2, batch_size=3, token_budget=60)
    assert "squad: 1 examples have more rows than schedule.token_budget 60 holds" in caplog.text
    for step in steps:
        assert step.decisions == 3
        for batch in step.micro_batches:
            assert batch.input_ids.numel() <= 60
            assert batch.groups is not None
            for group in batch.groups.unique():
                assert (batch.labels[batch.groups == group] == 3).sum() == 1
    kept = sorted(row for batch in steps[0].micro_batches for row in rows_of(batch))
    assert kept[0] == 0
    assert kept[-3:] == [9, 10, 11]  # the answer's row of the long example, and those of the last
    assert len(kept) < 12


def test_a_single_row_over_the_budget_is_still_an_error():
    with pytest.raises(DataError, match="more than token_budget 8"):
        steps_of(make_encoded([1, 9], longest=20), 1, token_budget=8)


def test_scoring_may_divide_an_example_between_batches():
    encoded = make_encoded([9, 1], longest=20)
    batches = list(evaluation_batches(encoded, token_budget=40, pad_id=0))
    assert len(batches) > 1
    assert sorted(row for batch in batches for row in rows_of(batch)) == list(range(10))


def test_a_step_is_the_same_when_it_is_entered_later():
    encoded = make_encoded(SIZES)
    late = steps_of(encoded, 1, start_step=4)[0]
    early = steps_of(encoded, 5)[4]
    for one, other in zip(late.micro_batches, early.micro_batches, strict=True):
        assert torch.equal(one.input_ids, other.input_ids)


def test_examples_are_found_after_a_selection():
    encoded = make_encoded(SIZES)
    rows = np.flatnonzero(np.isin(encoded.examples, [1, 3]))
    chosen = replace(encoded, dataset=encoded.dataset.select(rows))
    (step,) = steps_of(chosen, 1, batch_size=2)
    assert sorted(row for batch in step.micro_batches for row in rows_of(batch)) == rows.tolist()
