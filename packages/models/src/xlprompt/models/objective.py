"""The loss that models are trained by and judged by: the cross-entropy of what a softmax compares.

That is the labels at each read-out; or the read-outs of an example, such as its options or the tokens of its
text, in each column of the logits.
"""

from torch import Tensor, special
from torch.nn import functional


def log_probabilities(logits: Tensor, groups: Tensor | None = None) -> Tensor:
    """Log-softmax over the labels at each read-out, or over the read-outs of each group.

    Args:
        logits: `[..., readouts, width]`.
        groups: `[readouts]`, numbers from 0, less than as many as there are read-outs: those that have the
            same are compared, column by column. None compares the labels.

    Returns:
        As `logits`, float32 or finer.
    """
    if groups is None:
        return functional.log_softmax(logits, dim=-1)
    into = groups[:, None].expand(logits.shape)
    lowest = logits.new_full(logits.shape, float("-inf"))
    # As many places as read-outs, so that a GPU need not be asked how many groups there are.
    top = lowest.scatter_reduce(-2, into, logits.detach(), "amax").gather(-2, into)
    shifted = logits - top
    total = logits.new_zeros(logits.shape).scatter_add(-2, into, shifted.exp())
    return shifted - total.gather(-2, into).log()


def summed_entropy(logits: Tensor, groups: Tensor | None = None) -> Tensor:
    """Entropy in nats of what is compared, added up as `summed_loss` is: 0 where every answer is certain.

    Args:
        logits: `[readouts, width]`.
        groups: As in `log_probabilities`.
    """
    total = special.entr(log_probabilities(logits, groups).exp()).sum()
    return total if groups is None else total / logits.shape[-1]


def summed_loss(logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> Tensor:
    """Cross-entropy in nats, added up: a scalar that parts of a batch add up to.

    Args:
        logits: `[readouts, width]`.
        labels: `[readouts]`: the number of the right label; with groups, bit k says whether the read-out is
            right in column k, and the mean over columns is taken.
        groups: As in `log_probabilities`.
    """
    if groups is None:
        return functional.cross_entropy(logits, labels, reduction="sum")
    width = logits.shape[-1]
    right = (labels[:, None] >> labels.new_tensor(range(width))) & 1
    return -(log_probabilities(logits, groups) * right).sum() / width
