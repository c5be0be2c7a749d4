"""How many more seeds or languages would decide a claim, on studies whose truth is known."""

import numpy as np
import pytest
from simulated_studies import POS, XNLI, by_resources, make_runs

from xlprompt.evaluation import compare, judge
from xlprompt.evaluation.comparison.correlation import RankTest, rank_correlation
from xlprompt.evaluation.comparison.decisive import MOST_SEEDS, what_decides
from xlprompt.evaluation.comparison.simulated import SeenStudy
from xlprompt.evaluation.comparison.statistics import Estimate, joined
from xlprompt.evaluation.comparison.verdicts import GranularityEffect

SHARES = {"xnli": 0.1312}


def study(gap=0.0, **options):
    """One task with three seeds whose test examples are no hindrance."""
    options = {"examples": 1000, "deviation": 0.2, "alike": True, **options}
    return compare(make_runs(gap, **options), samples=200)


def needs(comparison, *, margin=1.0, simulations=40, **known):
    verdicts = judge(comparison, margin=margin, trainable_percent=SHARES, **known)
    found = what_decides(comparison, verdicts, margin=margin, simulations=simulations, **known)
    assert [each is None for each in found] == [each.verdict != "undecided" for each in verdicts]
    return found


@pytest.fixture(scope="module")
def noisy():
    """Prompts are better by six points, in low-resource languages by twelve; seeds differ widely."""
    return study(by_resources(12.0, 6.0), deviation=2.0)


@pytest.mark.parametrize(
    ("gap", "options"),
    [
        (by_resources(8.0, 2.0), {"seeds": (0, 1, 2, 3, 4)}),
        (0.0, {"seeds": (0, 1, 2, 3, 4)}),
        (lambda code: -8.0 if code == "th" else 2.0, {}),
        (by_resources(3.0, 0.0), {"deviation": 2.0, "alike": False, "baseline_seeds": (0, 1)}),
    ],
)
def test_a_study_as_it_was_seen_gets_its_own_verdicts(gap, options):
    comparison = study(gap, **options)
    experiment = GranularityEffect(
        Estimate(3.0, 1.0, 5.0, 0.01, 1.0, 8.0, 0.5, 4.0, 0.5), {"xnli": ("de", "es")}, (0.0, 1.0), 3, "both"
    )
    fertility = {code: 1.0 + 0.1 * place for place, code in enumerate(XNLI)}
    first, _, third, fourth = judge(comparison, fertility=fertility, granularity=experiment)
    seen = SeenStudy(comparison, 1.0, fertility, experiment.slope, experiment.seeds)
    assert seen.judged(seen.scores) == (first.verdict, third.verdict, fourth.verdict)


def test_the_variances_of_a_simulated_figure_are_those_of_the_study(noisy):
    seen = SeenStudy(noisy, 1.0)
    usable = {"xnli": dict.fromkeys(seen.languages, 0.0)}
    found = seen._advantage(seen.scores, usable, seen.languages, endless=False)
    known = judge(noisy)[2].evidence["advantage"]
    for name in ("value", "low", "high", "stderr", "df", "seed_stderr"):
        assert getattr(found, name) == pytest.approx(known[name], rel=1e-6)


def test_further_seeds_vary_as_the_seen_ones_do_and_leave_those_in_place(noisy):
    seen = SeenStudy(noisy, 1.0)
    ours, _ = seen.scores["xnli"]
    drawn, _ = seen.with_seeds(4003, np.random.default_rng(0))["xnli"]
    assert np.array_equal(drawn[:3], ours)
    assert drawn[3:].mean(axis=0) == pytest.approx(ours.mean(axis=0), abs=0.3)
    assert np.cov(drawn[3:], rowvar=False) == pytest.approx(np.cov(ours, rowvar=False), abs=1.5)


@pytest.fixture(scope="module")
def needed(noisy):
    return needs(noisy)


def test_a_clear_effect_needs_few_more_seeds(needed):
    first, _, _, _ = needed
    assert first.seeds is not None
    assert 3 < first.seeds <= 15
    assert first.likely == "supported"
    assert first.brief == f"{first.seeds} seeds would decide it, likely as supported"
    assert f"With {first.seeds} seeds of each task and method instead of 3" in first.text


def test_equal_methods_are_shown_to_be_on_par_by_enough_seeds():
    found = needs(study(0.0, deviation=0.8), margin=4.0)
    assert found[0].likely == "supported"
    assert found[1].seeds == found[0].seeds  # the shares are as claimed
    assert found[2] is None or found[2].likely == "not supported"


def test_an_effect_at_the_rule_is_decided_by_no_number_of_seeds():
    comparison = study(0.0, deviation=0.8)
    at_the_rule = -min(row.estimate.value for row in comparison.differences)
    first = needs(comparison, margin=at_the_rule)[0]
    assert first.seeds is None
    assert first.brief in ("more seeds alone would not decide it", f"not within {MOST_SEEDS} seeds")


@pytest.mark.parametrize(
    ("languages", "also"), [(("en",), ()), (("en", "de", "sw"), ("de", "sw"))], ids=["English", "all"]
)
def test_where_every_language_was_trained_on_more_of_them_are_not_asked_for(languages, also):
    runs = make_runs(2.0, languages=languages, examples=300, deviation=0.5)
    comparison = compare(runs, samples=100, also_trained_on=also)
    found = what_decides(comparison, judge(comparison, trainable_percent=SHARES), simulations=10)
    assert [each.brief for each in found[2:]] == ["needs other languages"] * 2


def test_seeds_that_make_the_experiment_sure_decide_the_fourth_claim(noisy):
    """The sweep's own seeds leave its slope open, and many more would not."""
    slope = joined(-1.5, [4.0], [3], 0.05, 10**6)
    experiment = GranularityEffect(slope, {"xnli": ("de", "es")}, (0.0, 1.0), 3, "both")
    fertility = {code: 1.0 + 0.13 * (7 * place % len(XNLI)) for place, code in enumerate(XNLI)}
    found = needs(noisy, fertility=fertility, granularity=experiment)[3]
    assert 10 <= found.seeds <= MOST_SEEDS
    assert found.likely == "not supported"


def test_what_test_examples_leave_open_no_number_of_seeds_decides():
    first = needs(study(0.0, examples=100, alike=False, deviation=0.5), margin=5.0)[0]
    assert first.seeds is None
    assert "the draw of test examples leaves it open" in first.text


def test_the_order_of_few_languages_is_decided_by_more_of_them():
    ahead = {"en": 0.0, "de": 0.0, "fi": 2.0, "hi": 4.0, "sw": 6.0}
    comparison = study(ahead.__getitem__, task="xnli", languages=tuple(ahead), seeds=(0, 1, 2, 3, 4))
    verdicts = judge(comparison)
    third = needs(comparison)[2]
    assert verdicts[2].evidence["advantage"]["low"] > 0
    assert third.seeds is None
    assert third.languages is not None
    assert third.likely == "supported"
    assert f"With {third.languages} zero-shot languages like these 4" in third.text


def test_without_shares_or_the_experiment_the_answer_says_so():
    comparison = study(by_resources(8.0, 2.0), seeds=(0, 1, 2, 3, 4))
    _, _, _, fourth = needs(comparison)
    assert fourth.seeds is None
    assert "make granularity" in fourth.text
    for shares, brief in (({"xnli": 0.4}, "needs shorter prompts"), (None, "needs the trainable shares")):
        verdicts = judge(comparison, trainable_percent=shares)
        assert what_decides(comparison, verdicts, simulations=5)[1].brief == brief


def test_one_seed_shows_no_spread():
    found = needs(study(5.0, seeds=(0,)))
    assert {each.brief for each in found} == {"needs three seeds"}
    assert found[1].text == f"As the first claim. {found[0].text}"


def test_more_seeds_are_no_answer_where_prompts_train_more_than_is_claimed():
    comparison = study(5.0, seeds=(0,))
    found = what_decides(comparison, judge(comparison, trainable_percent={"xnli": 0.95}))
    assert [each.brief for each in found] == [
        "needs three seeds",
        "needs shorter prompts",
        *2 * ["needs three seeds"],
    ]


def test_the_same_study_needs_the_same_number(noisy, needed):
    assert needs(noisy) == needed


def test_the_quick_rank_test_agrees_with_the_one_of_the_verdicts():
    rng = np.random.default_rng(3)
    for given in (None, rng.random(18)):
        x, y = rng.random(18), rng.random(18)
        y = y + 0.8 * x
        quick = RankTest(x, given, permutations=4999).of(y)
        whole = rank_correlation(x, y, given=given)
        assert quick[0] == pytest.approx(whole.rho)
        assert quick[1] == pytest.approx(whole.p_value, abs=0.02)
    assert RankTest([1, 2, 3]).of([1, 2, 3]) == (None, None)
    assert RankTest(range(8)).of([1.0] * 8) == (None, None)


def test_tasks_with_own_numbers_of_seeds_keep_the_seeds_that_they_have():
    runs = {**make_runs(0.0, examples=200), **make_runs(task="pos", languages=POS, seeds=tuple(range(6)))}
    seen = SeenStudy(compare(runs, samples=50), 1.0)
    drawn = seen.with_seeds(4, np.random.default_rng(0))
    assert [len(part) for both in drawn.values() for part in both] == [4, 4, 6, 6]
