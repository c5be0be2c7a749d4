"""The overview's figures, which are read before a run starts: in full, and no share of more than all."""

from dataclasses import replace

import pytest

from xlprompt.models import PromptSettings, parameter_budget
from xlprompt.studies.search.space import Range, show
from xlprompt.training.runs import overview


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (600.0, "600 epochs"),
        (1234567.8, "1,234,568 epochs"),
        (99.96, "100 epochs"),
        (10.0, "10 epochs"),
        (2.56, "2.6 epochs"),
        (1.0, "1 epoch"),
        (0.996, "1 epoch"),
        (0.3, "0.3 epochs"),
        (0.04, "0.04 epochs"),
        (0.0001, "less than 0.01 epochs"),
    ],
)
def test_epochs_are_written_in_full(number, text):
    assert overview._epochs(number) == text


def test_a_share_of_the_backbone_is_told_of_what_is_less_than_it():
    budget = parameter_budget("xglm-nano", num_labels=3, method=PromptSettings())
    assert f"({budget.trainable_percent:.3g} %): prompt" in overview._trainable(budget)
    trained, _, total, *_ = overview._trainable(budget).replace(",", "").split()
    assert 100 * int(trained) / int(total) == pytest.approx(budget.trainable_percent)
    more = replace(budget, trainable_params=budget.total_params + 771)
    assert "%" not in overview._trainable(more)
    assert "all of the backbone's among them" in overview._trainable(more)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5e-05, "5e-05"),
        (0.0123456, "0.0123"),
        (999.0, "999"),
        (1200.0, "1,200"),
        (10**7, "10000000"),
        (None, "null"),
    ],
)
def test_values_of_a_search_are_written_without_powers_of_ten_where_they_are_whole(value, text):
    assert show(value) == text


def test_a_range_of_large_whole_numbers_is_written_in_full():
    assert str(Range(low=1, high=10_000_000, log=True)) == "1 to 10000000, log-uniform"
