"""Which rows are in which step of training, and which of them share a micro-batch.

A seed fixes it all, and any step can be entered at.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xlprompt.data.encoding.encode import Encoded

_log = logging.getLogger(__name__)

# Rows are sorted by length in pools of this many steps, or of a quarter of an epoch if that is less:
# enough for a step's rows to be of nearly one length, few enough that not the same rows meet every epoch.
_POOL_STEPS = 32


class Plan:
    """Which rows are in which step."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, longest_first: bool) -> None:
        """Plan steps of `batch_size` rows of these lengths; see `batches.training_steps`."""
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
            longest_to_shortest(part, self._lengths)
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


def longest_to_shortest(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The rows in falling order of their lengths; of equal ones in their own."""
    return rows[np.argsort(-lengths[rows], kind="stable")]


def fill(
    units: np.ndarray,
    lengths: np.ndarray,
    token_budget: int,
    sizes: np.ndarray | None = None,
    processes: int = 1,
) -> list[np.ndarray]:
    """Split units, given longest first, into groups whose padded size is within the processes' budget.

    Args:
        units: Rows, or sets of rows that stay together.
        lengths: Tokens of each unit's longest row.
        token_budget: Most tokens of a process.
        sizes: Rows of each unit; 1 by default.
        processes: How many share a group, dealt out one after another.
    """
    groups = []
    start = 0
    while start < len(units):
        room = token_budget // int(lengths[units[start]])
        stop = start + processes * room
        if sizes is not None:
            taken = np.zeros(processes, np.int64)
            stop = start
            while stop < len(units):
                rank = (stop - start) % processes
                taken[rank] += sizes[units[stop]]
                if taken[rank] > room:
                    break
                stop += 1
        groups.append(units[start:stop])
        start = stop
    return groups


@dataclass(frozen=True, eq=False)
class Units:
    """Rows that stay together in training: those of an example whose read-outs are compared, else each alone.

    Attributes:
        lengths: Tokens of the longest row of each, `[units]`.
        sizes: Their numbers of rows; None where each is one row.
        members: The rows of all units, end to end; None where each is one row.
        starts: Where each unit's rows start in `members`.
    """

    lengths: np.ndarray
    sizes: np.ndarray | None = None
    members: np.ndarray | None = None
    starts: np.ndarray | None = None

    @classmethod
    def of(cls, encoded: Encoded, token_budget: int) -> Units:
        """The units of encoded rows, each within the budget."""
        lengths = encoded.lengths
        if not encoded.task.kind.compares_readouts:
            return cls(lengths)
        starts = np.flatnonzero(np.diff(encoded.examples, prepend=-1))
        sizes = np.diff(starts, append=len(lengths))
        longest = np.maximum.reduceat(lengths, starts)
        members = np.arange(len(lengths))
        over = np.flatnonzero(sizes * longest > token_budget)
        if len(over):
            _log.info(
                "%s: %d examples have more rows than schedule.token_budget %d holds; as many as fit are "
                "trained on, those with the answer first",
                encoded.task.name,
                len(over),
                token_budget,
            )
            unit_of = np.repeat(np.arange(len(starts)), sizes)
            members = np.flatnonzero(_within(encoded, unit_of, over, token_budget))
            sizes = np.bincount(unit_of[members], minlength=len(starts))
            starts = np.cumsum(sizes) - sizes
            longest = np.maximum.reduceat(lengths[members], starts)
        return cls(longest, sizes, members, starts)

    def rows(self, units: np.ndarray) -> np.ndarray:
        """The rows of some units, a unit after the other."""
        if self.sizes is None or self.members is None or self.starts is None:
            return units
        sizes = self.sizes[units]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.members[np.repeat(self.starts[units], sizes) + within]


def _within(encoded: Encoded, unit_of: np.ndarray, over: np.ndarray, token_budget: int) -> np.ndarray:
    """Which rows stay, `[rows]`: of units over the budget as many as fit, those with an answer first."""
    lengths, labels = encoded.lengths, encoded.ragged("labels")
    row_of = np.repeat(np.arange(len(lengths)), np.diff(labels.offsets))
    answers = np.bincount(row_of, weights=labels.values, minlength=len(lengths))
    stays = ~np.isin(unit_of, over)
    for unit in over:
        rows = np.flatnonzero(unit_of == unit)
        kept: list[int] = []
        for row in rows[np.argsort(answers[rows] == 0, kind="stable")]:
            if (len(kept) + 1) * lengths[[*kept, row]].max() <= token_budget:
                kept.append(row)
        stays[kept] = True
    return stays
