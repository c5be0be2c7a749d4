"""Batches: every row and read-out arrives, within the budget, in an order that a seed fixes."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from datasets import Dataset

from xlprompt.data import DataError, task
from xlprompt.data.encoding.batches import Batch, evaluation_batches, training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.tokens.settings import EncodingSettings

PAD = 10**6


def make_encoded(lengths: list[int], *, seed: int = 0) -> Encoded:
    """Rows of given lengths with random ids, but for row `i` the first id is `i`: so batches can be read."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {"input_ids": [], "readouts": [], "labels": [], "example": [], "words": []}
    for i, length in enumerate(lengths):
        readouts = sorted(rng.choice(length, size=rng.integers(1, length + 1), replace=False).tolist())
        rows["input_ids"].append([i, *rng.integers(0, PAD, length - 1).tolist()])
        rows["readouts"].append(readouts)
        rows["labels"].append(rng.integers(0, 17, len(readouts)).tolist())
        rows["example"].append(i // 2)  # two windows an example
        rows["words"].append(list(range(100 * (i % 2), 100 * (i % 2) + len(readouts))))
    return Encoded(
        task=task("pos"),
        settings=EncodingSettings(),
        dataset=Dataset.from_dict(rows),
        table=Dataset.from_dict({"id": list(map(str, range((len(lengths) + 1) // 2)))}),
        truncated=0,
        fingerprint="made up",
    )


def random_lengths(count: int, seed: int = 0, longest: int = 60) -> list[int]:
    return np.random.default_rng(seed).integers(1, longest + 1, count).tolist()


def ids_of(batch: Batch) -> list[int]:
    return batch.input_ids[:, 0].tolist()


def rows_of(step: list[Batch]) -> list[int]:
    return [row for batch in step for row in ids_of(batch)]


def first_steps(encoded: Encoded, count: int, **options: int | bool) -> list[list[Batch]]:
    settings = {"batch_size": 4, "token_budget": 128, "seed": 0, "pad_id": PAD} | options
    return [step.micro_batches for step in islice(training_steps(encoded, **settings), count)]


def assert_holds_its_rows(batch: Batch, encoded: Encoded) -> None:
    """A batch is compared with the dataset's own rows, one by one."""
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.int64}
    expected: dict[str, list[int]] = {"rows": [], "columns": [], "labels": [], "examples": [], "words": []}
    for place, index in enumerate(ids_of(batch)):
        row = encoded.dataset[index]
        padding = [PAD] * (batch.input_ids.shape[1] - len(row["input_ids"]))
        assert batch.input_ids[place].tolist() == row["input_ids"] + padding
        expected["rows"] += [place] * len(row["readouts"])
        expected["columns"] += row["readouts"]
        expected["labels"] += row["labels"]
        expected["examples"] += [row["example"]] * len(row["readouts"])
        expected["words"] += row["words"]
    assert {name: getattr(batch, name).tolist() for name in expected} == expected
    assert batch.num_tokens == int((batch.input_ids != PAD).sum())


def test_a_batch_holds_the_rows_as_they_were_encoded() -> None:
    encoded = make_encoded(random_lengths(50))
    for batch in evaluation_batches(encoded, token_budget=300, pad_id=PAD):
        assert_holds_its_rows(batch, encoded)
    for step in first_steps(encoded, 20):
        for batch in step:
            assert_holds_its_rows(batch, encoded)


def test_rows_of_a_selected_dataset_are_found_too() -> None:
    encoded = make_encoded([3, 5, 2, 7])
    chosen = replace(encoded, dataset=encoded.dataset.select([2, 0]))
    (batch,) = evaluation_batches(chosen, token_budget=100, pad_id=PAD)
    assert ids_of(batch) == [0, 2]
    assert_holds_its_rows(batch, encoded)


@pytest.mark.parametrize("budget", [60, 61, 200, 10_000])
@pytest.mark.parametrize("longest_first", [True, False])
def test_evaluation_covers_every_readout_once_within_the_budget(budget: int, longest_first: bool) -> None:
    encoded = make_encoded(random_lengths(97))
    batches = list(evaluation_batches(encoded, token_budget=budget, pad_id=PAD, longest_first=longest_first))
    assert sorted(row for batch in batches for row in ids_of(batch)) == list(range(97))
    assert all(batch.input_ids.numel() <= budget for batch in batches)
    places = [
        place
        for batch in batches
        for place in zip(batch.examples.tolist(), batch.words.tolist(), strict=True)
    ]
    assert len(places) == len(set(places)) == encoded.num_readouts
    widths = [batch.input_ids.shape[1] for batch in batches]
    assert widths == sorted(widths, reverse=longest_first)


def test_evaluation_of_nothing_has_no_batches() -> None:
    encoded = make_encoded([3, 4])
    empty = replace(encoded, dataset=encoded.dataset.select([]), table=encoded.table.select([]))
    assert list(evaluation_batches(empty, token_budget=8, pad_id=PAD)) == []


@pytest.mark.parametrize(
    ("rows", "batch_size"), [(97, 4), (96, 4), (1000, 16), (10, 16), (16, 16), (5, 2), (1, 3)]
)
def test_a_step_has_exactly_the_batch_size_and_an_epoch_every_row_once(rows: int, batch_size: int) -> None:
    encoded = make_encoded(random_lengths(rows, longest=20))
    epochs = 5
    steps = first_steps(encoded, -(-epochs * rows // batch_size), batch_size=batch_size, token_budget=64)
    assert all(len(rows_of(step)) == batch_size for step in steps)
    # Rows are sorted within a step: an epoch that ends inside one is not seen, but whole steps are counted.
    seen = np.zeros(rows, int)
    for number, step in enumerate(steps, 1):
        np.add.at(seen, rows_of(step), 1)
        whole, rest = divmod(number * batch_size, rows)
        assert seen.min() >= whole
        assert seen.max() <= whole + (rest > 0)


@pytest.mark.parametrize("budget", [60, 75, 128, 100_000])
def test_micro_batches_stay_within_the_budget(budget: int) -> None:
    encoded = make_encoded(random_lengths(200))
    steps = first_steps(encoded, 60, batch_size=8, token_budget=budget)
    assert all(batch.input_ids.numel() <= budget for step in steps for batch in step)
    if budget == 100_000:
        assert all(len(step) == 1 for step in steps)


def test_each_epoch_has_its_own_order() -> None:
    encoded = make_encoded(random_lengths(64))
    steps = [rows_of(step) for step in first_steps(encoded, 32)]
    assert steps[:16] != steps[16:]
    assert not {tuple(sorted(step)) for step in steps[:16]} & {tuple(sorted(step)) for step in steps[16:]}


def test_the_order_depends_on_the_seed_alone() -> None:
    encoded = make_encoded(random_lengths(64))
    torch.manual_seed(1)
    np.random.seed(1)
    one = [rows_of(step) for step in first_steps(encoded, 40, seed=3)]
    torch.manual_seed(2)
    np.random.seed(2)
    assert [rows_of(step) for step in first_steps(encoded, 40, seed=3)] == one
    assert [rows_of(step) for step in first_steps(encoded, 40, seed=4)] != one


def test_the_order_is_the_same_on_every_machine() -> None:
    # Pinned: another order here means that a resumed run no longer continues the one that was interrupted.
    encoded = make_encoded([1 + i % 7 for i in range(10)])
    assert [rows_of(step) for step in first_steps(encoded, 5, batch_size=3, seed=5)] == [
        [6, 5, 3],
        [2, 1, 0],
        [4, 8, 7],
        [6, 9, 7],
        [5, 1, 8],
    ]


@pytest.mark.parametrize("longest_first", [True, False])
@pytest.mark.parametrize("rows", [3, 50, 53])
def test_a_run_that_starts_later_goes_on_exactly_as_an_uninterrupted_one(
    rows: int, longest_first: bool
) -> None:
    encoded = make_encoded(random_lengths(rows))
    whole = first_steps(encoded, 60, longest_first=longest_first)
    for start in (0, 1, 7, 12, 13, 14, 40, 59):
        rest = first_steps(encoded, 60 - start, start_step=start, longest_first=longest_first)
        for left, right in zip(whole[start:], rest, strict=True):
            assert len(left) == len(right)
            for one, other in zip(left, right, strict=True):
                assert torch.equal(one.input_ids, other.input_ids)
                assert torch.equal(one.columns, other.columns)
                assert torch.equal(one.labels, other.labels)


def test_starting_late_in_training_costs_no_more_than_starting_early() -> None:
    encoded = make_encoded(random_lengths(50))
    (step,) = first_steps(encoded, 1, start_step=10**12)
    assert len(rows_of(step)) == 4


@pytest.mark.parametrize("processes", [2, 3, 5])
@pytest.mark.parametrize("budget", [64, 100, 2048])
def test_processes_share_the_rows_of_a_step_and_read_as_many_micro_batches(
    processes: int, budget: int
) -> None:
    encoded = make_encoded(random_lengths(90))
    options = {"batch_size": 7, "seed": 1, "token_budget": budget, "pad_id": PAD, "longest_first": True}
    alone = list(islice(training_steps(encoded, **options), 30))
    shares = [
        list(islice(training_steps(encoded, **options, rank=rank, processes=processes), 30))
        for rank in range(processes)
    ]
    for whole, *parts in zip(alone, *shares, strict=True):
        assert len({len(part.micro_batches) for part in parts}) == 1
        assert {(part.decisions, part.num_tokens) for part in parts} == {(whole.decisions, whole.num_tokens)}
        answered = [batch for part in parts for batch in part.micro_batches if len(batch.labels)]
        asked = sorted(example for batch in answered for example in batch.examples.tolist())
        assert asked == sorted(
            example for batch in whole.micro_batches for example in batch.examples.tolist()
        )
        for batch in (batch for part in parts for batch in part.micro_batches):
            assert batch.input_ids.numel() <= budget
            assert len(batch.labels) or batch.num_tokens == 0
        assert sum(batch.num_tokens for batch in answered) == whole.num_tokens


def test_a_process_without_a_row_of_the_step_is_not_asked_anything() -> None:
    encoded = make_encoded([3, 4])
    step = next(
        training_steps(encoded, batch_size=1, seed=0, token_budget=8, pad_id=PAD, rank=1, processes=2)
    )
    (idle,) = step.micro_batches
    assert idle.input_ids.numel() > 0
    assert len(idle.labels) == len(idle.rows) == idle.num_tokens == 0
    assert step.decisions > 0


@pytest.mark.parametrize(("rank", "processes"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_that_does_not_exist_is_refused(rank: int, processes: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        training_steps(
            make_encoded([3]),
            batch_size=1,
            seed=0,
            token_budget=8,
            pad_id=PAD,
            rank=rank,
            processes=processes,
        )


def test_the_longest_step_can_come_first_and_no_row_is_lost_by_it() -> None:
    lengths = random_lengths(96)
    lengths[17] = 100
    encoded = make_encoded(lengths)
    plain = [rows_of(step) for step in first_steps(encoded, 48)]
    moved = [rows_of(step) for step in first_steps(encoded, 48, longest_first=True)]
    assert 17 in moved[0]
    assert 17 not in plain[0]
    place = moved.index(plain[0])
    assert moved[0] == plain[place]
    moved[0], moved[place] = moved[place], moved[0]
    assert moved == plain


def test_steps_of_like_lengths_hold_little_padding() -> None:
    encoded = make_encoded(random_lengths(2000))
    steps = first_steps(encoded, 125, batch_size=16, token_budget=2048)
    batches = [batch for step in steps for batch in step]
    padding = 1 - sum(batch.num_tokens for batch in batches) / sum(
        batch.input_ids.numel() for batch in batches
    )
    assert padding < 0.08  # 0.45 if rows were drawn without regard to length
    assert all(0 <= batch.pad_share < 1 for batch in batches)


def test_lengths_come_in_no_order() -> None:
    encoded = make_encoded(random_lengths(2000))
    widths = [
        step[0].input_ids.shape[1] for step in first_steps(encoded, 125, batch_size=16, token_budget=2048)
    ]
    assert abs(np.corrcoef(np.arange(125), widths)[0, 1]) < 0.25


@pytest.mark.parametrize(
    "make", [evaluation_batches, lambda *a, **k: training_steps(*a, batch_size=2, seed=0, **k)]
)
def test_a_row_over_the_budget_is_an_error_before_the_first_batch(make: object) -> None:
    encoded = make_encoded([3, 33, 4])
    with pytest.raises(
        DataError, match="row 1 of pos has 33 tokens, more than token_budget 32.*Set token_budget to 33"
    ):
        make(encoded, token_budget=32, pad_id=PAD)


def test_training_on_nothing_is_an_error() -> None:
    encoded = make_encoded([3])
    empty = replace(encoded, dataset=encoded.dataset.select([]))
    with pytest.raises(DataError, match="no pos rows to train on"):
        first_steps(empty, 1)


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"seed": -1}, {"start_step": -1}])
def test_options_out_of_range_are_errors(option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))} {next(iter(option.values()))}"):
        first_steps(make_encoded([3]), 1, **option)


def test_a_batch_moves_with_all_its_tensors() -> None:
    (batch,) = evaluation_batches(make_encoded([3, 4]), token_budget=100, pad_id=PAD)
    moved = batch.to("meta")
    assert {value.device.type for value in vars(moved).values() if isinstance(value, torch.Tensor)} == {
        "meta"
    }
    assert moved.num_tokens == batch.num_tokens == 7
    assert batch.pad_share == pytest.approx(1 / 8)
