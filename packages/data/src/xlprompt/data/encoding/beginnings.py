"""Puts texts that begin alike into one row, so that what they have in common is read once.

A causal decoder's state at a token depends on what stands to its left alone: texts share their states for as
long as they are the same. A row holds its first text and behind it the endings of the others, which go on
where the beginning that all of them share stops. Who sees whom is said by a tree of two levels (`Tree`); that
attention keeps to it is the models' business. What texts share beyond one beginning a row is read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xlprompt.data.encoding.encode import Ragged

# The length at which attention is taken to cost as much as everything else. It bounds how many texts of one
# beginning a row takes; on XNLI's test sets all values from 512 on save the same tokens within 0.5 %.
_AS_MUCH_ATTENTION = 1024

# Shorter beginnings are not looked for: a first token, which all texts share, is no reason for a row.
_LEAST_SHARED = 3

_PAIRS_AT_ONCE = 65_536


def cost(length: int) -> float:
    """What reading a row costs, in tokens of short rows."""
    return length + length * length / _AS_MUCH_ATTENTION


@dataclass(frozen=True, eq=False)
class SharedRows:
    """Which texts are in which row.

    Attributes:
        texts: The texts of all rows, a row after the other, `[texts]`.
        firsts: Where each row's texts start among them, and where the last row's end, `[rows + 1]`.
        shared: Tokens that the texts of each row have in common at their beginning, `[rows]`; all tokens of a
            text that is alone.
        lengths: Tokens of each row, `[rows]`.
    """

    texts: np.ndarray
    firsts: np.ndarray
    shared: np.ndarray
    lengths: np.ndarray

    def texts_of(self, rows: np.ndarray) -> np.ndarray:
        """The texts of some rows, a row after the other."""
        return Ragged(self.texts, self.firsts).take(rows)


class Pieces(NamedTuple):
    """Where the texts of some rows lie in them.

    Attributes:
        texts: The texts, a row after the other, `[texts]`.
        rows: Place of each text's row among those rows, `[texts]`.
        shared: How many of its first tokens stand in the row's beginning, `[texts]`.
        skips: How many of them stand there already; 0 for the first text of a row, `[texts]`.
        columns: Where in the row the others start, `[texts]`.
        branches: Of each row's endings its number, from 1, `[texts]`.
    """

    texts: np.ndarray
    rows: np.ndarray
    shared: np.ndarray
    skips: np.ndarray
    columns: np.ndarray
    branches: np.ndarray

    @classmethod
    def of(cls, shared_rows: SharedRows, rows: np.ndarray, lengths: np.ndarray) -> Pieces:
        """The pieces of some rows.

        Args:
            shared_rows: All rows.
            rows: Which of them.
            lengths: Tokens of every text by its number.
        """
        texts = shared_rows.texts_of(rows)
        sizes = shared_rows.firsts[rows + 1] - shared_rows.firsts[rows]
        first = np.cumsum(sizes) - sizes
        branches = 1 + np.arange(len(texts)) - np.repeat(first, sizes)
        shared = np.repeat(shared_rows.shared[rows], sizes)
        skips = np.where(branches == 1, 0, shared)
        sizes_in_row = lengths[texts] - skips
        before = np.cumsum(sizes_in_row) - sizes_in_row
        columns = before - np.repeat(before[first], sizes)
        return cls(texts, np.repeat(np.arange(len(rows)), sizes), shared, skips, columns, branches)


def share_beginnings(ids: Ragged, texts: np.ndarray, longest: int) -> SharedRows:
    """Group texts so that reading them costs least, by `cost`; padding is not looked at.

    Texts are sorted by their ids, so that those which begin alike are neighbors, and the best cut of that
    order into rows is found. Rows come in the order of their first texts, and these in the order given.

    Args:
        ids: Token ids of texts by their numbers, each with at least one.
        texts: The texts to group, `[texts]`.
        longest: Most tokens of a row of several texts.
    """
    lengths = ids.lengths_of(texts)
    values = ids.take(texts).astype("<i4", copy=False)
    starts = np.cumsum(lengths) - lengths
    order = _sorted(values, starts, lengths)
    common = np.concatenate([[0], *_common(values, starts, lengths, order)])[: len(order)]
    cut = np.array(_best_cut(lengths[order].tolist(), common.tolist(), longest), np.int64)
    sizes = np.diff(cut, append=len(order))
    if len(order) == 0:
        return SharedRows(texts, np.zeros(1, np.int64), lengths, lengths)
    # What a row's texts share is the least that neighbors do. The first one's neighbor is in another row.
    common[cut] = lengths[order][cut]
    shared = np.minimum.reduceat(common, cut)
    totals = np.add.reduceat(lengths[order], cut) - (sizes - 1) * shared
    earliest = np.minimum.reduceat(order, cut)
    by_text, by_row = np.lexsort((order, np.repeat(earliest, sizes))), np.argsort(earliest)
    return SharedRows(
        texts=texts[order[by_text]],
        firsts=np.concatenate([[0], np.cumsum(sizes[by_row])]),
        shared=shared[by_row],
        lengths=totals[by_row],
    )


def _sorted(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Places of texts, those of equal beginnings beside each other; equal texts in their own order."""
    bytes_ = values.tobytes()
    ends = (starts + lengths) * values.itemsize
    keys = [
        bytes_[begin:end]
        for begin, end in zip((starts * values.itemsize).tolist(), ends.tolist(), strict=True)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _common(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, order: np.ndarray
) -> Iterator[np.ndarray]:
    """How many tokens each text but the first has in common with the one before it, in parts."""
    for first in range(0, len(order) - 1, _PAIRS_AT_ONCE):
        some = order[first : first + _PAIRS_AT_ONCE + 1]
        left, right = some[:-1], some[1:]
        both = np.minimum(lengths[left], lengths[right])
        begin = np.cumsum(both) - both
        within = np.arange(both.sum()) - np.repeat(begin, both)
        differ = (
            values[np.repeat(starts[left], both) + within] != values[np.repeat(starts[right], both) + within]
        )
        yield np.minimum.reduceat(np.where(differ, within, np.repeat(both, both)), begin)


def _best_cut(lengths: list[int], common: list[int], longest: int) -> list[int]:
    """Where the rows of the cheapest cut of sorted texts begin.

    Args:
        lengths: Tokens of each text.
        common: What each has in common with the one before it.
        longest: Most tokens of a row of several.
    """
    cheapest = [0.0]  # of the first so many texts
    begins: list[int] = []  # of the last row in that cut
    for last, length in enumerate(lengths):
        least, begin = cheapest[last] + cost(length), last
        total, shared, first = length, length, last
        while first > 0:
            shared = min(shared, common[first])
            if shared < _LEAST_SHARED:
                break
            first -= 1
            total += lengths[first]
            row = total - (last - first) * shared
            if row > longest:
                break
            if (found := cheapest[first] + cost(row)) < least:
                least, begin = found, first
        cheapest.append(least)
        begins.append(begin)
    cut: list[int] = []
    stop = len(lengths)
    while stop > 0:
        stop = begins[stop - 1]
        cut.append(stop)
    return cut[::-1]
