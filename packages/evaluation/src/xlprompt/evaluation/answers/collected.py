"""What a model's logits come to over the batches of a split: answers in their places, and the summed loss.

Where a softmax is over labels, each batch can be answered by itself. Where it compares the read-outs of an
example, whose rows may be in several batches, logits are kept until all of them are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from xlprompt.data.encoding.batches import Batch
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation.processes import Processes
from xlprompt.models.objective import summed_entropy, summed_loss


class Collected(NamedTuple):
    """The answers of all variants.

    Attributes:
        answers: Of each variant, of each example in order.
        losses: Of each variant, cross-entropy in nats added up.
        entropies: Of each variant, entropies in nats added up, which no label is needed for.
        decisions: What losses and entropies were added up over.
    """

    answers: list[list[Sequence[Any]]]
    losses: list[float]
    entropies: list[float]
    decisions: int


class Collector(Protocol):
    """Takes logits batch by batch."""

    def add(self, logits: Tensor, batch: Batch) -> None:
        """Take the logits `[variants, readouts, width]`, float32, of a batch that is on their device."""
        ...

    def collected(self, processes: Processes) -> Collected:
        """All answers, those of the other processes among them.

        Raises:
            RuntimeError: A read-out is missing, doubled, or belongs to nothing of its example.
        """
        ...


def collector(encoded: Encoded, variants: int, device: torch.device | str) -> Collector:
    """The collector that the examples' kind needs."""
    kind = encoded.task.kind
    return (AllLogits if kind.compares_readouts else _Labeled)(encoded, variants, device)


class _Labeled:
    """Labels of read-outs; answers and losses stay on the device, or it would wait for us at every batch."""

    def __init__(self, encoded: Encoded, variants: int, device: torch.device | str) -> None:
        self._encoded = encoded
        self._answered = [torch.empty(variants + 2, 0, dtype=torch.int64, device=device)]
        # The summed loss of each variant, the summed entropy of each, and read-outs.
        self._total = torch.zeros(2 * variants + 1, dtype=torch.float64, device=device)

    def add(self, logits: Tensor, batch: Batch) -> None:
        labels = self._encoded.task.kind.decode(logits, None)
        self._answered.append(torch.cat((labels, batch.examples[None], batch.words[None])))
        for place, each in enumerate(logits):
            self._total[place] += summed_loss(each, batch.labels)
            self._total[len(logits) + place] += summed_entropy(each)
        self._total[-1] += len(batch.labels)

    def collected(self, processes: Processes) -> Collected:
        *labels, examples, words = processes.gather(torch.cat(self._answered, dim=1).T).T.cpu().numpy()
        processes.add_up([self._total])
        *sums, decisions = self._total.tolist()
        losses, entropies = sums[: len(labels)], sums[len(labels) :]
        counts = self._encoded.readouts_of_examples
        chosen = [in_order(each, examples, words, counts) for each in labels]
        answers = [list(self._encoded.task.kind.answers(self._encoded, each)) for each in chosen]
        return Collected(answers, losses, entropies, int(decisions))


class AllLogits:
    """Logits of all read-outs, which can be compared when they are there."""

    def __init__(self, encoded: Encoded, variants: int, device: torch.device | str) -> None:
        """Begin with none."""
        self._encoded, self._variants = encoded, variants
        self._width = encoded.task.kind.head_width(encoded.task)
        self._logits = [torch.empty(0, variants * self._width, device=device)]
        self._places = [torch.empty(0, 3, dtype=torch.int64, device=device)]

    def add(self, logits: Tensor, batch: Batch) -> None:
        """As `Collector.add`."""
        self._logits.append(logits.transpose(0, 1).flatten(1))
        self._places.append(torch.stack((batch.examples, batch.words, batch.labels), dim=1))

    def collected(self, processes: Processes) -> Collected:
        """As `Collector.collected`, of a kind that compares read-outs."""
        logits, groups, labels = self.in_order(processes)
        kind = self._encoded.task.kind
        chosen = kind.decode(logits, groups).tolist()
        return Collected(
            answers=[list(kind.answers(self._encoded, each)) for each in chosen],
            losses=[float(summed_loss(each, labels, groups)) for each in logits.double()],
            entropies=[float(summed_entropy(each, groups)) for each in logits.double()],
            decisions=self._encoded.num_examples,
        )

    def in_order(self, processes: Processes) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `[variants, readouts, width]`, and examples and labels `[readouts]`, in order."""
        logits = processes.gather(torch.cat(self._logits))
        places = processes.gather(torch.cat(self._places))
        examples, words, _ = places.T.cpu().numpy()
        counts = self._encoded.readouts_of_examples
        order = np.concatenate(in_order(np.arange(len(places)), examples, words, counts)).astype(np.int64)
        at = torch.from_numpy(order).to(logits.device)
        split = logits[at].unflatten(1, (self._variants, self._width)).transpose(0, 1)
        return split, places[at, 0], places[at, 2]


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
