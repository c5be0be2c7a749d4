"""A study whose truth is known, for the tests of what is written about one."""

import pytest
from simulated_studies import POS, by_resources, make_runs

from xlprompt.evaluation import compare


@pytest.fixture(scope="session")
def studied():
    """Runs by task: prompts win where resources are low in xnli, and lose everywhere in pos."""
    pos = make_runs(-15.0, task="pos", languages=POS)
    return {**make_runs(by_resources(12.0, 0.0)), **pos}


@pytest.fixture(scope="session")
def comparison(studied):
    """Of these runs."""
    return compare(studied, samples=300)
