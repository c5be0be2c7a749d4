"""What predictions alone say of a run: how far they collapse, how evenly they spread, how far seeds agree.

No gold label of a target language has a part in any of it.
"""

from __future__ import annotations

import numpy as np


def shares(predicted: np.ndarray, labels: int) -> np.ndarray:
    """Share of each label among the predictions, `[labels]`."""
    return np.bincount(predicted, minlength=labels) / max(1, len(predicted))


def collapse(predicted: np.ndarray, prior: np.ndarray) -> float:
    """How much more often the label that is predicted most is given than it should be, 0 to 1.

    It is `(s - g) / (1 - g)` for its share `s` of the predictions and `g` of the prior: the part of what
    should have gone to other labels that it takes over, as in the rule for collapsed predictions.

    Args:
        predicted: Label indices, flat.
        prior: Shares of the labels in the training language, `[labels]`.
    """
    found = shares(predicted, len(prior))
    top = int(found.argmax())
    return float(max(0.0, found[top] - prior[top]) / max(1e-9, 1 - prior[top]))


def diversity(predicted: np.ndarray, labels: int) -> float:
    """Entropy in nats of the shares of the predicted labels: 0 where all predictions are one label."""
    found = shares(predicted, labels)
    found = found[found > 0]
    return float(-(found * np.log(found)).sum())


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the predictions that two runs have in common; of answers that are texts, equal ones count."""
    return float((one == other).mean())


def beyond_chance(one: np.ndarray, other: np.ndarray, labels: int) -> float:
    """Cohen's kappa (1960) of two runs' predictions: 0 for what runs with these shares agree in by chance.

    Two runs that give one and the same label to everything have 0, too: their agreement says nothing.
    """
    by_chance = float(shares(one, labels) @ shares(other, labels))
    if by_chance >= 1 - 1e-9:
        return 0.0
    return (agreement(one, other) - by_chance) / (1 - by_chance)
