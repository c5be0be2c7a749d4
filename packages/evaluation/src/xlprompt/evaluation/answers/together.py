"""What several task models on one backbone answer, rows of all of them in the same forward passes.

A server's requests are few rows each and of many tasks. One pass over all rows costs about what one over a
single request's does, where the pass's own cost and not its tokens decide; where tokens do, nothing is
gained, and rows of very different lengths are kept apart, as filling up is work as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from xlprompt.data.encoding.batches import Batch, Texts
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.encoding.plan import longest_to_shortest
from xlprompt.evaluation.answers.collected import AllLogits
from xlprompt.evaluation.answers.probabilities import named_probabilities_of

if TYPE_CHECKING:
    from xlprompt.models import TaskModel

TOKENS_OF_A_PASS = 96
"""Tokens that cost about as much as a pass does beside its tokens, with xglm-nano on a CPU."""

# Passes have one of few shapes. On a CPU oneDNN compiles each product for its shape, which takes about as
# long as computing it, and keeps some 0.6 MiB for each of the last 1,024.
_ROWS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256])
_WIDTHS = 16

Probabilities = list[list[dict[str, float]]]


@dataclass(frozen=True)
class Part:
    """Examples for one model, in evaluation mode and without gradients.

    Attributes:
        model: On the device.
        encoded: The examples; their labels are not looked at.
        token_budget: Padded tokens of a pass at most.
        pad_id: The token id that fills up shorter rows.
    """

    model: TaskModel
    encoded: Encoded
    token_budget: int
    pad_id: int


@dataclass(frozen=True)
class _Piece:
    """Rows of one part, and the part's place among all."""

    part: int
    batch: Batch


def answer_together(
    parts: Sequence[Part], device: torch.device | str, *, mixed: bool = True
) -> list[Probabilities | FloatingPointError]:
    """The answers of every part's examples with their probabilities, as `answer_probabilities` gives them.

    Args:
        parts: What is asked; a model may be in several.
        device: Where the batches go.
        mixed: Whether rows of several models may share a pass; False is there to be compared with.

    Returns:
        Of each part its answers, or that its model's logits are not finite.

    Raises:
        RuntimeError: A read-out is missing, doubled, or belongs to no word of its example.
    """
    found = [AllLogits(part.encoded, 1, device) for part in parts]
    with torch.no_grad():
        for members in passes(parts, mixed=mixed):
            _run(parts, members, found, device)
    answers: list[Probabilities | FloatingPointError] = []
    for part, logits in zip(parts, found, strict=True):
        try:
            answers.append(named_probabilities_of(part.encoded, logits))
        except FloatingPointError as error:
            answers.append(error)
    return answers


def passes(parts: Sequence[Part], *, mixed: bool = True) -> list[list[_Piece]]:
    """Which rows go through the backbone together."""
    from xlprompt.models.together import pass_key

    by_key: dict[Hashable, list[int]] = {}
    for number, part in enumerate(parts):
        by_key.setdefault(pass_key(part.model) if mixed else id(part.model), []).append(number)
    return [members for numbers in by_key.values() for members in _divided(parts, numbers)]


def _divided(parts: Sequence[Part], numbers: Sequence[int]) -> Iterator[list[_Piece]]:
    """The passes of some parts, longest rows first."""
    texts = {number: Texts.of(parts[number].encoded) for number in numbers}
    lengths = np.concatenate([parts[number].encoded.lengths for number in numbers])
    sizes = [len(parts[number].encoded.lengths) for number in numbers]
    part, row = np.repeat(numbers, sizes), np.concatenate([np.arange(size) for size in sizes])
    order = longest_to_shortest(np.arange(len(lengths)), lengths)
    budget = min(parts[number].token_budget for number in numbers)
    for chosen in np.split(order, cuts(lengths[order], budget)):
        yield [
            _Piece(number, texts[number].batch(row[chosen[part[chosen] == number]], parts[number].pad_id))
            for number in numbers
            if (part[chosen] == number).any()
        ]


def cuts(lengths: np.ndarray, budget: int) -> list[int]:
    """Where rows are divided so that passes and padding together cost least.

    Args:
        lengths: Tokens of each, longest first.
        budget: Padded tokens of a pass at most; a longer row goes alone.

    Returns:
        The places, rising, at which a pass begins; without 0.
    """
    widths = rounded_up(lengths)
    cost, begin = np.zeros(len(lengths) + 1), np.zeros(len(lengths) + 1, int)  # of the rows before each place
    for end in range(1, len(lengths) + 1):
        rows = _ROWS[: np.searchsorted(_ROWS, end, "right")]
        tokens = widths[end - rows] * rows
        costs = cost[end - rows] + tokens + TOKENS_OF_A_PASS
        costs[(tokens > budget) & (rows > 1)] = np.inf
        begin[end] = end - rows[costs.argmin()]
        cost[end] = costs.min()
    found = [int(begin[-1])]
    while found[0]:
        found.insert(0, int(begin[found[0]]))
    return found[1:]


def rounded_up(lengths: Any) -> Any:
    """The widths of passes for rows of these lengths."""
    return -(-lengths // _WIDTHS) * _WIDTHS


def _run(
    parts: Sequence[Part], members: Sequence[_Piece], found: Sequence[AllLogits], device: torch.device | str
) -> None:
    """One pass; what each part's head says of it is added to what was found."""
    from xlprompt.models.together import states_together

    models = list({id(parts[each.part].model): parts[each.part].model for each in members}.values())
    places = {id(model): place for place, model in enumerate(models)}
    longest = max(piece.batch.input_ids.shape[1] for piece in members)
    # No wider than the positions that a model is known to have.
    most = max(parts[piece.part].encoded.settings.max_length for piece in members)
    width = max(longest, min(rounded_up(longest), most))
    ids, which, rows, first = [], [], [], 0
    for piece in members:
        of_piece, part = piece.batch.input_ids, parts[piece.part]
        ids.append(functional.pad(of_piece, (0, width - of_piece.shape[1]), value=part.pad_id))
        which.append(torch.full((len(of_piece),), places[id(part.model)]))
        rows.append(piece.batch.rows + first)
        first += len(of_piece)
    columns = torch.cat([piece.batch.columns for piece in members])
    pass_over = [torch.cat(which), torch.cat(ids), torch.cat(rows), columns]
    states = states_together(models, *(each.to(device) for each in pass_over))
    for piece, read in zip(members, states.split([len(each) for each in rows]), strict=True):
        batch = piece.batch.to(device)
        found[piece.part].add(parts[piece.part].model.head(read).float()[None], batch)
