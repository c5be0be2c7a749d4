"""The failure signs: what is seen, what is shown to be absent, and what the data cannot tell."""

import pytest
from simulated_studies import make_runs

from xlprompt.evaluation import compare
from xlprompt.evaluation.comparison.failure_signs import failure_signs, fallen, text_losses
from xlprompt.evaluation.comparison.learning import LanguageCurves
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.studies.reports.tables import text_loss


@pytest.fixture(scope="module")
def comparison():
    return compare(make_runs(), samples=300)


def signs(comparison, runs=(), heads=None):
    return dict(
        zip(
            ("majority", "head", "forgetting", "falling"), failure_signs(comparison, runs, heads), strict=True
        )
    )


def curved(drops, examples=100):
    """Fine-tuning runs with a curve; Swahili ends so many points below its best, English at its own."""
    return [
        RunFacts(
            "xnli",
            "finetune",
            seed,
            "nano",
            language_curves=LanguageCurves((1, 9), {"en": (60.0, 80.0), "sw": (60.0, 60.0 - drop)}, examples),
        )
        for seed, drop in enumerate(drops)
    ]


@pytest.mark.parametrize(
    ("drops", "finding"),
    [
        ((30, 30, 0), "seen"),
        ((0, 5, 0), "not seen"),  # five points are noise
        ((30, 0, 0), "undecided"),
        ((30, 30, 0, 0, 0), "undecided"),  # two, and not most of five
        ((0,), "undecided"),
    ],
)
def test_with_curves_a_fall_in_training_is_looked_for_too(comparison, drops, finding):
    *four, fifth = failure_signs(comparison, curved(drops))
    assert four == list(failure_signs(comparison, []))
    assert (len(four), fifth.finding) == (4, finding)
    assert ("xnli finetune sw (2 of 3 seeds)" in fifth.evidence) == (finding == "seen")
    if finding == "not seen":  # small samples could not have shown a large fall
        assert failure_signs(comparison, curved(drops, 30))[-1].finding == "undecided"


def losses(change, *, method="finetune", seeds=3, noise=0.001):
    return [
        RunFacts("xnli", method, seed, "nano", text_loss={"en": (2.0, 2.0 + change + noise * seed)})
        for seed in range(seeds)
    ]


def against_head(gap, **changes):
    return {"prompt": compare(make_runs(gap, alike=True, examples=2000, **changes), samples=300)}


def test_without_head_runs_and_text_losses_only_the_majority_is_checked(comparison):
    found = signs(comparison)
    assert found["majority"].finding == "not seen"
    for name, what in (
        ("head", "METHODS=head"),
        ("falling", "METHODS=head"),
        ("forgetting", "language_model"),
    ):
        assert found[name].finding == "not checked"
        assert what in found[name].evidence


def test_a_language_at_the_majority_baseline_is_seen():
    found = signs(compare(make_runs(majority=60.0), samples=300))["majority"]
    assert found.finding == "seen"
    assert found.evidence.startswith("of 30 scores, ")


def test_scores_of_one_seed_are_not_shown_to_be_above_the_majority():
    found = signs(compare(make_runs(seeds=(0,)), samples=300))["majority"]
    assert found.finding == "undecided"
    assert "30 of them not significantly" in found.evidence


def test_a_collapsed_seed_is_seen_above_the_majority_too():
    runs = make_runs()
    counts = runs["xnli"].languages["de"]
    object.__setattr__(counts, "collapsed", (False, True, False, False, False, False))
    comparison = compare(runs, samples=300)
    assert [(row.language, row.method) for row in comparison.scores if row.collapsed] == [("de", "prompt")]
    assert signs(comparison)["majority"].finding == "seen"


@pytest.mark.parametrize(
    ("gap", "finding"),
    [
        (10.0, "not seen"),
        (-10.0, "seen"),
        (lambda code: 10.0 if code == "en" else -5.0, "seen"),
        (lambda code: -10.0 if code == "en" else 10.0, "seen"),
    ],
)
def test_gain_over_the_head_needs_english_and_zero_shot(comparison, gap, finding):
    assert signs(comparison, heads=against_head(gap))["head"].finding == finding


def test_one_seed_tells_nothing_of_a_gain_over_the_head(comparison):
    found = signs(comparison, heads=against_head(10.0, seeds=(0,)))
    assert found["head"].finding == found["falling"].finding == "undecided"


@pytest.mark.parametrize(
    ("change", "noise", "finding"),
    [(0.2, 0.001, "seen"), (0.0, 0.0, "not seen"), (-0.1, 0.001, "not seen"), (0.0, 0.1, "undecided")],
)
def test_forgetting_is_a_rise_of_the_loss_on_text(comparison, change, noise, finding):
    assert signs(comparison, losses(change, noise=noise))["forgetting"].finding == finding


def test_text_losses_count_the_languages_that_all_seeds_have():
    first = RunFacts("xnli", "prompt", 0, "nano", text_loss={"en": (2.0, 2.5), "sw": (4.0, 4.0)})
    second = RunFacts("xnli", "prompt", 1, "nano", text_loss={"en": (2.0, 2.7)})
    (row,) = text_losses([first, second, RunFacts("xnli", "prompt", 2, "nano")])
    assert row.by_language == pytest.approx({"en": 0.6})
    assert row.before == 2.0
    assert (row.change.mean, row.change.seeds) == (pytest.approx(0.6), 2)


def test_languages_fall_only_where_english_rises(comparison):
    def english_rises(code):
        return {"en": 15.0, "sw": -15.0}.get(code, 0.0)

    def all_fall(code):
        return -15.0 if code in ("en", "sw") else 0.0

    rising, falling = against_head(english_rises), against_head(all_fall)
    assert [row.language for row in fallen(rising["prompt"], "xnli")] == ["sw"]
    assert signs(comparison, heads=rising)["falling"].finding == "seen"
    assert signs(comparison, heads=falling)["falling"].finding == "undecided"
    assert signs(comparison, heads=against_head(15.0))["falling"].finding == "not seen"


@pytest.mark.parametrize(
    ("english", "others", "finding"),
    [(15.0, -1.0, "undecided"), (0.0, 15.0, "undecided"), (15.0, 2.0, "not seen")],  # 2.0 [-0.2, 4.2]
    ids=["others a little lower", "English no higher", "others within a point"],
)
def test_that_no_language_falls_needs_english_higher_and_the_others_no_lower(
    comparison, english, others, finding
):
    heads = against_head(lambda code: english if code == "en" else others)
    assert signs(comparison, heads=heads)["falling"].finding == finding


def test_equal_changes_of_the_loss_are_told_in_the_studys_order():
    same = dict.fromkeys(("ar", "sw", "ru", "en"), (2.0, 2.0))
    (row,) = text_loss(text_losses([RunFacts("xnli", "head", 0, "nano", text_loss=same)])).rows
    assert row[-1] == "en +0.000, ru +0.000, ar +0.000"
