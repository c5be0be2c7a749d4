"""Two methods compared: what is averaged over what, who wins, and what the report gets."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from simulated_studies import XNLI, by_resources, make_runs

from xlprompt.data import language, task
from xlprompt.evaluation import compare, load_runs, save_predictions
from xlprompt.evaluation.comparison.statistics import holm


def row(rows, **wanted):
    (found,) = [each for each in rows if all(getattr(each, key) == value for key, value in wanted.items())]
    return found


@pytest.fixture(scope="module")
def study():
    """Twelve points better where resources are low, equal elsewhere."""
    return compare(make_runs(by_resources(12.0, 0.0)))


def test_scores_are_means_over_seeds_with_their_spread():
    runs = make_runs()
    study = compare(runs)
    found = row(study.scores, language="sw", method="finetune")
    values = 100 * runs["xnli"].languages["sw"].numerators[3:].mean(axis=1)
    assert found.values == pytest.approx(values.tolist())
    assert (found.spread.mean, found.spread.deviation) == pytest.approx((values.mean(), values.std(ddof=1)))
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.spread.low, found.spread.high) == pytest.approx((interval.low, interval.high))
    assert len(study.scores) == 2 * len(XNLI)


def test_a_difference_is_the_methods_mean_minus_the_baselines(study):
    found = row(study.differences, language="sw")
    prompt, finetune = (
        row(study.scores, language="sw", method=m).spread.mean for m in ("prompt", "finetune")
    )
    assert (found.method, found.baseline) == pytest.approx((prompt, finetune))
    assert found.estimate.value == pytest.approx(prompt - finetune)
    assert found.estimate.low < 12 < found.estimate.high


def test_wins_are_the_differences_that_survive_holms_correction_over_the_tasks_languages(study):
    rows = study.differences
    assert [each.p_adjusted for each in rows] == pytest.approx(holm([each.estimate.p_far() for each in rows]))
    for each in rows:
        expected = "tie" if each.p_adjusted > 0.05 else "win" if each.estimate.value > 0 else "loss"
        assert each.outcome == expected
    low = [each for each in rows if language(each.language).resource_level == "low"]
    assert {each.language for each in rows if each.outcome == "win"} == {each.language for each in low}


def test_a_tally_counts_outcomes_and_who_is_ahead(study):
    (tally,) = study.tallies
    assert (tally.wins, tally.ties, tally.losses) == (3, 12, 0)
    assert tally.ahead == sum(each.estimate.value > 0 for each in study.differences)


def test_swapping_the_methods_swaps_wins_and_losses():
    runs = make_runs(by_resources(12.0, 0.0))
    there, back = compare(runs), compare(runs, method="finetune", baseline="prompt")
    assert back.tallies[0].losses == there.tallies[0].wins == 3
    for left, right in zip(there.differences, back.differences, strict=True):
        assert right.estimate.value == pytest.approx(-left.estimate.value)
        assert right.p_adjusted == pytest.approx(left.p_adjusted)


def test_a_group_is_a_plain_mean_over_its_languages_without_the_one_trained_on(study):
    high = row(study.groups, grouping="resource level", group="high")
    assert high.languages == ("ru", "zh", "de", "es", "fr")
    values = [row(study.differences, language=code).estimate.value for code in high.languages]
    assert high.estimate.value == pytest.approx(np.mean(values))
    assert high.method - high.baseline == pytest.approx(high.estimate.value)
    assert row(study.groups, grouping="all").languages == XNLI
    assert row(study.groups, grouping="zero-shot").languages == XNLI[1:]
    assert row(study.groups, grouping="script", group="Arabic").languages == ("ar", "ur")
    assert row(study.groups, grouping="family", group="Turkic").languages == ("tr",)


def test_a_mean_over_languages_counts_what_runs_share_across_them():
    """Runs that are good in one language are good in all: their mean is no surer than one language."""
    one = make_runs(deviation=4.0, languages=("de",), examples=4000)["xnli"]
    same = dict.fromkeys(("de", "es", "fr", "ru"), one.languages["de"])
    study = compare({"xnli": replace(one, languages=same)})
    single, mean = row(study.differences, language="de"), row(study.groups, grouping="all")
    assert mean.estimate.stderr == pytest.approx(single.estimate.stderr)
    separate = compare(make_runs(deviation=4.0, languages=("de", "es", "fr", "ru"), examples=4000))
    alone = [each.estimate.stderr for each in separate.differences]
    assert row(separate.groups, grouping="all").estimate.stderr == pytest.approx(
        np.sqrt(np.square(alone).sum()) / 4,
        rel=0.6,  # of three seeds each
    )


def test_the_difference_is_correlated_with_tokens_over_zero_shot_languages(study):
    (found,) = study.correlations
    rows = [each for each in study.differences if each.language != "en"]
    tokens = [language(each.language).tokens for each in rows]
    expected = stats.spearmanr(tokens, [each.estimate.value for each in rows]).statistic
    assert found.correlation.rho == pytest.approx(expected)
    assert found.correlation.languages == 14
    assert found.correlation.rho < 0
    assert found.correlation.low < found.correlation.rho < found.correlation.high


def test_skill_is_a_score_above_the_majority_baseline():
    sure = compare(make_runs(score=60.0, majority=34.0))
    assert {each.skilled for each in sure.scores} == {True}
    guessing = compare(make_runs(score=33.0, majority=34.0))
    assert not any(each.skilled for each in guessing.scores)


def test_the_same_runs_give_the_same_figures():
    runs = make_runs()
    assert compare(runs).to_dict() == compare(runs).to_dict()
    assert compare(runs).to_dict() != compare(runs, seed=1).to_dict()


def test_paired_seeds_need_the_same_numbers():
    runs = make_runs(seeds=(0, 1, 2), baseline_seeds=(0, 1))
    with pytest.raises(ValueError, match=r"'xnli' has \[0, 1, 2\] of prompt and \[0, 1\] of finetune"):
        compare(runs, seeds="paired")
    (task_row,) = compare(runs).to_dict()["tasks"]
    assert (task_row["seeds"], task_row["method_seeds"], task_row["baseline_seeds"]) == (
        "independent",
        [0, 1, 2],
        [0, 1],
    )


def test_paired_seeds_have_half_the_degrees_of_freedom():
    runs = make_runs(examples=100_000, languages=("de",), deviation=3.0)
    paired, independent = (compare(runs, seeds=how, samples=200) for how in ("paired", "independent"))
    assert paired.differences[0].estimate.seed_df == 2
    assert 2 < independent.differences[0].estimate.seed_df <= 4
    assert paired.differences[0].estimate.value == pytest.approx(independent.differences[0].estimate.value)


def test_one_seed_gives_differences_without_intervals_and_no_wins():
    study = compare(make_runs(20.0, seeds=(0,)))
    assert {each.outcome for each in study.differences} == {None}
    assert {each.p_adjusted for each in study.differences} == {None}
    assert {each.skilled for each in study.scores} == {None}
    assert all(each.estimate.value > 10 and each.estimate.example_stderr > 0 for each in study.differences)


def test_a_missing_method_is_an_error():
    with pytest.raises(
        ValueError, match="No run of task 'xnli' is of method 'lora', only of prompt, finetune"
    ):
        compare(make_runs(), method="lora")


def test_the_report_gets_flat_records_that_json_holds(study):
    content = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert set(content) >= {"scores", "differences", "tallies", "groups", "correlations", "tasks", "method"}
    first = content["differences"][0]
    assert set(first) >= {"task", "language", "value", "low", "high", "p_value", "p_adjusted", "outcome"}
    assert not any(isinstance(value, dict) for value in first.values())
    assert set(content["scores"][0]) >= {"values", "spread_mean", "spread_deviation", "value", "low"}
    assert set(content["correlations"][0]) >= {"rho", "low", "high", "p_value", "languages"}


@pytest.mark.integration
def test_from_files_to_a_comparison(tmp_path: Path):
    pos = task("pos")
    rng = np.random.default_rng(0)
    runs = {}
    for code in ("en", "de", "eu"):
        gold = [rng.integers(17, size=rng.integers(3, 12)).tolist() for _ in range(60)]
        for method, right in (("prompt", 0.8), ("finetune", 0.6)):
            for seed in (0, 1, 2):
                predicted = [[g if rng.random() < right else (g + 1) % 17 for g in s] for s in gold]
                path = tmp_path / method / str(seed) / f"{code}.jsonl.gz"
                ids = [str(number) for number in range(60)]
                save_predictions(
                    path, task=pos, language=code, split="test", ids=ids, gold=gold, predicted=predicted
                )
                runs.setdefault(("pos", method, seed), {})[code] = path
    study = compare(load_runs(runs))
    assert [each.language for each in study.differences] == ["en", "de", "eu"]
    assert [each.outcome for each in study.differences] == ["win"] * 3
    assert study.tasks["pos"].metric == "accuracy"
