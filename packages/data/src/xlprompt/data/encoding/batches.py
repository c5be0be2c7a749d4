"""Puts encoded rows into padded batches, by a plan that a seed fixes and that any step can be entered at.

A training step always has the same number of rows, whatever their lengths; a token budget bounds the memory
of the micro-batches it is split into. Nothing here knows a model or draws from a global random state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from xlprompt.data.encoding.encode import Encoded, Ragged
from xlprompt.data.errors import DataError

# Rows are sorted by length in pools of this many steps, or of a quarter of an epoch if that is less:
# enough for a step's rows to be of nearly one length, few enough that not the same rows meet every epoch.
_POOL_STEPS = 32


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, and where to read them.

    Attributes:
        input_ids: int64 `[batch, time]`.
        rows: int64 `[readouts]`; read-out `i` is at `[rows[i], columns[i]]` of `input_ids`.
        columns: int64 `[readouts]`.
        labels: int64 `[readouts]`.
        examples: int64 `[readouts]`; the example each read-out belongs to.
        words: int64 `[readouts]`; which word of that example it is (0 for a pair).
        num_tokens: Tokens that are not padding.
    """

    input_ids: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    labels: torch.Tensor
    examples: torch.Tensor
    words: torch.Tensor
    num_tokens: int

    @property
    def pad_share(self) -> float:
        """The share of `input_ids` that is padding, 0 to 1."""
        return 1.0 - self.num_tokens / self.input_ids.numel()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            input_ids=self.input_ids.to(device, non_blocking=True),
            rows=self.rows.to(device, non_blocking=True),
            columns=self.columns.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            examples=self.examples.to(device, non_blocking=True),
            words=self.words.to(device, non_blocking=True),
            num_tokens=self.num_tokens,
        )


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """One optimizer step's share of one process.

    Attributes:
        micro_batches: What this process reads, longest rows first; as many in every process.
        readouts: Read-outs of the whole step, those of the other processes included.
        num_tokens: Tokens of the whole step that are not padding.
    """

    micro_batches: list[Batch]
    readouts: int
    num_tokens: int


def training_steps(
    encoded: Encoded,
    *,
    batch_size: int,
    token_budget: int,
    seed: int,
    pad_id: int,
    start_step: int = 0,
    longest_first: bool = False,
    rank: int = 0,
    processes: int = 1,
) -> Iterator[TrainingStep]:
    """Go over the rows epoch after epoch, without end.

    Steps are cut off one endless sequence of rows in which each epoch has every row once, in an order drawn
    from `(seed, epoch)`; the rows left over at the end of an epoch begin a step that the next one completes.
    Within an epoch, rows are sorted by length in pools, cut into steps, and the steps shuffled: a step holds
    rows of about one length, and lengths come in no order. The sequence depends on nothing but the arguments,
    so a run that starts at step `n` goes on exactly as one that has come there. A step has the same rows
    however many processes share it; they are dealt out by length, so that all have about the same work.

    Args:
        encoded: The rows.
        batch_size: Rows of a step, that is, of one optimizer update, over all processes.
        token_budget: Most tokens of a micro-batch of one process, padding included.
        seed: Not negative.
        pad_id: The id rows are filled up with. A causal model's real tokens never see it.
        start_step: The first step to give.
        longest_first: Exchange the first step of all with that one of the first epoch's whole steps that has
            the longest row, so that a run that does not fit into memory fails at once.
        rank: Which process this is, from 0.
        processes: How many share each step. One that is left without a row reads one without read-outs.

    Returns:
        An iterator over steps; the losses of micro-batches are to be weighted by their numbers of read-outs.

    Raises:
        DataError: There are no rows, or a row is longer than `token_budget`.
        ValueError: `batch_size`, `seed`, `start_step` or `rank` is out of range.
    """
    if not 0 <= rank < processes:
        raise ValueError(f"rank {rank} must be 0 or more and less than processes ({processes})")
    if batch_size < 1 or seed < 0 or start_step < 0:
        raise ValueError(
            f"batch_size {batch_size} must be 1 or more, seed {seed} and start_step {start_step} not negative"
        )
    if len(encoded.lengths) == 0:
        raise DataError(f"there are no {encoded.task.name} rows to train on", fix="Check the source's files.")
    _check_budget(encoded, token_budget)
    rows = _RowArrays.of(encoded)
    plan = _Plan(encoded.lengths, batch_size, seed, longest_first)

    def steps() -> Iterator[TrainingStep]:
        step = start_step
        while True:
            chosen = _longest_to_shortest(plan.rows_of(step), encoded.lengths)
            groups = _fill(chosen, encoded.lengths, token_budget, processes)
            yield TrainingStep(
                [rows.share(group, rank, processes, pad_id) for group in groups],
                readouts=int(rows.readouts.lengths_of(chosen).sum()),
                num_tokens=int(encoded.lengths[chosen].sum()),
            )
            step += 1

    return steps()


class RandomRows:
    """Draws of some rows, each determined by its seed."""

    def __init__(self, encoded: Encoded, *, rows: int, token_budget: int, pad_id: int) -> None:
        """Draw from these rows.

        Args:
            encoded: The rows.
            rows: Rows of a draw; all of them where there are fewer.
            token_budget: Most tokens of a draw, padding included; rows that are drawn last are left out.
            pad_id: The id rows are filled up with.

        Raises:
            DataError: There are no rows, or a row is longer than `token_budget`.
        """
        if len(encoded.lengths) == 0:
            raise DataError(f"there are no {encoded.task.name} rows to draw", fix="Check the source's files.")
        _check_budget(encoded, token_budget)
        self.lengths = encoded.lengths
        self._rows, self._token_budget, self._pad_id = rows, token_budget, pad_id
        self._arrays = _RowArrays.of(encoded)

    def draw(self, *seed: int) -> Batch:
        """Rows without repetition, the same for the same numbers."""
        bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(self.lengths))
        drawn = np.argsort(bits, kind="stable")[: self._rows]
        padded = np.maximum.accumulate(self.lengths[drawn]) * np.arange(1, len(drawn) + 1)
        return self._arrays.batch(drawn[padded <= self._token_budget], self._pad_id)


def evaluation_batches(
    encoded: Encoded, *, token_budget: int, pad_id: int, longest_first: bool = True
) -> Iterator[Batch]:
    """Go over every row once, in the order of length.

    Args:
        encoded: The rows.
        token_budget: Most tokens of a batch, padding included.
        pad_id: The id rows are filled up with.
        longest_first: Begin with the longest rows, so that what does not fit into memory fails at once and
            the remaining time is estimated too long rather than too short.

    Returns:
        An iterator over batches; `examples` and `words` say where their read-outs belong.

    Raises:
        DataError: A row is longer than `token_budget`.
    """
    _check_budget(encoded, token_budget)
    rows = _RowArrays.of(encoded)
    order = _longest_to_shortest(np.arange(len(encoded.lengths)), encoded.lengths)
    groups = _fill(order, encoded.lengths, token_budget)
    if not longest_first:
        groups.reverse()
    return (rows.batch(group, pad_id) for group in groups)


def _check_budget(encoded: Encoded, token_budget: int) -> None:
    longest = int(encoded.lengths.max(initial=0))
    if longest > token_budget:
        raise DataError(
            f"row {int(encoded.lengths.argmax())} of {encoded.task.name} has {longest} tokens, more than "
            f"token_budget {token_budget}",
            fix=f"Set token_budget to {longest} or more, or encoding.max_length to {token_budget} or less.",
        )


class _Plan:
    """Which rows are in which step."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, longest_first: bool) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        # Entering at any step needs at most the epoch before it and its own.
        self._order = lru_cache(maxsize=2)(self._draw_order)
        self._first_step = self._longest_step() if longest_first else 0

    def rows_of(self, step: int) -> np.ndarray:
        """The rows of a step, `[batch_size]`."""
        if step == 0:
            step = self._first_step
        elif step == self._first_step:
            step = 0
        count = len(self._lengths)
        position = step * self._batch_size
        stop = position + self._batch_size
        parts = []
        while position < stop:
            epoch, inside = divmod(position, count)
            part = self._order(epoch)[inside : inside + stop - position]
            parts.append(part)
            position += len(part)
        return np.concatenate(parts)

    def _draw_order(self, epoch: int) -> np.ndarray:
        """All rows in the order of an epoch."""
        count, size = len(self._lengths), self._batch_size
        # Generator.permutation may change between numpy versions, raw bits may not (NEP 19).
        bits = np.random.PCG64(np.random.SeedSequence([self._seed, epoch])).random_raw(2 * count)
        order = np.argsort(bits[:count], kind="stable")
        # Steps begin where the last epoch's leftover rows have been completed.
        begin = min(-epoch * count % size, count)
        steps = (count - begin) // size
        whole = order[begin : begin + steps * size]
        pool = min(_POOL_STEPS, max(1, steps // 4)) * size
        sorted_pools = [
            _longest_to_shortest(part, self._lengths)
            for part in np.split(whole, range(pool, len(whole), pool))
        ]
        in_steps = np.concatenate(sorted_pools).reshape(steps, size)
        shuffled = in_steps[np.argsort(bits[count : count + steps], kind="stable")]
        return np.concatenate([order[:begin], shuffled.ravel(), order[begin + steps * size :]])

    def _longest_step(self) -> int:
        """The step of the first epoch that has the longest row."""
        steps = len(self._lengths) // self._batch_size
        if steps == 0:
            return 0
        whole = self._order(0)[: steps * self._batch_size].reshape(steps, self._batch_size)
        return int(self._lengths[whole].max(axis=1).argmax())


def _longest_to_shortest(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return rows[np.argsort(-lengths[rows], kind="stable")]


def _fill(rows: np.ndarray, lengths: np.ndarray, token_budget: int, processes: int = 1) -> list[np.ndarray]:
    """Split rows, given longest first, into groups whose padded size is within the processes' budget."""
    groups = []
    start = 0
    while start < len(rows):
        stop = start + processes * (token_budget // int(lengths[rows[start]]))
        groups.append(rows[start:stop])
        start = stop
    return groups


@dataclass(frozen=True, eq=False)
class _RowArrays:
    """The columns of an `Encoded` as arrays, for reading many rows at once."""

    input_ids: Ragged
    readouts: Ragged
    labels: Ragged
    words: Ragged
    examples: np.ndarray

    @classmethod
    def of(cls, encoded: Encoded) -> _RowArrays:
        return cls(
            input_ids=encoded.ragged("input_ids"),
            readouts=encoded.ragged("readouts"),
            labels=encoded.ragged("labels"),
            words=encoded.ragged("words"),
            examples=encoded.examples,
        )

    def share(self, rows: np.ndarray, rank: int, processes: int, pad_id: int) -> Batch:
        """The batch of every `processes`-th row from `rank` on, or of a row that is not asked anything."""
        own = rows[rank::processes]
        if len(own):
            return self.batch(own, pad_id)
        idle = self.batch(rows[:1], pad_id)
        nothing = torch.empty(0, dtype=torch.int64)
        return Batch(idle.input_ids, nothing, nothing, nothing, nothing, nothing, num_tokens=0)

    def batch(self, rows: np.ndarray, pad_id: int) -> Batch:
        lengths = self.input_ids.lengths_of(rows)
        input_ids = np.full((len(rows), lengths.max()), pad_id, np.int64)
        input_ids[np.arange(input_ids.shape[1]) < lengths[:, None]] = self.input_ids.take(rows)
        counts = self.readouts.lengths_of(rows)

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.int64, copy=False))

        return Batch(
            input_ids=tensor(input_ids),
            rows=tensor(np.repeat(np.arange(len(rows)), counts)),
            columns=tensor(self.readouts.take(rows)),
            labels=tensor(self.labels.take(rows)),
            examples=tensor(np.repeat(self.examples[rows], counts)),
            words=tensor(self.words.take(rows)),
            num_tokens=int(lengths.sum()),
        )
