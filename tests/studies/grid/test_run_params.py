"""What is read off the stored parameters of runs."""

import pytest

from xlprompt.studies.grid.ledger import CellRun
from xlprompt.studies.grid.run_params import language_curves


class History:
    """A ledger of one run, whose curve in German has one point."""

    def history(self, run_id, name):
        """Steps and values."""
        return [(4, 50.0)]


@pytest.mark.parametrize(
    ("params", "metrics", "rows"),
    [
        ({"evaluation.curve_examples": "100"}, {"curve_rows": 40.0}, 40),
        ({"evaluation.curve_examples": "100", "data.limit": "null", "data.test_limit": "null"}, {}, 100),
        ({"evaluation.curve_examples": "100", "data.limit": "50", "data.test_limit": "60"}, {}, 50),
        ({}, {}, 1),
    ],
)
def test_a_curve_has_the_rows_that_were_there_and_not_those_that_were_asked_for(params, metrics, rows):
    run = CellRun("a", "FINISHED", 0, params, {}, {"curve/accuracy/de": 50.0, **metrics}, None)
    assert language_curves(History(), run, "accuracy").examples == rows
