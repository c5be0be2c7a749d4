"""The one loss: over labels as torch has it, over the read-outs of a group as if each were torch's."""

import pytest
import torch
from torch.nn import functional

from xlprompt.models.objective import log_probabilities, summed_loss


def grouped(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of 3 groups that do not stand in order, with two columns."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.tensor([2, 0, 0, 1, 2, 0, 2, 1])
    return torch.randn(len(groups), 2, generator=generator) * 30, groups


def test_labels_are_compared_as_by_torch():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    assert torch.equal(summed_loss(logits, labels), functional.cross_entropy(logits, labels, reduction="sum"))


def test_readouts_of_a_group_are_compared_column_by_column():
    logits, groups = grouped()
    # Bit 0: the first column is right; bit 1: the second.
    labels = torch.tensor([1, 0, 3, 2, 2, 0, 0, 1])
    expected = 0.0
    for group in range(3):
        members = torch.nonzero(groups == group).flatten()
        for column in range(2):
            right = int(torch.nonzero((labels[members] >> column) & 1)[0])
            log_softmax = functional.log_softmax(logits[members, column].double(), dim=0)
            expected -= float(log_softmax[right]) / 2
    assert float(summed_loss(logits, labels, groups)) == pytest.approx(expected, rel=1e-6)


def test_probabilities_of_a_group_add_up_to_one_in_each_column():
    logits, groups = grouped()
    sums = torch.zeros(3, 2).index_add(0, groups, log_probabilities(logits, groups).exp())
    assert torch.allclose(sums, torch.ones(3, 2), atol=1e-6)


def test_large_logits_overflow_nowhere():
    logits, groups = grouped()
    ours = log_probabilities(logits * 1000, groups)
    assert torch.isfinite(ours).all()
    for group in range(3):
        theirs = functional.log_softmax(logits[groups == group] * 1000, dim=0)
        assert torch.allclose(ours[groups == group], theirs, rtol=1e-6)


def test_the_gradient_is_that_of_torch():
    logits, groups = grouped(1)
    labels = torch.tensor([1, 0, 1, 1, 0, 0, 0, 0])
    ours, theirs = logits[:, :1].clone().requires_grad_(), logits[:, :1].clone().requires_grad_()
    summed_loss(ours, labels, groups).backward()
    for group in range(3):
        members = torch.nonzero(groups == group).flatten()
        right = labels[members].argmax()
        functional.cross_entropy(theirs[members, 0], right).backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_parts_of_a_batch_add_up_to_it():
    logits, groups = grouped(2)
    labels = torch.tensor([1, 0, 3, 2, 2, 0, 0, 1])
    parts = [
        summed_loss(logits[groups == each], labels[groups == each], groups[groups == each] * 0)
        for each in range(3)
    ]
    assert torch.allclose(torch.stack(parts).sum(), summed_loss(logits, labels, groups))


def test_nothing_to_read_has_no_loss_and_no_gradient():
    logits = torch.zeros(0, 2, requires_grad=True)
    nothing = torch.zeros(0, dtype=torch.int64)
    loss = summed_loss(logits, nothing, nothing)
    loss.backward()
    assert loss.item() == 0.0
