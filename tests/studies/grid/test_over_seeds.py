from xlprompt.evaluation.comparison.statistics import spread
from xlprompt.studies.grid.over_seeds import as_metrics, summarize


def test_a_single_seed_has_no_spread():
    assert as_metrics({"test/f1/en": spread([70.0])}) == {"test/f1/en": 70.0}


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
