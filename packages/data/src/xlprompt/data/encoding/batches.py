"""Puts encoded rows into padded batches, by a plan that a seed fixes and that any step can be entered at.

A training step always has the same number of rows, whatever their lengths; a token budget bounds the memory
of the micro-batches it is split into. Nothing here knows a model or draws from a global random state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from xlprompt.data.encoding.beginnings import Pieces, SharedRows, cost, share_beginnings
from xlprompt.data.encoding.encode import Encoded, Ragged
from xlprompt.data.encoding.plan import Plan, Units, fill, longest_to_shortest
from xlprompt.data.errors import DataError


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, and where to read them.

    A row is a text, or several that begin alike (see `beginnings`).

    Attributes:
        input_ids: int64 `[batch, time]`.
        rows: int64 `[readouts]`; read-out `i` is at `[rows[i], columns[i]]` of `input_ids`.
        columns: int64 `[readouts]`.
        labels: int64 `[readouts]`.
        examples: int64 `[readouts]`; the example each read-out belongs to.
        words: int64 `[readouts]`; which word, option or token of that example it is (0 for texts).
        groups: int64 `[readouts]`, numbers from 0; the read-outs of the same number are compared by one
            softmax. None where the labels at each read-out are.
        num_tokens: Tokens of all texts, each counted whole: a beginning that texts share counts for each.
        tree: int64 `[2, batch, time]`, of each token its position in its text, from 0, and the ending that it
            is part of, from 1: 0 for what all texts of its row have, -1 for padding. A token belongs with
            those before it in the beginning and in its own ending. None where each row is one text.
    """

    input_ids: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    labels: torch.Tensor
    examples: torch.Tensor
    words: torch.Tensor
    groups: torch.Tensor | None
    num_tokens: int
    tree: torch.Tensor | None = None

    @property
    def pad_share(self) -> float:
        """The share of `input_ids` that is padding, 0 to 1."""
        if self.tree is not None:
            return float((self.tree[1] < 0).double().mean())
        return 1.0 - self.num_tokens / self.input_ids.numel()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(device, non_blocking=True)

        return Batch(
            input_ids=moved(self.input_ids),
            rows=moved(self.rows),
            columns=moved(self.columns),
            labels=moved(self.labels),
            examples=moved(self.examples),
            words=moved(self.words),
            groups=None if self.groups is None else moved(self.groups),
            num_tokens=self.num_tokens,
            tree=None if self.tree is None else moved(self.tree),
        )


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """One optimizer step's share of one process.

    Attributes:
        micro_batches: What this process reads, longest rows first; as many in every process.
        decisions: What the loss is the mean over: read-outs, or examples whose read-outs are compared, of the
            whole step, those of the other processes included.
        num_tokens: Tokens of the whole step's texts, as `Batch` counts them.
    """

    micro_batches: list[Batch]
    decisions: int
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
    share: bool = False,
) -> Iterator[TrainingStep]:
    """Go over the rows epoch after epoch, without end.

    Rows that one softmax compares stay together: below, "a row" is all of them, as long as its longest.
    Steps are cut off one endless sequence of rows in which each epoch has every row once, in an order drawn
    from `(seed, epoch)`; the rows left over at the end of an epoch begin a step that the next one completes.
    Within an epoch, rows are sorted by length in pools, cut into steps, and the steps shuffled: a step holds
    rows of about one length, and lengths come in no order. The sequence depends on nothing but the arguments,
    so a run that starts at step `n` goes on exactly as one that has come there. A step has the same rows
    however many processes share it; they are dealt out by length, so that all have about the same work.

    Args:
        encoded: The rows.
        batch_size: Rows of a step, that is, of one optimizer update, over all processes.
        token_budget: Most tokens of a micro-batch of one process, padding included. Of an example whose rows
            together are over it as many are trained on as fit, those with a right answer first.
        seed: Not negative.
        pad_id: The id rows are filled up with. A causal model's real tokens never see it.
        start_step: The first step to give.
        longest_first: Exchange the first step of all with that one of the first epoch's whole steps that has
            the longest row, so that a run that does not fit into memory fails at once.
        rank: Which process this is, from 0.
        processes: How many share each step. One that is left without a row reads one without read-outs.
        share: Read beginnings that texts of a micro-batch have in common once, where that is less work. What
            is in a step or micro-batch does not depend on it.

    Returns:
        An iterator over steps; the losses of micro-batches are to be weighted by their decisions.

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
    rows, units = Texts.of(encoded), Units.of(encoded, token_budget)
    plan = Plan(units.lengths, batch_size, seed, longest_first)

    def steps() -> Iterator[TrainingStep]:
        step = start_step
        while True:
            chosen = longest_to_shortest(plan.rows_of(step), units.lengths)
            groups = fill(chosen, units.lengths, token_budget, units.sizes, processes)
            of_step = units.rows(chosen)
            shares = [(units.rows(each[rank::processes]), units.rows(each[:1])[:1]) for each in groups]
            yield TrainingStep(
                [rows.of_process(own, any_row, pad_id, share=share) for own, any_row in shares],
                decisions=len(chosen) if rows.compared else int(rows.readouts.lengths_of(of_step).sum()),
                num_tokens=int(encoded.lengths[of_step].sum()),
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
        self._arrays = Texts.of(encoded)

    def draw(self, *seed: int) -> Batch:
        """Rows without repetition, the same for the same numbers."""
        bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(self.lengths))
        drawn = np.argsort(bits, kind="stable")[: self._rows]
        padded = np.maximum.accumulate(self.lengths[drawn]) * np.arange(1, len(drawn) + 1)
        return self._arrays.batch(drawn[padded <= self._token_budget], self._pad_id)


def evaluation_batches(
    encoded: Encoded, *, token_budget: int, pad_id: int, longest_first: bool = True, share: bool = False
) -> Iterator[Batch]:
    """Go over every text once, in the order of the rows' length.

    Args:
        encoded: The rows.
        token_budget: Most tokens of a batch, padding included.
        pad_id: The id rows are filled up with.
        longest_first: Begin with the longest rows, so that what does not fit into memory fails at once and
            the remaining time is estimated too long rather than too short.
        share: Read beginnings that texts have in common once. A batch whose rows are longer than the longest
            text is that much smaller: attention, which grows with their square, takes no more memory.

    Returns:
        An iterator over batches; `examples` and `words` say where their read-outs belong.

    Raises:
        DataError: A row is longer than `token_budget`.
    """
    _check_budget(encoded, token_budget)
    batches = Texts.of(encoded).batches(token_budget, pad_id, share=share)
    return batches if longest_first else reversed(list(batches))


def shared_rows(encoded: Encoded, token_budget: int) -> SharedRows:
    """The rows that `evaluation_batches` makes of texts that begin alike."""
    return _shared(encoded.ragged("input_ids"), token_budget)


def _shared(ids: Ragged, token_budget: int) -> SharedRows:
    lengths = np.diff(ids.offsets)
    most = int((token_budget * int(lengths.max(initial=0))) ** 0.5)  # a batch of one row, see `Texts.batches`
    return share_beginnings(ids, np.arange(len(lengths)), most)


def lengths_in_training(encoded: Encoded) -> np.ndarray:
    """Tokens of each row that training reads where beginnings are shared, `[rows]`.

    Rows that one softmax compares, as those of an example's options, are always in one micro-batch. What
    others share by chance, when a step draws them together, is not foreseen.
    """
    if not encoded.task.kind.compares_readouts:
        return encoded.lengths
    ids = encoded.ragged("input_ids")
    # With its example's number in front no text begins like one of another example.
    told = np.insert(ids.values, ids.offsets[:-1], encoded.examples)
    texts = np.arange(len(encoded.lengths))
    return (
        share_beginnings(Ragged(told, ids.offsets + np.arange(len(texts) + 1)), texts, len(told)).lengths - 1
    )


def _check_budget(encoded: Encoded, token_budget: int) -> None:
    longest = int(encoded.lengths.max(initial=0))
    if longest > token_budget:
        raise DataError(
            f"row {int(encoded.lengths.argmax())} of {encoded.task.name} has {longest} tokens, more than "
            f"token_budget {token_budget}",
            fix=f"Set token_budget to {longest} or more, or encoding.max_length to {token_budget} or less.",
        )


@dataclass(frozen=True, eq=False)
class Texts:
    """The columns of an `Encoded` as arrays, for reading many texts at once; or what is read just like it.

    Attributes:
        input_ids: Ids of each text, at least one.
        readouts: The places in it that are read.
        labels: A label a read-out.
        words: What each read-out is of its example.
        examples: The example that each text is of, `[texts]`.
        compared: Whether the read-outs of an example are compared.
    """

    input_ids: Ragged
    readouts: Ragged
    labels: Ragged
    words: Ragged
    examples: np.ndarray
    compared: bool

    @classmethod
    def of(cls, encoded: Encoded) -> Texts:
        """The texts of encoded examples."""
        return cls(
            input_ids=encoded.ragged("input_ids"),
            readouts=encoded.ragged("readouts"),
            labels=encoded.ragged("labels"),
            words=encoded.ragged("words"),
            examples=encoded.examples,
            compared=encoded.task.kind.compares_readouts,
        )

    def batches(self, token_budget: int, pad_id: int, *, share: bool) -> Iterator[Batch]:
        """Every text once, in batches of rows from the longest to the shortest; see `evaluation_batches`.

        Args:
            token_budget: At least the tokens of the longest text.
            pad_id: The id rows are filled up with.
            share: Whether texts that begin alike share rows.
        """
        lengths = np.diff(self.input_ids.offsets)
        texts = np.arange(len(lengths))
        if not share or len(texts) == 0:
            groups = fill(longest_to_shortest(texts, lengths), lengths, token_budget)
            return (self.batch(group, pad_id) for group in groups)
        rows, longest = _shared(self.input_ids, token_budget), int(lengths.max())
        # A row longer than any text weighs as much more, as attention takes memory by the square of it.
        sizes = -(-rows.lengths * np.maximum(rows.lengths, longest) // longest)
        groups = fill(longest_to_shortest(np.arange(len(sizes)), rows.lengths), sizes, token_budget)
        return (self.shared_batch(rows, group, pad_id) for group in groups)

    def of_process(self, own: np.ndarray, any_row: np.ndarray, pad_id: int, *, share: bool) -> Batch:
        """The batch of a process's own rows; of a process that has none, a row that is not asked anything."""
        if len(own):
            return self._shared_if_less(own, pad_id) if share else self.batch(own, pad_id)
        idle = self.batch(any_row, pad_id)
        nothing = torch.empty(0, dtype=torch.int64)
        groups = nothing if self.compared else None
        return Batch(idle.input_ids, nothing, nothing, nothing, nothing, nothing, groups, num_tokens=0)

    def _shared_if_less(self, texts: np.ndarray, pad_id: int) -> Batch:
        """One batch of these texts, with beginnings shared if that is less work with its padding, too."""
        longest = int(self.input_ids.lengths_of(texts).max())
        rows = share_beginnings(self.input_ids, texts, longest=longest * len(texts))
        if len(rows.lengths) * cost(int(rows.lengths.max())) >= len(texts) * cost(longest):
            return self.batch(texts, pad_id)
        return self.shared_batch(rows, np.arange(len(rows.lengths)), pad_id)

    def batch(self, rows: np.ndarray, pad_id: int) -> Batch:
        """A batch whose rows are texts."""
        lengths = self.input_ids.lengths_of(rows)
        input_ids = np.full((len(rows), lengths.max()), pad_id, np.int64)
        input_ids[np.arange(input_ids.shape[1]) < lengths[:, None]] = self.input_ids.take(rows)
        counts = self.readouts.lengths_of(rows)
        of_row = np.repeat(np.arange(len(rows)), counts)
        return self._asked(rows, input_ids, of_row, self.readouts.take(rows))

    def shared_batch(self, shared: SharedRows, rows: np.ndarray, pad_id: int) -> Batch:
        """A batch of some of these rows, in their order."""
        if len(texts := shared.texts_of(rows)) == len(rows):
            return self.batch(texts, pad_id)
        pieces = Pieces.of(shared, rows, np.diff(self.input_ids.offsets))
        sizes = self.input_ids.lengths_of(texts) - pieces.skips
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        at = np.repeat(pieces.rows, sizes), np.repeat(pieces.columns, sizes) + within
        input_ids = np.full((len(rows), shared.lengths[rows].max()), pad_id, np.int64)
        input_ids[at] = self.input_ids.take(texts, pieces.skips)
        tree = np.stack((np.zeros_like(input_ids), np.full_like(input_ids, -1)))
        tree[0][at] = positions = np.repeat(pieces.skips, sizes) + within
        in_ending = positions >= np.repeat(pieces.shared, sizes)
        tree[1][at] = np.where(in_ending, np.repeat(pieces.branches, sizes), 0)
        counts = self.readouts.lengths_of(texts)
        of_row, skips = np.repeat(pieces.rows, counts), np.repeat(pieces.skips, counts)
        columns = self.readouts.take(texts)
        columns = np.where(columns < skips, columns, np.repeat(pieces.columns, counts) + columns - skips)
        return self._asked(texts, input_ids, of_row, columns, tree)

    def _asked(
        self,
        texts: np.ndarray,
        input_ids: np.ndarray,
        of_row: np.ndarray,
        columns: np.ndarray,
        tree: np.ndarray | None = None,
    ) -> Batch:
        """A batch of texts whose read-outs are at these rows and columns."""

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.int64, copy=False))

        examples = np.repeat(self.examples[texts], self.readouts.lengths_of(texts))
        groups = np.unique(examples, return_inverse=True)[1] if self.compared else None
        return Batch(
            input_ids=tensor(input_ids),
            rows=tensor(of_row),
            columns=tensor(columns),
            labels=tensor(self.labels.take(texts)),
            examples=tensor(examples),
            words=tensor(self.words.take(texts)),
            groups=None if groups is None else tensor(groups),
            num_tokens=int(self.input_ids.lengths_of(texts).sum()),
            tree=None if tree is None else tensor(tree),
        )
