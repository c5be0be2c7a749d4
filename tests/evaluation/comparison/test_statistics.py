"""Intervals, tests and corrections against scipy, textbook formulas and slow, obvious computations."""

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats
from seqeval.metrics import f1_score

from xlprompt.data import task
from xlprompt.evaluation.comparison.correlation import additive_effects, rank_correlation
from xlprompt.evaluation.comparison.statistics import Estimate, Part, estimate, holm, resample, spread
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED, example_counts

NER, POS = task("ner"), task("pos")


# ------------------------------------------------------------------------------------------ over seeds


def test_the_interval_over_seeds_is_scipys():
    values = [71.2, 68.9, 73.4]
    result = spread(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert (result.mean, result.deviation, result.seeds) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1), 3)
    )


def test_one_seed_has_no_spread():
    assert spread([70.0]) == (result := spread(np.array([70.0])))
    assert (result.mean, result.deviation, result.low, result.high, result.seeds) == (70, None, None, None, 1)


def test_no_seed_is_an_error():
    with pytest.raises(ValueError, match="no score"):
        spread([])


# ------------------------------------------------------------------------------------------ over examples


def sentences(of, number, right, seed):
    rng = np.random.default_rng(seed)
    gold = [rng.integers(len(of.labels), size=rng.integers(1, 15)).tolist() for _ in range(number)]
    runs = [
        [[g if rng.random() < share else int(rng.integers(len(of.labels))) for g in s] for s in gold]
        for share in right
    ]
    return gold, runs


def test_a_resample_scores_every_run_on_the_same_examples_and_anew_from_words():
    gold, runs = sentences(POS, 40, (0.8, 0.5), seed=1)
    counts = [example_counts(POS, gold, run)["accuracy"] for run in runs]
    replicates = resample(*(np.stack(part) for part in zip(*counts, strict=True)), samples=5)
    draws = np.random.default_rng([BOOTSTRAP_SEED, 40]).integers(40, size=(5, 40))
    for sample, drawn in enumerate(draws):
        for number, run in enumerate(runs):
            words = [(g, p) for i in drawn for g, p in zip(gold[i], run[i], strict=True)]
            expected = 100 * sum(g == p for g, p in words) / len(words)
            assert replicates[sample, number] == pytest.approx(expected)


def test_a_resampled_entity_f1_is_seqevals_on_the_resampled_sentences():
    gold, (run,) = sentences(NER, 40, (0.7,), seed=2)
    numerators, denominators = example_counts(NER, gold, run)["f1"]
    replicates = resample(numerators[None], denominators[None], samples=4)
    draws = np.random.default_rng([BOOTSTRAP_SEED, 40]).integers(40, size=(4, 40))
    for sample, drawn in enumerate(draws):
        names = [[[NER.labels[label] for label in part[i]] for i in drawn] for part in (gold, run)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert replicates[sample, 0] == pytest.approx(100 * f1_score(*names))


def test_the_bootstraps_standard_error_of_a_paired_difference_is_scipys():
    rng = np.random.default_rng(3)
    right = rng.random((2, 300)) < np.array([[0.7], [0.6]])
    replicates = resample(right.astype(float), np.ones((2, 300)), samples=4000)
    expected = stats.bootstrap(
        (right[0].astype(float), right[1].astype(float)),
        lambda a, b, axis: 100 * (a.mean(axis=axis) - b.mean(axis=axis)),
        paired=True,
        n_resamples=4000,
        rng=rng,
    ).standard_error
    # Each carries a noise of 1/sqrt(2 x 4000) = 1.1 %.
    assert (replicates[:, 0] - replicates[:, 1]).std() == pytest.approx(expected, rel=0.05)


def test_many_samples_at_once_and_few_at_a_time_are_the_same(monkeypatch):
    rng = np.random.default_rng(4)
    right, ones = (rng.random((3, 500)) < 0.6).astype(float), np.ones((3, 500))
    whole = resample(right, ones, samples=4500)  # 4,000 resamples of 500 are drawn at once
    assert np.array_equal(whole[:100], resample(right, ones, samples=100))
    assert not np.array_equal(whole[:100], resample(right, ones, samples=100, seed=1))


# ------------------------------------------------------------------------------------------ both


def crossed(seeds=4, examples=300, *, seed=5, gap=0.05):
    """Right and wrong answers of `seeds` runs of two methods, `[2 x seeds, examples]`."""
    rng = np.random.default_rng(seed)
    easy = rng.uniform(-0.2, 0.2, examples)
    effects = rng.normal(0, 0.03, (2 * seeds, 1)) + np.repeat([gap, 0], seeds)[:, None]
    return (rng.random((2 * seeds, examples)) < 0.6 + effects + easy).astype(float)


def paired_part(right, samples=20_000):
    seeds = len(right) // 2
    replicates = resample(right, np.ones_like(right), samples=samples)
    values = 100 * right.mean(axis=1)
    return Part(1.0, values[:seeds] - values[seeds:], replicates[:, :seeds] - replicates[:, seeds:])


def independent_parts(right, samples=20_000):
    seeds = len(right) // 2
    replicates = resample(right, np.ones_like(right), samples=samples)
    values = 100 * right.mean(axis=1)
    return [
        Part(1.0, values[:seeds], replicates[:, :seeds]),
        Part(-1.0, values[seeds:], replicates[:, seeds:]),
    ]


def test_the_variance_is_that_of_a_mean_in_a_crossed_layout():
    """With pairs, the bootstrap has to meet the analysis of variance of seeds times examples."""
    right = crossed()
    seeds, examples = 4, right.shape[1]
    table = 100 * (right[:seeds] - right[seeds:])  # [seeds, examples]
    by_seed, by_example, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    seed_square = examples * by_seed.var(ddof=1)
    example_square = seeds * by_example.var(ddof=1)
    rest = table - by_seed[:, None] - by_example[None] + mean
    rest_square = (rest**2).sum() / (seeds - 1) / (examples - 1)
    variance = (seed_square + max(example_square - rest_square, 0)) / (seeds * examples)

    result = estimate([paired_part(right)], examples)
    assert result.value == pytest.approx(mean)
    # 20,000 resamples give a standard error to within 0.5 %; what is subtracted doubles that.
    assert result.stderr == pytest.approx(math.sqrt(variance), rel=0.02)
    assert result.seed_stderr == pytest.approx(by_seed.std(ddof=1) / 2)
    share = (seed_square / (seeds * examples)) / variance
    assert result.df == pytest.approx(1 / (share**1.25 / 3 + (1 - share) ** 1.25 / (examples - 1)), rel=0.02)
    half = stats.t.ppf(0.975, result.df) * result.stderr
    assert (result.low, result.high) == pytest.approx((mean - half, mean + half))
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(mean) / result.stderr, result.df))


def test_without_noise_of_examples_independent_seeds_are_welchs_test():
    rng = np.random.default_rng(6)
    ours, theirs = rng.normal(70, 2, 5), rng.normal(67, 1, 3)
    parts = [Part(1.0, ours, np.zeros((10, 5))), Part(-1.0, theirs, np.zeros((10, 3)))]
    result = estimate(parts, examples=1000)
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (result.p_value, result.df) == pytest.approx((expected.pvalue, expected.df))
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_without_noise_of_examples_paired_seeds_are_the_paired_t_test():
    ours, theirs = np.array([70.0, 72.0, 69.0]), np.array([68.0, 69.5, 68.5])
    result = estimate([Part(1.0, ours - theirs, np.zeros((10, 3)))], examples=1000)
    assert result.p_value == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert result.p_far() == pytest.approx(result.p_value, rel=1e-6)


def test_where_seeds_do_not_differ_only_examples_count():
    replicates = np.random.default_rng(7).normal(3, 1, (50_000, 1)).repeat(3, axis=1)
    result = estimate([Part(1.0, np.full(3, 3.0), replicates)], examples=500)
    assert result.seed_stderr == 0.0
    assert result.df == pytest.approx(499)
    assert result.stderr == pytest.approx(1.0, rel=0.02)
    assert result.p_far() == result.p_value


def test_seeds_that_tie_by_chance_make_nothing_certain():
    """Two seeds each, right on as many examples, though not on the same ones."""
    right = np.zeros((4, 24))
    for row, count in enumerate((5, 5, 7, 7)):
        right[row, 3 * row : 3 * row + count] = 1
    replicates = resample(right, np.ones_like(right))
    scores = 100 * right.mean(axis=1)
    parts = [Part(1.0, scores[:2], replicates[:, :2]), Part(-1.0, scores[2:], replicates[:, 2:])]
    result = estimate(parts, 24)
    assert (result.value, result.seed_stderr) == (pytest.approx(-100 * 2 / 24), 0)
    assert result.stderr == result.example_stderr > 5
    assert result.low < 0 < result.high
    assert result.p_far() == result.p_value > 0.2


def test_seeds_that_are_paired_lose_what_they_share():
    right = crossed(seeds=3, gap=0.0)
    shift = np.array([6.0, 0.0, -6.0])  # of both methods alike, by seed
    paired, (ours, theirs) = paired_part(right, 500), independent_parts(right, 500)
    moved = [Part(part.weight, part.values + shift, part.replicates) for part in (ours, theirs)]
    alone = estimate([ours, theirs], 300)
    assert estimate(moved, 300).value == pytest.approx(alone.value)
    assert estimate(moved, 300).stderr > alone.stderr + 1  # 6 sqrt(2 / 3) alone are 4.9
    shifted = Part(1.0, moved[0].values - moved[1].values, paired.replicates)
    assert estimate([shifted], 300).stderr == pytest.approx(estimate([paired], 300).stderr)


def test_a_sum_of_parts_is_weighted():
    part = paired_part(crossed(), 2000)
    once, half = estimate([part], 300), estimate([Part(0.5, part.values, part.replicates)], 300)
    assert (half.value, half.stderr, half.low, half.p_value, half.df) == pytest.approx(
        (once.value / 2, once.stderr / 2, once.low / 2, once.p_value, once.df)
    )


def test_one_seed_gives_the_error_over_examples_and_no_interval():
    right = crossed(seeds=1)
    result = estimate([paired_part(right)], 300)
    difference = 100 * (right[0] - right[1])
    assert result.example_stderr == pytest.approx(difference.std(ddof=1) / math.sqrt(300), rel=0.02)
    assert (result.low, result.high, result.p_value, result.stderr, result.p_far()) == (None,) * 5


def test_the_bootstraps_variance_is_made_unbiased():
    """With eight examples, dividing by n and not by n - 1 would make the error 6 % too small."""
    right = crossed(seeds=1, examples=8, gap=0.3)
    difference = 100 * (right[0] - right[1])
    result = estimate([paired_part(right, 50_000)], 8)
    assert result.example_stderr == pytest.approx(difference.std(ddof=1) / math.sqrt(8), rel=0.02)


def test_one_example_gives_the_value_alone():
    result = estimate([Part(1.0, np.array([0.0, 100.0]), np.zeros((5, 2)))], examples=1)
    assert result == Estimate(50.0, *[None] * 8)


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (100.0, 0.0)])
def test_scores_that_never_vary_are_certain(value, p_value):
    result = estimate([Part(1.0, np.full(3, value), np.full((5, 3), value))], examples=100)
    assert (result.low, result.high, result.p_value, result.p_far()) == (value, value, p_value, p_value)


def test_nothing_to_estimate_is_an_error():
    with pytest.raises(ValueError, match="at least one seed"):
        estimate([], 10)
    with pytest.raises(ValueError, match="at least one seed"):
        estimate([Part(1.0, np.array([]), np.zeros((5, 0)))], 10)


@pytest.mark.parametrize(("df", "seed_stderr"), [(2.0, 0.9), (2.0, 0.3), (4.0, 0.7)])
@pytest.mark.parametrize("distance", [1.0, 2.5])
def test_the_far_p_value_is_that_of_t_plus_normal(df, seed_stderr, distance):
    drawn = np.random.default_rng(8)
    number = 1_000_000
    sums = seed_stderr * drawn.standard_t(df, number)
    sums += math.sqrt(1 - seed_stderr**2) * drawn.normal(size=number)
    expected = (np.abs(sums) > distance).mean()
    result = Estimate(distance + 3, 0, 0, 0, 1.0, 1e6, seed_stderr, df, 1.0)
    # Of a million draws, 0.1 % or more are beyond: their number is known to within 3 %, of most far better.
    assert result.p_far(bound=3.0) == pytest.approx(expected, rel=0.05)


# ------------------------------------------------------------------------------------------ corrections


def test_holm_rejects_what_bonferroni_does_in_benjamini_and_hochbergs_example():
    """Benjamini and Hochberg 1995 (J. R. Stat. Soc. B 57:289-300): of 15 endpoints, three are left."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p_values += [0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    adjusted = holm(p_values)
    assert adjusted[:4] == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019, 12 * 0.0095])
    assert (adjusted <= 0.05).sum() == 3
    assert adjusted[-1] == 1.0


def test_holm_never_falls_where_p_values_rise():
    # 3 x 0.03 is more than 2 x 0.04, so the third takes the second's value.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_closed_testing_with_bonferroni():
    """By definition: a hypothesis falls when every set of hypotheses that holds it falls to Bonferroni."""
    rng = np.random.default_rng(9)
    for p_values in (rng.random(5), rng.random(5) ** 4, [0.2, 0.2, 0.01, 0.01, 0.01]):
        slow = [
            max(
                min(1.0, len(family) * min(p_values[i] for i in family))
                for size in range(1, 6)
                for family in itertools.combinations(range(5), size)
                if one in family
            )
            for one in range(5)
        ]
        assert holm(p_values).tolist() == pytest.approx(slow)


def test_no_p_values_stay_none():
    assert holm([]).tolist() == []


# ------------------------------------------------------------------------------------------ ranks


def test_rho_is_scipys_with_and_without_ties():
    rng = np.random.default_rng(10)
    for _ in range(5):
        x, y = rng.integers(6, size=15), rng.normal(size=15)
        assert rank_correlation(x, y).rho == pytest.approx(stats.spearmanr(x, y).statistic)


def test_its_p_value_is_exact_for_few_languages():
    x, y = [1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]
    observed = stats.spearmanr(x, y).statistic
    every = [stats.spearmanr(x, order).statistic for order in itertools.permutations(y)]
    expected = np.mean(np.abs(every) >= abs(observed) - 1e-12)
    assert rank_correlation(x, y).p_value == pytest.approx(expected)


def test_its_p_value_is_near_scipys_for_many():
    rng = np.random.default_rng(11)
    x = rng.normal(size=40)
    y = x + 2 * rng.normal(size=40)
    # 9,999 permutations give a p-value of 0.05 to within 0.002.
    assert rank_correlation(x, y).p_value == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.01)


def test_its_interval_is_scipys_bca():
    rng = np.random.default_rng(12)
    x = rng.normal(size=19)
    y = x + rng.normal(size=19)
    result = rank_correlation(x, y)
    expected = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=3000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    # An end of a 95 % interval from 3,000 resamples is uncertain by a few hundredths.
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=0.05)


def test_the_partial_correlation_is_kendalls_formula():
    rng = np.random.default_rng(13)
    z = rng.normal(size=20)
    x, y = z + rng.normal(size=20), rng.normal(size=20) - z
    xy, xz, yz = (stats.spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert rank_correlation(x, y, given=z).rho == pytest.approx(expected)


def test_the_partial_correlations_p_value_knows_how_much_is_held_fixed():
    # Without regressing anew in each permutation it would be near that of 13 pairs and nothing fixed: 0.003.
    rng = np.random.default_rng(18)
    given = rng.normal(size=(5, 13))
    x = rng.normal(size=13)
    y = x + 0.7 * rng.normal(size=13)
    result = rank_correlation(x, y, given=given)
    df = 13 - 2 - len(given)
    t = abs(result.rho) * math.sqrt(df / (1 - result.rho**2))
    assert result.p_value == pytest.approx(2 * stats.t.sf(t, df), rel=0.25)


def test_what_a_third_variable_explains_is_no_partial_correlation():
    rng = np.random.default_rng(14)
    z = rng.normal(size=30)
    x, y = z + 0.3 * rng.normal(size=30), z + 0.3 * rng.normal(size=30)
    assert rank_correlation(x, y).p_value < 0.001
    assert rank_correlation(x, y, given=z).p_value > 0.05
    assert rank_correlation(z, y, given=z).rho is None


def test_a_perfect_correlation_has_no_interval():
    result = rank_correlation(range(8), range(8))
    assert (result.rho, result.low, result.high) == (pytest.approx(1.0), None, None)
    assert result.p_value == pytest.approx(2e-4)  # none of 9,999 permutations does as well, on either side


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [3, 2, 1]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([], [])])
def test_three_languages_or_no_variation_give_no_correlation(x, y):
    result = rank_correlation(x, y)
    assert (result.rho, result.p_value, result.languages) == (None, None, len(x))


def test_columns_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match=r"differ in length: \[4, 5\]"):
        rank_correlation([1, 2, 3, 4], [1, 2, 3, 4, 5])


# -------------------------------------------------------------------------------- effects of columns


def test_effects_of_a_complete_table_are_means_after_the_rows_means():
    table = np.random.default_rng(5).normal(size=(3, 6)) + [[10.0], [-4.0], [0.0]]
    values = {row: dict(zip("abcdef", of_row, strict=True)) for row, of_row in zip("xyz", table, strict=True)}
    means = (table - table.mean(axis=1, keepdims=True)).mean(axis=0)
    assert list(additive_effects(values).values()) == pytest.approx(means)


def test_effects_of_an_incomplete_table_are_those_it_was_made_of():
    rows, columns = {"x": 10.0, "y": -4.0, "z": 3.0}, dict(zip("abcdef", (5, 1, 0, -1, -2, -3), strict=True))
    there = {"x": "abc", "y": "cdef", "z": "bf"}  # the means of rows would call c low in x and high in y
    values = {row: {code: rows[row] + columns[code] for code in codes} for row, codes in there.items()}
    assert additive_effects(values) == pytest.approx(columns)


def test_columns_that_nothing_joins_are_centered_apart():
    effects = additive_effects({"x": {"a": 7.0, "b": 9.0}, "y": {"c": -100.0}, "z": {}})
    assert effects == pytest.approx({"a": -1.0, "b": 1.0, "c": 0.0})
    assert additive_effects({}) == {}
