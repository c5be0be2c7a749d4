"""Means over languages, the transfer gap, and what happens where a language is missing."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from xlprompt.data import DataError, task
from xlprompt.evaluation import LanguageResult, Score, TransferReport, bar_chart, language_result, score_table

XNLI, NER = task("xnli"), task("ner")


def result(language: str, accuracy: float, *, collapsed: bool = False, **other: float) -> LanguageResult:
    scores = {name: Score(value, 1.0) for name, value in {"accuracy": accuracy, **other}.items()}
    return LanguageResult(language, 100, 100, scores, 33.3, "neutral", 40.0, collapsed)


def report(*results: LanguageResult, metric: str = "accuracy", train_language: str = "en") -> TransferReport:
    return TransferReport("xnli", "test", metric, train_language, {row.language: row for row in results})


def scored(*, language: str, examples: int, seed: int) -> LanguageResult:
    rng = np.random.default_rng(seed)
    gold = rng.integers(3, size=(examples, 1))
    predicted = np.where(rng.random((examples, 1)) < 0.7, gold, rng.integers(3, size=(examples, 1)))
    return language_result(XNLI, language, gold.tolist(), predicted.tolist())


def test_the_mean_takes_in_the_training_language_and_the_zero_shot_mean_does_not():
    by_language = report(result("en", 90), result("de", 70), result("sw", 50))
    assert by_language.mean().value == pytest.approx(70)
    assert by_language.mean_zero_shot().value == pytest.approx(60)
    assert by_language.transfer_gap().value == pytest.approx(30)
    assert by_language.zero_shot_languages == ("de", "sw")


def test_any_metric_can_be_averaged():
    by_language = report(result("en", 90, f1=80), result("de", 70, f1=40))
    assert by_language.mean("f1").value == 60
    assert by_language.transfer_gap("f1").value == 40


def test_without_the_training_language_every_language_is_zero_shot_and_there_is_no_gap():
    by_language = report(result("de", 70), result("sw", 50))
    assert by_language.mean_zero_shot().value == by_language.mean().value == 60
    assert by_language.transfer_gap() is None
    assert "test/accuracy/transfer_gap" not in by_language.metrics()


def test_the_training_language_alone_has_neither_zero_shot_mean_nor_gap():
    by_language = report(result("en", 90))
    assert by_language.mean().value == 90
    assert by_language.mean_zero_shot() is None
    assert by_language.transfer_gap() is None
    assert by_language.metrics() == {
        "test/accuracy/en": 90,
        "test/accuracy/mean": 90,
        "test/collapsed_languages": 0,
    }


def test_metrics_have_flat_names_and_finite_values():
    rows = [result("en", 90, f1=80), result("de", 70, f1=40, collapsed=True)]
    metrics = report(*rows, metric="f1").metrics()
    summaries = ("en", "de", "mean", "mean_zero_shot", "transfer_gap")
    assert set(metrics) == {
        f"test/{metric}/{name}" for metric in ("accuracy", "f1") for name in summaries
    } | {"test/collapsed_languages"}
    assert metrics["test/f1/transfer_gap"] == 40
    assert metrics["test/collapsed_languages"] == 1
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_report_goes_through_json():
    by_language = report(
        scored(language="en", examples=50, seed=1), scored(language="sw", examples=1, seed=2)
    )
    content = json.loads(json.dumps(by_language.to_dict(), allow_nan=False))
    assert content["results"]["en"]["scores"]["accuracy"]["stderr"] > 0
    assert content["results"]["sw"]["scores"]["accuracy"]["stderr"] is None
    assert content["summary"]["accuracy"]["mean"]["value"] == pytest.approx(by_language.mean().value)


def test_languages_are_ordered_by_pre_training_tokens():
    codes = ["sw", "yo", "de", "af", "en", "ru"]
    ordered = report(*(result(code, 50) for code in codes)).by_resources()
    assert [row.language for row in ordered] == ["en", "ru", "de", "sw", "af", "yo"]


def test_a_language_that_is_not_in_the_table_is_named():
    with pytest.raises(DataError, match="unknown language 'xx'"):
        report(result("xx", 50)).by_resources()


def test_collapsed_languages_are_listed():
    rows = (result("en", 90), result("de", 13, collapsed=True), result("hi", 0, collapsed=True))
    assert report(*rows).collapsed_languages == ("de", "hi")


def test_language_result_counts_examples_and_readouts():
    row = language_result(NER, "en", [[0, 1, 2], [0]], [[0, 1, 2], [0]])
    assert (row.language, row.examples, row.readouts) == ("en", 2, 4)
    assert (row.scores["f1"].value, row.majority, row.top_predicted, row.top_predicted_share) == (
        100.0,
        50.0,
        "O",
        50.0,
    )


# ------------------------------------------------------------------------------------------ standard errors


def test_the_error_of_a_mean_over_unrelated_test_sets_shrinks_with_their_number():
    rows = [
        scored(language=code, examples=500 + 10 * i, seed=i)
        for i, code in enumerate(["de", "fr", "ru", "sw"])
    ]
    alone = np.sqrt(sum(row.scores["accuracy"].stderr ** 2 for row in rows)) / 4
    assert report(*rows).mean().stderr == pytest.approx(alone, rel=0.1)


def test_unrelated_test_sets_of_one_size_are_not_taken_for_parallel_ones():
    rows = [scored(language=code, examples=2000, seed=i) for i, code in enumerate(["de", "fr", "ru", "sw"])]
    alone = np.sqrt(sum(row.scores["accuracy"].stderr ** 2 for row in rows)) / 4
    assert report(*rows).mean().stderr == pytest.approx(alone, rel=0.15)


def test_the_error_of_a_mean_over_parallel_test_sets_counts_their_correlation():
    rows = [
        scored(language=code, examples=500, seed=7) for code in ("en", "de", "fr", "ru")
    ]  # the same answers
    by_language = report(*rows)
    assert by_language.mean().stderr == pytest.approx(rows[0].scores["accuracy"].stderr, rel=0.08)
    assert by_language.transfer_gap().stderr == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_the_mean_over_one_language_has_that_languages_standard_error(metric: str):
    rng = np.random.default_rng(4)
    gold = rng.integers(len(NER.labels), size=(24, 6))
    predicted = np.where(rng.random((24, 6)) < 0.7, gold, 0)
    row = language_result(NER, "en", gold.tolist(), predicted.tolist())
    by_language = TransferReport("ner", "validation", "f1", "en", {"en": row})
    assert by_language.mean(metric).stderr == pytest.approx(row.scores[metric].stderr, rel=1e-12)


def test_each_language_of_a_mean_has_the_factor_of_its_own_examples():
    rows = scored(language="en", examples=6, seed=1), scored(language="sw", examples=400, seed=2)
    by_language = report(*rows)
    few, many = (row.scores["accuracy"] for row in rows)
    # The draws are independent; of their correlation the noise is left, 1 / sqrt(1000).
    expected = np.hypot(few.stderr, many.stderr)
    assert by_language.transfer_gap().stderr == pytest.approx(expected, rel=0.02)
    assert by_language.mean().stderr == pytest.approx(expected / 2, rel=0.02)


def test_a_language_without_standard_error_leaves_the_mean_without_one():
    rows = scored(language="en", examples=50, seed=1), scored(language="sw", examples=1, seed=2)
    assert report(*rows).mean().stderr is None
    assert report(*rows).transfer_gap().stderr is None


# ------------------------------------------------------------------------------------------ refusals


def test_a_report_without_languages_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        report()


def test_a_result_under_another_code_is_refused():
    with pytest.raises(ValueError, match="'de' is filed under 'fr'"):
        TransferReport("xnli", "test", "accuracy", "en", {"fr": result("de", 50)})


def test_languages_with_other_metrics_are_refused():
    with pytest.raises(ValueError, match="'de' has the metrics"):
        report(result("en", 90), result("de", 70, f1=40))


def test_a_main_metric_that_nobody_has_is_refused():
    with pytest.raises(ValueError, match="main metric 'f1'"):
        report(result("en", 90), metric="f1")


@pytest.fixture
def without_entities():
    """NER in three languages, of which Swahili has no entity; the model finds none or one there."""

    def report(found_in_swahili):
        person, outside = NER.labels.index("B-PER"), NER.labels.index("O")
        gold, right = [[person, outside], [outside, person]], [[person, outside], [outside, outside]]
        none = [[outside, outside], [outside, outside]]
        results = {
            "en": language_result(NER, "en", gold, gold),
            "de": language_result(NER, "de", gold, right),
            "sw": language_result(
                NER, "sw", none, [[person, outside], none[1]] if found_in_swahili else none
            ),
        }
        return TransferReport("ner", "test", "f1", "en", results)

    return report


@pytest.mark.parametrize("found_in_swahili", [False, True])
def test_a_test_set_without_entities_has_no_f1_and_is_in_no_mean(without_entities, found_in_swahili):
    report = without_entities(found_in_swahili)
    assert not report.results["sw"].scores["f1"].is_defined
    assert report.zero_shot_scored == ("de",)
    assert report.mean_zero_shot().value == pytest.approx(report.results["de"].scores["f1"].value)
    assert report.mean().value == pytest.approx((100 + report.results["de"].scores["f1"].value) / 2)
    logged = report.metrics()
    assert "test/f1/sw" not in logged
    assert logged["test/accuracy/sw"] == (75 if found_in_swahili else 100)
    assert all(math.isfinite(value) for value in logged.values())
    assert report.to_dict()["results"]["sw"]["scores"]["f1"] == {"value": None, "stderr": None}


def test_f1_beside_accuracy_is_in_no_mean_where_there_is_no_entity():
    tagging = replace(NER, name="own-tags", metrics=("accuracy", "f1", "precision", "recall"))
    person, outside = NER.labels.index("B-PER"), NER.labels.index("O")
    some, none = [[person, outside], [outside, person]], [[outside, outside], [outside, outside]]
    right = {"en": some, "de": some, "sw": none}
    results = {code: language_result(tagging, code, gold, gold) for code, gold in right.items()}
    report = TransferReport("own-tags", "test", "accuracy", "en", results)
    assert report.zero_shot_scored == ("de", "sw")
    logged = report.metrics()
    assert logged["test/accuracy/mean_zero_shot"] == 100
    assert not {f"test/{name}/sw" for name in ("f1", "precision", "recall")} & logged.keys()
    assert logged["test/f1/mean"] == logged["test/f1/mean_zero_shot"] == 100
    assert logged["test/f1/transfer_gap"] == 0
    console = Console(file=io.StringIO(), width=120)
    console.print(score_table(report))
    assert "no entity in the test set, so no F1; such a language is in no mean of it." in " ".join(
        console.file.getvalue().split()
    )


def test_the_table_says_that_there_is_no_f1(without_entities, tmp_path):
    console = Console(file=io.StringIO(), width=110)
    console.print(score_table(without_entities(False)))
    (line,) = [line for line in console.file.getvalue().splitlines() if "Swahili" in line]
    assert "n/a" in line
    assert "100.0" in line
    assert "zero-shot mean (1)" in console.file.getvalue()
    assert "n/a: no entity in the test set" in console.file.getvalue()
    assert bar_chart(without_entities(False), tmp_path / "chart.png").stat().st_size > 0


def test_no_language_with_entities_leaves_no_mean(without_entities):
    results = {"sw": without_entities(False).results["sw"]}
    report = TransferReport("ner", "test", "f1", "en", results)
    assert not report.mean().is_defined
    assert report.mean_zero_shot() is None
    assert report.to_dict()["summary"]["f1"]["mean"] == {"value": None, "stderr": None}
