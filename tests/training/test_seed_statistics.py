import numpy as np
import pytest
from scipy import stats

from xlprompt.training.seed_statistics import as_metrics, over_seeds, summarize


@pytest.mark.parametrize("values", [[81.2, 83.0, 79.9], [50.0, 50.5], [1.0, 2.0, 3.0, 4.0, 9.0]])
def test_mean_deviation_and_interval_are_scipys(values):
    summary = over_seeds(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.deviation == pytest.approx(np.std(values, ddof=1))
    assert (summary.low, summary.high) == pytest.approx((low, high))


def test_a_single_seed_has_no_spread():
    summary = over_seeds([70.0])
    assert (summary.mean, summary.deviation, summary.low, summary.high) == (70.0, None, None, None)
    assert as_metrics({"test/f1/en": summary}) == {"test/f1/en": 70.0}


def test_what_every_run_has_is_summarized_and_nothing_else():
    runs = [{"test/f1/en": 1.0, "test/f1/de": 2.0, "train/loss": 3.0}, {"test/f1/en": 3.0, "train/loss": 1.0}]
    summaries = summarize(runs)
    assert list(summaries) == ["test/f1/en"]
    assert as_metrics(summaries).keys() == {
        "test/f1/en",
        "test/f1/en/sd",
        "test/f1/en/ci_low",
        "test/f1/en/ci_high",
    }
    assert summarize([]) == {}
