"""The loss that models are trained by and judged by: the cross-entropy of their read-outs."""

from torch import Tensor
from torch.nn import functional


def summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, added up over read-outs: a scalar that parts of a batch add up to.

    Args:
        logits: `[readouts, labels]`.
        labels: `[readouts]`.
    """
    return functional.cross_entropy(logits, labels, reduction="sum")
