"""The probability that a task model gives to every label, for text that nobody has labelled.

Reads in the very batches in which `predict` reads, so the likeliest label is the one that it answers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from xlprompt.data.encoding.batches import evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.aligned import moved_layer
from xlprompt.evaluation.answers.inference import evaluation_mode, in_order

if TYPE_CHECKING:
    from xlprompt.models import AffineMap, TaskModel


def label_probabilities(
    model: TaskModel,
    encoded: Encoded,
    *,
    align: AffineMap | None = None,
    layer: int | None = None,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
) -> list[np.ndarray]:
    """Softmax over the labels at every read-out.

    Args:
        model: A task model on `device`.
        encoded: The examples; their labels are not looked at.
        align: Moves hidden states to those of the training language; None leaves them.
        layer: The decoder layer that it moves the output of; None for what the head reads.
        token_budget: Padded tokens per batch at most.
        pad_id: The token id that fills up shorter rows.
        device: Where the batches go.

    Returns:
        For each example `[words, labels]`, float32; one word for a pair.

    Raises:
        FloatingPointError: The model's logits are not finite.
        RuntimeError: A read-out is missing, doubled, or belongs to no word of its example.
    """
    placed = None if align is None else align.to(device)
    in_layer: AbstractContextManager[None] = nullcontext()
    if placed is not None and layer is not None:
        in_layer, placed = moved_layer(model, layer, placed), None
    answers, places = [], []
    with evaluation_mode(model), torch.no_grad(), in_layer:
        batches = evaluation_batches(encoded, token_budget=token_budget, pad_id=pad_id, longest_first=True)
        for batch in batches:
            moved = batch.to(device)
            states = model.readout_states(moved.input_ids, moved.rows, moved.columns)
            if placed is not None:
                states = placed(states.float())
            answers.append(model.head(states).float().softmax(dim=-1))
            places.append(torch.stack((moved.examples, moved.words)))
    probabilities = torch.cat(answers).cpu().numpy()  # [read-outs, labels]
    if not np.isfinite(probabilities).all():
        raise FloatingPointError(
            "The model's logits are not finite. Training has diverged or the precision is too low: use "
            "another checkpoint, or load the backbone in bfloat16 or float32, never float16."
        )
    examples, words = torch.cat(places, dim=1).cpu().numpy()
    counts = np.array([len(labels) for labels in encoded.gold()], dtype=np.int64)
    order = in_order(np.arange(len(examples)), examples, words, counts)
    return [probabilities[rows] for rows in order]
