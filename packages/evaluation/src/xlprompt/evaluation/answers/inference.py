"""Run a task model over encoded examples and put every answer back in its place.

Batches come longest first, so that running out of memory happens at once and not near the end; the answers
are returned in the order of the examples and their words. Scoring is scores/metrics.py's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from xlprompt.data.encoding.batches import Batch, evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.answers.collected import collector
from xlprompt.evaluation.answers.known_states import KnownStates
from xlprompt.evaluation.evaluation_mode import evaluation_mode
from xlprompt.evaluation.processes import Processes

if TYPE_CHECKING:  # for the annotation only: predictions can be scored where transformers is not loaded
    from xlprompt.models import AffineMap, TaskModel

Variant = TypeVar("Variant")


@dataclass(frozen=True)
class Predictions:
    """What a model answered on one split of one language.

    Attributes:
        labels: Label indices, one list per example in the order of the examples, one entry per word (one in
            all for texts); where an answer is a part of a text, that part.
        loss: Mean cross-entropy per read-out, or per example where an example's read-outs are compared, in
            nats.
        entropy: Mean entropy of the same, in nats; it needs no labels.
        tokens: Real (unpadded) tokens of the texts that were answered. A beginning that several texts share
            counts for each, though it was read once, so that rates compare the same work.
        seconds: Wall-clock time from the first batch to the last answer, batching included.
    """

    labels: list[Sequence[Any]]
    loss: float
    entropy: float
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Real tokens per second of wall-clock time."""
        return self.tokens / self.seconds


def predict(
    model: TaskModel,
    encoded: Encoded,
    *,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
    processes: Processes | None = None,
    states: KnownStates | None = None,
) -> Predictions:
    """Predict a label for every read-out of `encoded`.

    The model stays where it is and is called once per batch, so one loaded model serves any number of
    languages; its training and evaluation modes are as before afterwards.

    Args:
        model: A task model on `device`; `model(input_ids, rows, columns, tree=tree)` gives logits
            `[readouts, labels]`.
        encoded: The examples.
        token_budget: Padded tokens per batch at most.
        pad_id: The token id that fills up shorter rows.
        device: Where the batches go.
        processes: Those that share the work: each reads its share of the very batches that one process would
            read, and all of them get all answers.
        states: What the backbone gives, where it is known: the head alone is called then.

    Returns:
        The predictions, in example and word order.

    Raises:
        ValueError: `encoded` holds no read-out.
        RuntimeError: A read-out is missing, doubled, or belongs to no word of its example.
        FloatingPointError: The model's logits are not finite, so that its answers would mean nothing.
    """

    def read(batch: Batch) -> list[torch.Tensor]:
        if states is not None:
            return [model.head(states.of(batch))]
        return [model(batch.input_ids, batch.rows, batch.columns, tree=batch.tree)]

    (predictions,) = _predict(read, 1, model, encoded, token_budget, pad_id, device, processes)
    return predictions


def predict_aligned(
    model: TaskModel,
    encoded: Encoded,
    maps: Mapping[Variant, AffineMap | None],
    *,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
    processes: Processes | None = None,
) -> dict[Variant, Predictions]:
    """Predict as `predict` does, once for each map of what the head reads, in one pass of the backbone.

    Args:
        model: A task model on `device`.
        encoded: The examples.
        maps: By any key: an alignment, or None for the states as they are.
        token_budget: As in `predict`.
        pad_id: As in `predict`.
        device: As in `predict`.
        processes: As in `predict`.

    Returns:
        Predictions by the keys of `maps`; all have the whole pass's time.

    Raises:
        ValueError, RuntimeError, FloatingPointError: As in `predict`.
    """
    placed = [None if each is None else each.to(device) for each in maps.values()]

    def read(batch: Batch) -> list[torch.Tensor]:
        states = model.readout_states(batch.input_ids, batch.rows, batch.columns, batch.tree)
        return [model.head(states if each is None else each(states.float())) for each in placed]

    results = _predict(read, len(placed), model, encoded, token_budget, pad_id, device, processes)
    return dict(zip(maps, results, strict=True))


def _predict(
    read: Callable[[Batch], list[torch.Tensor]],
    variants: int,
    model: TaskModel,
    encoded: Encoded,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
    processes: Processes | None,
) -> list[Predictions]:
    """Predictions by each of the variants of logits `[readouts, labels]` that `read` gives of a batch."""
    if encoded.num_readouts == 0:
        raise ValueError("There is nothing to predict: the encoded split holds no example with a label.")

    processes = processes or Processes()
    found, tokens = collector(encoded, variants, device), 0
    start = time.perf_counter()
    # Not inference_mode: what the model caches in it, such as a mask, could not be trained with afterwards.
    with evaluation_mode(model), torch.no_grad():
        batches = evaluation_batches(
            encoded, token_budget=token_budget, pad_id=pad_id, share=model.reads_trees
        )
        for batch, is_own in processes.share(batches):
            moved = batch.to(device)
            logits = torch.stack(read(moved)).float()  # [variants, readouts, width]
            if is_own:
                found.add(logits, moved)
            tokens += batch.num_tokens if is_own else 0
        collected = found.collected(processes)
        all_tokens = torch.tensor(float(tokens), dtype=torch.float64, device=device)
        processes.add_up([all_tokens])
    seconds = time.perf_counter() - start

    losses = [each / collected.decisions for each in collected.losses]
    if not np.isfinite(losses).all():
        raise FloatingPointError(
            f"The model's logits are not finite (mean loss {losses[0]}). Training has diverged or the "
            "precision is too low: evaluate an earlier checkpoint, or load the backbone in bfloat16 or "
            "float32, never float16."
        )
    return [
        Predictions(answers, loss, entropy / collected.decisions, int(all_tokens), seconds)
        for answers, loss, entropy in zip(collected.answers, losses, collected.entropies, strict=True)
    ]
