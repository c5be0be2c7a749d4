"""Run a task model over encoded examples and put every answer back in its place.

Batches come longest first, so that running out of memory happens at once and not near the end; the answers
are returned in the order of the examples and their words. Scoring is scores/metrics.py's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn

from xlprompt.data.encoding.batches import Batch, evaluation_batches
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.processes import Processes
from xlprompt.models.objective import summed_loss

if TYPE_CHECKING:  # for the annotation only: predictions can be scored where transformers is not loaded
    from xlprompt.models import AffineMap, TaskModel

Item = TypeVar("Item")
Variant = TypeVar("Variant")


@dataclass(frozen=True)
class Predictions:
    """What a model answered on one split of one language.

    Attributes:
        labels: Label indices, one list per example in the order of the examples, one entry per word (one in
            all for a pair).
        loss: Mean cross-entropy per read-out, in nats.
        tokens: Real (unpadded) text tokens that went through the model.
        seconds: Wall-clock time from the first batch to the last answer, batching included.
    """

    labels: list[list[int]]
    loss: float
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
) -> Predictions:
    """Predict a label for every read-out of `encoded`.

    The model stays where it is and is called once per batch, so one loaded model serves any number of
    languages; its training and evaluation modes are as before afterwards.

    Args:
        model: A task model on `device`; `model(input_ids, rows, columns)` gives logits `[readouts, labels]`.
        encoded: The examples.
        token_budget: Padded tokens per batch at most.
        pad_id: The token id that fills up shorter rows.
        device: Where the batches go.
        processes: Those that share the work: each reads its share of the very batches that one process would
            read, and all of them get all answers.

    Returns:
        The predictions, in example and word order.

    Raises:
        ValueError: `encoded` holds no read-out.
        RuntimeError: A read-out is missing, doubled, or belongs to no word of its example.
        FloatingPointError: The model's logits are not finite, so that its answers would mean nothing.
    """

    def read(batch: Batch) -> list[torch.Tensor]:
        return [model(batch.input_ids, batch.rows, batch.columns)]

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
        states = model.readout_states(batch.input_ids, batch.rows, batch.columns)
        return [model.head(states if each is None else each(states.float())) for each in placed]

    results = _predict(read, len(placed), model, encoded, token_budget, pad_id, device, processes)
    return dict(zip(maps, results, strict=True))


def _predict(
    read: Callable[[Batch], list[torch.Tensor]],
    variants: int,
    model: nn.Module,
    encoded: Encoded,
    token_budget: int,
    pad_id: int,
    device: torch.device | str,
    processes: Processes | None,
) -> list[Predictions]:
    """Predictions by each of the variants of logits `[readouts, labels]` that `read` gives of a batch."""
    words_per_example = np.array([len(labels) for labels in encoded.gold()], dtype=np.int64)
    if words_per_example.sum() == 0:
        raise ValueError("There is nothing to predict: the encoded split holds no example with a label.")

    processes, kind = processes or Processes(), encoded.task.kind
    answered: list[torch.Tensor] = []  # of each batch [variants + 2, readouts]: labels, examples, words
    # The summed loss of each variant, tokens, read-outs.
    total = torch.zeros(variants + 2, dtype=torch.float64, device=device)
    start = time.perf_counter()
    # Not inference_mode: what the model caches in it, such as a mask, could not be trained with afterwards.
    with evaluation_mode(model), torch.no_grad():
        batches = evaluation_batches(encoded, token_budget=token_budget, pad_id=pad_id, longest_first=True)
        for batch, is_own in share(batches, processes):
            moved = batch.to(device)
            logits = torch.stack(read(moved)).float()  # [variants, readouts, labels]
            if not is_own:
                continue
            # Answers and loss stay on the device: fetching them would make it wait for us at every batch.
            answer, example, word = kind.decode(logits, moved)
            answered.append(torch.cat((answer, example[None], word[None])))
            for place, each in enumerate(logits):
                total[place] += summed_loss(each, moved.labels)
            total[-2] += batch.num_tokens
            total[-1] += len(batch.labels)
        empty = torch.empty(variants + 2, 0, dtype=torch.int64, device=device)
        own = torch.cat(answered, dim=1) if answered else empty
        *answers, examples, words = processes.gather(own.T).T.cpu().numpy()
        processes.add_up([total])
        *losses, tokens, readouts = total.tolist()
    seconds = time.perf_counter() - start

    loss = losses[0] / readouts
    if not np.isfinite(losses).all():
        raise FloatingPointError(
            f"The model's logits are not finite (mean loss {loss}). Training has diverged or the precision "
            "is too low: evaluate an earlier checkpoint, or load the backbone in bfloat16 or float32, never "
            "float16."
        )
    return [
        Predictions(
            labels=in_order(each, examples, words, words_per_example),
            loss=summed / readouts,
            tokens=int(tokens),
            seconds=seconds,
        )
        for each, summed in zip(answers, losses, strict=True)
    ]


def share(batches: Iterable[Item], processes: Processes) -> Iterator[tuple[Item, bool]]:
    """This process's batches, each with True; with False one that only keeps it in step with the others.

    A sharded model computes in all processes or in none, so all of them go through as many batches.
    """
    for group in _groups(batches, processes.size):
        is_own = processes.rank < len(group)
        yield group[processes.rank if is_own else 0], is_own


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Groups of `size` items, the last one smaller where they do not divide."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, and afterwards exactly those back that were in training mode.

    `model.train()` alone would also switch on the dropout of a frozen backbone that is kept in evaluation
    mode.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def in_order(
    answers: np.ndarray, examples: np.ndarray, words: np.ndarray, words_per_example: np.ndarray
) -> list[list[int]]:
    """Sort flat answers into one list per example, and prove that each word was answered exactly once.

    Args:
        answers: Label indices, `[readouts]`.
        examples: The example each answer belongs to, `[readouts]`.
        words: The word of that example, `[readouts]`.
        words_per_example: How many words each example has, `[examples]`.
    """
    outside = (examples < 0) | (examples >= len(words_per_example))
    outside |= (words < 0) | (words >= words_per_example[np.where(outside, 0, examples)])
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise RuntimeError(
            f"Read-out for example {examples[at]}, word {words[at]}, which does not exist. The encoded "
            "examples are inconsistent: encode them again without the cache."
        )
    ends = np.cumsum(words_per_example)
    starts = ends - words_per_example
    positions = starts[examples] + words
    times_answered = np.bincount(positions, minlength=int(ends[-1]))
    if (times_answered != 1).any():
        position = int(np.flatnonzero(times_answered != 1)[0])
        example = int(np.searchsorted(ends, position, side="right"))
        raise RuntimeError(
            f"Word {position - starts[example]} of example {example} was read out {times_answered[position]} "
            "times, not once. The encoded examples are inconsistent: encode them again without the cache."
        )
    flat = np.empty(len(answers), dtype=np.int64)
    flat[positions] = answers
    return [flat[begin:end].tolist() for begin, end in zip(starts, ends, strict=True)]
