"""What a task model answers to text that nobody has labelled, and how probable it holds that.

Reads in the very batches in which `predict` reads, so the likeliest answer is the one that it gives.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from xlprompt.data.encoding.batches import evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.aligned import moved_layer
from xlprompt.evaluation.answers.collected import AllLogits
from xlprompt.evaluation.evaluation_mode import evaluation_mode
from xlprompt.evaluation.processes import Processes
from xlprompt.models.objective import log_probabilities

if TYPE_CHECKING:
    from xlprompt.models import AffineMap, TaskModel


def answer_probabilities(
    model: TaskModel,
    encoded: Encoded,
    *,
    align: AffineMap | None = None,
    layer: int | None = None,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
) -> list[list[dict[str, float]]]:
    """The answers of every example, with their probabilities.

    Args:
        model: A task model on `device`.
        encoded: The examples; their labels are not looked at.
        align: Moves hidden states to those of the training language; None leaves them.
        layer: The decoder layer that it moves the output of; None for what the head reads.
        token_budget: Padded tokens per batch at most.
        pad_id: The token id that fills up shorter rows.
        device: Where the batches go.

    Returns:
        For each example one dictionary, or one a word: the probability of each label or option by its name;
        or of the best part of the text alone.

    Raises:
        FloatingPointError: The model's logits are not finite.
        RuntimeError: A read-out is missing, doubled, or belongs to no word of its example.
    """
    placed = None if align is None else align.to(device)
    in_layer: AbstractContextManager[None] = nullcontext()
    if placed is not None and layer is not None:
        in_layer, placed = moved_layer(model, layer, placed), None
    found = AllLogits(encoded, 1, device)
    with evaluation_mode(model), torch.no_grad(), in_layer:
        batches = evaluation_batches(
            encoded, token_budget=token_budget, pad_id=pad_id, share=model.reads_trees
        )
        for batch in batches:
            moved = batch.to(device)
            states = model.readout_states(moved.input_ids, moved.rows, moved.columns, moved.tree)
            if placed is not None:
                states = placed(states.float())
            found.add(model.head(states).float()[None], moved)
    return named_probabilities_of(encoded, found)


def named_probabilities_of(encoded: Encoded, found: AllLogits) -> list[list[dict[str, float]]]:
    """The same of logits that are there already, in one variant; returns and raises as above."""
    kind = encoded.task.kind
    (logits,), examples, _ = found.in_order(Processes())
    groups = examples if kind.compares_readouts else None
    weighed = kind.weigh(log_probabilities(logits, groups), groups).cpu().numpy()
    if not np.isfinite(weighed).all():
        raise FloatingPointError(
            "The model's logits are not finite. Training has diverged or the precision is too low: use "
            "another checkpoint, or load the backbone in bfloat16 or float32, never float16."
        )
    if kind.compares_readouts:
        return kind.named(encoded, list(weighed))
    return kind.named(encoded, np.split(weighed, np.cumsum(encoded.readouts_of_examples)[:-1]))
