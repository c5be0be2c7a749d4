"""Dropout that draws little, by the shares and the means that it leaves."""

import pytest
import torch
from torch.nn import functional

from xlprompt.models.backbone.dropout import CheapDropout, dropped_out


@pytest.mark.parametrize("p", [0.1, 0.5, 0.003])
def test_the_share_that_is_dropped_and_the_mean_are_those_asked_for(p: float) -> None:
    torch.manual_seed(0)
    ones = torch.ones(1001, 999)
    found = dropped_out(ones, p)
    deviation = (p * (1 - p) / ones.numel()) ** 0.5
    assert float((found == 0).double().mean()) == pytest.approx(p, abs=5 * deviation + 2**-17)
    assert float(found.double().mean()) == pytest.approx(1, abs=6 * deviation / (1 - p))
    neighbors = (found == 0).double().flatten()
    assert abs(float((neighbors[1:] * neighbors[:-1]).mean()) - p * p) < 5 * deviation


def test_gradients_flow_through_what_is_kept_and_a_seed_gives_the_same_mask() -> None:
    states = torch.randn(7, 13, requires_grad=True)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        with CheapDropout():
            found.append(torch.nn.Dropout(0.3)(states))
    assert torch.equal(*found)
    found[0].sum().backward()
    torch.testing.assert_close(found[0], states * states.grad)


def test_what_drops_nothing_is_left_alone() -> None:
    states = torch.randn(5)
    with CheapDropout():
        assert functional.dropout(states, 0.5, training=False) is states
        assert functional.dropout(states, 0.0) is states
        assert not functional.dropout(states, 1.0).any()
