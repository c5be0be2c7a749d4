"""Signs on simulated runs whose best rate is known: which sign finds it, and which is led astray."""

import numpy as np
import pytest

from xlprompt.studies.analyses.signs.findings import (
    AGREEMENT,
    COLLAPSE,
    ENGLISH,
    KAPPA,
    Family,
    judge_signs,
)
from xlprompt.studies.analyses.signs.label_free import agreement, beyond_chance, collapse, diversity, shares
from xlprompt.studies.analyses.signs.section import signs_answers, signs_section

RATES, SEEDS = (1e-3, 3e-3, 1e-2, 3e-2), (0, 1, 2)
OUTCOMES = (50.0, 60.0, 52.0, 34.0)  # the second rate is the best; the last one has collapsed


def simulated(number, *, seeds=SEEDS, labels=3, examples=400):
    """Runs whose targets are right more often at better rates; English likes the third rate best."""
    rng = np.random.default_rng(number)
    gold = rng.integers(labels, size=examples)
    answers = []
    for outcome in OUTCOMES:
        of_rate = []
        for _ in seeds:
            right = rng.random(examples) < outcome / 100
            guess = np.zeros(examples, int) if outcome < 40 else rng.integers(labels, size=examples)
            of_rate.append(guess if outcome < 40 else np.where(right, gold, guess))
        answers.append(of_rate)
    zero_shot = np.array([[100 * agreement(each, gold) for each in of_rate] for of_rate in answers])
    english = np.array([80.0, 81.0, 83.0, 78.0])[:, None] + rng.normal(0, 0.2, (4, len(seeds)))
    prior = np.full(labels, 1 / labels)

    def pairs(figure):
        return np.array([[[figure(a, b) for b in of_rate] for a in of_rate] for of_rate in answers])

    return Family(
        f"task{number}",
        "prompt",
        "accuracy",
        RATES,
        tuple(seeds),
        zero_shot,
        {
            ENGLISH: english,
            COLLAPSE: -np.array([[collapse(each, prior) for each in of_rate] for of_rate in answers]),
        },
        {AGREEMENT: pairs(agreement), KAPPA: pairs(lambda a, b: beyond_chance(a, b, labels))},
    )


@pytest.fixture(scope="module")
def families():
    return [simulated(number) for number in range(5)]


@pytest.fixture(scope="module")
def results(families):
    return {each.sign: each for each in judge_signs(families, draws=500)}


def test_the_sign_that_knows_has_no_regret_and_is_better_than_english(results):
    assert (results[KAPPA].best, results[KAPPA].families) == (5, 5)
    assert results[KAPPA].regret.value == 0
    assert results[KAPPA].finding == "better"
    assert results[KAPPA].against_english.high < 0


def test_english_loses_what_the_rate_that_it_likes_transfers_less(families, results):
    lost = np.mean([each.zero_shot[1].mean() - each.zero_shot[2].mean() for each in families])
    assert results[ENGLISH].regret.value == pytest.approx(lost)
    assert results[ENGLISH].regret.low < lost < results[ENGLISH].regret.high
    assert (results[ENGLISH].finding, results[ENGLISH].against_english) == ("", None)


def test_runs_that_all_give_one_label_agree_and_lead_plain_agreement_astray(families, results):
    assert all(family.picks(AGREEMENT) == (3e-2,) for family in families)
    assert results[AGREEMENT].finding == "worse"
    assert results[AGREEMENT].regret.value > results[AGREEMENT].random


def test_one_seed_has_no_pairs_and_equally_good_rates_share_the_pick():
    alone = simulated(9, seeds=(0,))
    assert alone.signs == (ENGLISH, COLLAPSE)
    flat = Family(
        "t", "m", "a", (1.0, 2.0), (0,), np.array([[10.0], [20.0]]), {ENGLISH: np.zeros((2, 1))}, {}
    )
    (result,) = judge_signs([flat], draws=100)
    assert flat.picks(ENGLISH) == (1.0, 2.0)
    assert result.regret.value == result.random == 5
    assert (result.regret.low, result.best) == (None, 0)


def test_figures_of_predictions_need_no_label():
    one, other = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    prior = shares(np.array([0, 1, 2, 0]), 3)
    assert collapse(one, prior) == pytest.approx((0.75 - 0.5) / 0.5)
    assert collapse(np.array([0, 1, 2]), prior) == 0
    assert diversity(other, 3) == pytest.approx(np.log(2))
    assert agreement(one, other) == 0.75
    assert beyond_chance(one, other, 3) == pytest.approx((0.75 - 0.5) / 0.5)
    assert beyond_chance(np.zeros(3, int), np.zeros(3, int), 3) == 0


def test_the_section_says_what_was_picked_and_what_it_cost(families, results):
    section = signs_section(families, list(results.values()))
    regrets, means, picked = (part for part in section.content if hasattr(part, "rows"))
    assert [row[-1] for row in regrets.rows] == ["–", results[COLLAPSE].finding, "worse", "better"]
    assert all(row[1] == "0.003" for row in picked.rows)
    assert [row[0] for row in means.rows] == [family.name for family in families]
    best = means.columns.index("0.003")
    for row, family in zip(means.rows, families, strict=True):
        scores = family.zero_shot[list(family.rates).index(0.003)]
        assert row[best].startswith(f"{np.mean(scores):.1f} ± ")
    assert [row[0] for row in section.brief.rows] == list(results)


def test_the_answer_says_what_english_costs_and_which_sign_costs_least(results):
    (answer,) = signs_answers(list(results.values()))
    assert "3 signs that need no labels, against that: 1 better, 1 worse, 1 undecided" in answer
    assert answer.endswith("Least is lost by 'seeds agree beyond chance' (0.0).")
    assert signs_answers([results[ENGLISH]]) == []
