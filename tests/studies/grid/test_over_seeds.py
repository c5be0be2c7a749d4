from math import nan

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


def test_main_figures_are_in_reading_order_and_rounded_as_those_of_a_run():
    runs = [
        {"score/zero_shot": value, "score/trained_on": 80.0, "score/gap": nan} for value in (41.0, 42.0, 42.0)
    ]
    figures = as_metrics(summarize(runs, "score/"))
    assert list(figures)[:2] == ["score/trained_on", "score/trained_on/sd"]
    assert (figures["score/zero_shot"], figures["score/zero_shot/sd"]) == (41.67, 0.58)
    assert not any(name.startswith("score/gap") for name in figures)  # nothing was scored beside English
