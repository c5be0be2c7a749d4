"""What several task models on one backbone answer, rows of all of them in the same forward passes.

A server's requests are few rows each and of many tasks. One pass over all rows costs about what one over a
single request's does, where the pass's own cost and not its tokens decide; where tokens do, nothing is
gained, and rows of very different lengths are kept apart, as filling up is work as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from xlprompt.data.encoding.batches import Batch, evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.collected import AllLogits
from xlprompt.evaluation.answers.probabilities import named_probabilities_of

if TYPE_CHECKING:
    from xlprompt.models import TaskModel

PADDING_WORTH_A_PASS = 96
"""Tokens of padding that cost about as much as a pass of its own, with xglm-nano on a CPU."""

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
    """A batch of one part's rows, and the part's place among all."""

    part: int
    batch: Batch

    @property
    def width(self) -> int:
        return self.batch.input_ids.shape[1]


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
    """Which batches go through the backbone together."""
    from xlprompt.models.together import pass_key

    by_key: dict[Hashable, list[_Piece]] = {}
    for number, part in enumerate(parts):
        key = pass_key(part.model) if mixed else id(part.model)
        for batch in evaluation_batches(part.encoded, token_budget=part.token_budget, pad_id=part.pad_id):
            by_key.setdefault(key, []).append(_Piece(number, batch))
    found: list[list[_Piece]] = []
    for pieces in by_key.values():
        pieces.sort(key=lambda piece: piece.width, reverse=True)
        for piece in pieces:
            if found and piece is not pieces[0] and _fits(parts, found[-1], piece):
                found[-1].append(piece)
            else:
                found.append([piece])
    return found


def _fits(parts: Sequence[Part], members: Sequence[_Piece], piece: _Piece) -> bool:
    """Whether a piece, no wider than those that are there, can go with them, and is worth it."""
    width, rows = members[0].width, len(piece.batch.input_ids)
    taken = width * (rows + sum(len(each.batch.input_ids) for each in members))
    budget = min(parts[each.part].token_budget for each in (*members, piece))
    return taken <= budget and rows * (width - piece.width) <= PADDING_WORTH_A_PASS


def _run(
    parts: Sequence[Part], members: Sequence[_Piece], found: Sequence[AllLogits], device: torch.device | str
) -> None:
    """One pass; what each part's head says of it is added to what was found."""
    from xlprompt.models.together import read_together, states_together

    models = list({id(parts[each.part].model): parts[each.part].model for each in members}.values())
    places = {id(model): place for place, model in enumerate(models)}
    width = members[0].width
    ids, which = [], []
    for piece in members:
        of_piece, part = piece.batch.input_ids, parts[piece.part]
        ids.append(functional.pad(of_piece, (0, width - of_piece.shape[1]), value=part.pad_id))
        which.append(torch.full((len(of_piece),), places[id(part.model)]))
    states = states_together(models, torch.cat(which).to(device), torch.cat(ids).to(device))
    first = 0
    for piece in members:
        batch = piece.batch.to(device)
        read = read_together(states, batch.rows + first, batch.columns)
        found[piece.part].add(parts[piece.part].model.head(read).float()[None], batch)
        first += len(batch.input_ids)
