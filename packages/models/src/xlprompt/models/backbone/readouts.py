"""Where a batch is read, and how the last decoder layer is spared all that is not.

Of every position the last layer needs keys and values; queries, the way out of attention, the feed-forward
and what comes behind it are needed at read-outs alone, at one of some forty tokens of a pair. So the layer is
run twice: over all positions until it calls attention, where keys and values are kept and the rest is left
undone, and from its beginning to its end over read-outs. No module of it is known by name, so whatever a
method has put into it acts as ever. Whether a decoder allows it is tried in `probes`, not decided here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

# The largest share of a row that is worth reading alone: `python experiments/bench/readouts.py`. XGLM's layer
# gains up to nine tenths (1.3 times as fast at 28 of 40 tokens, 1.07 at 36). Other decoders compute queries
# of every token too, and a layer whose feed-forward is four hidden sizes wide breaks even at three quarters.
MOST_READ = 0.6
LastLayer = Literal["whole", "few", "few, filled up"]
# What a layer is told about positions, as transformers' models call it.
_OF_POSITIONS = ("position_embeddings", "position_ids")


@dataclass(frozen=True, eq=False)
class Readouts:
    """Read-outs by batch row.

    Attributes:
        columns: int64 `[batch, most]`, the positions in the text that are read of each row; a row with fewer
            than the others repeats position 0.
        places: int64 `[read-outs]`, where each of them is in `columns`, flattened.
    """

    columns: Tensor
    places: Tensor

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor, batch: int, multiple: int = 1) -> Readouts:
        """Read-outs in any order.

        Args:
            rows: `[read-outs]`, the batch row of each.
            columns: `[read-outs]`, its position in the row.
            batch: Number of rows.
            multiple: What `most` is to be a multiple of, if it is not 1.
        """
        if rows.device.type == "meta":  # shapes alone: as many of each row
            most = -(-len(rows) // batch)
            return cls(columns.new_empty(batch, most), columns.new_empty(len(rows)))
        counts = torch.bincount(rows, minlength=batch)
        most = int(counts.max()) if len(rows) else 0
        if most > 1:
            most = -(-most // multiple) * multiple
        order = torch.argsort(rows, stable=True)
        firsts = (counts.cumsum(0) - counts).index_select(0, rows.index_select(0, order))
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(rows), device=rows.device) - firsts  # among those of its row
        places = rows * most + rank
        found = columns.new_zeros(batch * most)
        found[places] = columns
        return cls(found.view(batch, most), places)

    @property
    def most(self) -> int:
        """Read-outs of the row that has most."""
        return self.columns.shape[1]

    def pick(self, states: Tensor) -> Tensor:
        """`[batch, most, ...]` of what is `[batch, time, ...]`."""
        return picked(states, self.columns)


def picked(states: Tensor, columns: Tensor) -> Tensor:
    """`states[row, columns[row]]` for each row.

    Args:
        states: `[batch, time, ...]`, or `[1, time, ...]` where all rows have the same.
        columns: `[batch, most]`.

    Returns:
        `[batch, most, ...]`.
    """
    batch, most = columns.shape
    where = columns
    if len(states) > 1:
        where = columns + states.shape[1] * torch.arange(batch, device=columns.device)[:, None]
    # One index_select: on a CPU its backward is many times faster than that of states[rows, columns].
    chosen = states.flatten(0, 1).index_select(0, where.flatten())
    return chosen.view(batch, most, *states.shape[2:])


class KeysAndValuesKept(Exception):  # noqa: N818 - no error: it ends a pass that has given what it was for
    """Leaves a layer once its keys and values are known."""


# What code that was not written for it may raise when it is given read-outs alone.
STRANGE = (
    KeysAndValuesKept,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
)


@dataclass(eq=False)
class FewQueries:
    """One forward pass in which the last layer computes read-outs alone.

    Attributes:
        layer: The last layer, from 0.
        columns: int64 `[batch, most]`, the positions that are read among the layer's.
        whole: Keys and values of all positions, `[batch, kv head, time, head dim]` each, once they are known.
    """

    layer: int
    columns: Tensor
    whole: tuple[Tensor, Tensor] | None = None

    def keep(self, key: Tensor, value: Tensor) -> None:
        """Keep them, and leave the layer.

        Raises:
            KeysAndValuesKept: Always.
        """
        self.whole = (key, value)
        raise KeysAndValuesKept

    def attended(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """What the queries of read-outs attend to; in the pass over all positions keep it instead.

        Raises:
            KeysAndValuesKept: This is the pass over all positions.
        """
        if self.whole is None:
            self.keep(key, value)
        assert self.whole is not None
        return self.whole

    def rows_of(self, mask: Tensor) -> Tensor:
        """A mask's rows for the queries that are there.

        Args:
            mask: `[time, keys]` or `[head, time, keys]`, or another one for each row,
                `[batch, 1 or head, time, keys]`.

        Returns:
            `[batch, 1 or head, most, keys]`.
        """
        batch, most = self.columns.shape
        if mask.ndim == 4:
            return picked(mask.transpose(1, 2), self.columns).transpose(1, 2)
        heads = mask.unsqueeze(0) if mask.ndim == 2 else mask
        rows = heads.index_select(1, self.columns.flatten())
        return rows.view(len(heads), batch, most, mask.shape[-1]).transpose(0, 1)


@contextmanager
def few_queries(layer: nn.Module, few: FewQueries | None, *, fill_up: bool) -> Iterator[None]:
    """Within it, a layer computes read-outs alone, in a backward pass too.

    Its hooks must come behind all others that change what the layer is given.

    Args:
        layer: The last decoder layer.
        few: What is read; None leaves the layer as it is.
        fill_up: Give the model `[batch, time, hidden]`, zero behind the read-outs, in the place of
            `[batch, most, hidden]`: some put their output into the shape of their input.
    """
    handles = []
    if few is not None:
        before = functools.partial(_read_outs_alone, few)
        handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
        if fill_up:
            handles.append(layer.register_forward_hook(functools.partial(_filled_up, few)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _read_outs_alone(
    few: FewQueries, layer: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    states, *rest = arguments
    with _without_checkpointing(layer), suppress(KeysAndValuesKept):
        layer.forward(states, *rest, **options)
    changed = {
        name: _of_positions(options[name], few.columns)
        for name in _OF_POSITIONS
        if options.get(name) is not None
    }
    return (picked(states, few.columns), *rest), {**options, **changed}


@contextmanager
def _without_checkpointing(layer: Any) -> Iterator[None]:
    """Within it a layer keeps its activations: these are few, and no exception gets out of a checkpoint."""
    checkpointing = getattr(layer, "gradient_checkpointing", False)
    if checkpointing:
        layer.gradient_checkpointing = False
    try:
        yield
    finally:
        if checkpointing:
            layer.gradient_checkpointing = True


def _of_positions(told: Tensor | tuple[Tensor, ...], columns: Tensor) -> Tensor | tuple[Tensor, ...]:
    if isinstance(told, Tensor):
        return picked(told, columns)
    return tuple(picked(each, columns) for each in told)


def _filled_up(few: FewQueries, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
    assert few.whole is not None
    states = output[0] if isinstance(output, tuple) else output
    whole = functional.pad(states, (0, 0, 0, few.whole[0].shape[2] - states.shape[1]))
    return (whole, *output[1:]) if isinstance(output, tuple) else whole


def same_but_for_rounding(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are the same but for rounding; of tensors without values, whether shapes are."""
    if found.shape != expected.shape or found.device.type == "meta":
        return found.shape == expected.shape
    tolerance = 1e-4 if expected.dtype in (torch.float32, torch.float64) else 2e-2
    size = expected.abs().max()
    return bool((found - expected).abs().max() <= tolerance * size)
