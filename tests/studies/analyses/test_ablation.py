"""Variants are compared with the first of them, by the statistics of any two methods."""

import re
from dataclasses import replace

import numpy as np
import pytest
from simulated_studies import make_runs

from xlprompt.evaluation import TaskRuns, compare
from xlprompt.studies.analyses.ablation.findings import compare_variants
from xlprompt.studies.analyses.ablation.section import ablation_answer, ablation_section
from xlprompt.studies.reports.page import Image, Section, Table


@pytest.fixture(scope="module")
def runs():
    """`short` is 8 points worse than `long` everywhere."""
    (found,) = make_runs(8.0).values()
    names = {"prompt": "long", "finetune": "short"}
    return TaskRuns(
        found.task,
        found.metric,
        found.split,
        tuple((names[method], seed) for method, seed in found.runs),
        found.languages,
    )


@pytest.fixture(scope="module")
def ablation(runs):
    return compare_variants(
        runs, ["short", "long"], method="prompt", train_language="en", trainable_percent={"long": 0.5}
    )


def test_the_difference_is_that_of_the_comparison_of_the_two(runs, ablation):
    comparison = compare({"xnli": runs}, method="long", baseline="short")
    (zero_shot,) = [row.estimate for row in comparison.groups if row.grouping == "zero-shot"]
    short, long = ablation.variants
    assert (short.difference, long.difference) == (None, zero_shot)
    assert long.wins == comparison.tallies[0].wins > 0
    assert long.losses == 0


def test_scores_over_seeds_leave_the_training_language_out_of_the_mean(runs, ablation):
    _, long = ablation.variants
    of_long = [at for at, (name, _) in enumerate(runs.runs) if name == "long"]
    by_seed = [
        np.mean([counts.scores[at] for code, counts in runs.languages.items() if code != "en"])
        for at in of_long
    ]
    assert long.others.mean == pytest.approx(np.mean(by_seed))
    assert long.others.deviation == pytest.approx(np.std(by_seed, ddof=1))
    assert long.trained_on.mean == pytest.approx(np.mean(runs.languages["en"].scores[of_long]))


def test_in_brief_a_section_says_the_first_mean_and_the_others_differences(ablation):
    short, long = ablation.variants
    estimate = long.difference
    assert ablation_section("length", [ablation, ablation]).brief.rows == 2 * (
        (
            "`length`",
            "xnli prompt",
            f"short: {short.others.mean:.1f} ± {short.others.deviation:.1f}",
            f"**long: {estimate.value:+.1f} [{estimate.low:+.1f}, {estimate.high:+.1f}]** (0.5 %)",
        ),
    )


@pytest.mark.parametrize(
    ("low", "high", "bold"),
    [(0.02, 3.0, True), (-3.0, -0.02, True), (-0.02, 3.0, False), (-3.0, 0.02, False), (None, None, False)],
)
def test_in_brief_a_difference_is_bold_where_its_interval_leaves_out_zero(ablation, low, high, bold):
    short, long = ablation.variants
    estimate = replace(long.difference, low=low, high=high)
    changed = replace(ablation, variants=(short, replace(long, difference=estimate)))
    ((*_, others),) = ablation_section("length", [changed]).brief.rows
    assert others.startswith("**long: ") == bold


def test_the_section_has_a_table_with_the_shares_and_a_figure(ablation):
    section = ablation_section("length", [ablation])
    table, figure = section.content
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["short", "long"]
    assert [row[1] for row in table.rows] == ["–", "0.5"]
    assert table.rows[0][4:] == ("–", "–", "–")
    assert isinstance(figure, Image)
    assert figure.svg.startswith("<?xml")


def test_a_section_comes_back_as_it_was_stored(ablation):
    section = ablation_section("length", [ablation])
    assert Section.from_json(section.to_json()) == section
    with pytest.raises(ValueError, match="not a section of a report"):
        Section.from_json('{"title": "x"}')


def test_one_variant_is_no_ablation(runs):
    with pytest.raises(ValueError, match="at least two variants"):
        compare_variants(runs, ["short"], method="prompt", train_language="en")


def test_languages_that_a_variant_was_trained_on_are_in_no_zero_shot_mean(runs):
    more = {"long": ("de", "sw")}
    result = compare_variants(
        runs, ["short", "long"], method="prompt", train_language="en", also_trained_on=more
    )
    first, long = result.variants
    left = [code for code in runs.languages if code not in ("en", "de", "sw")]
    places = runs.of("long")
    expected = np.mean([runs.languages[code].scores[places].mean() for code in left])
    assert long.zero_shot.languages == len(left)
    assert long.zero_shot.mean.mean == pytest.approx(expected)
    assert long.zero_shot.difference.value == pytest.approx(expected - long.zero_shot.first.mean)
    assert long.others.mean != pytest.approx(expected)  # over German and Swahili too
    assert first.zero_shot is None
    scores, levels, left_out, _ = ablation_section("Ablation: translated", [result]).content
    assert scores.columns[3] == "other languages"
    assert [row[0] for row in levels.rows] == ["short", "long"]
    assert [row[:3] for row in left_out.rows] == [("short", "1", "–"), ("long", "3", str(len(left)))]


def test_trained_on_all_languages_nothing_is_left_for_a_zero_shot_mean(runs):
    more = {"long": [code for code in runs.languages if code != "en"]}
    result = compare_variants(
        runs, ["short", "long"], method="prompt", train_language="en", also_trained_on=more
    )
    assert result.variants[1].zero_shot is None
    assert result.variants[1].difference is not None
    _, levels, figure = ablation_section("Ablation: translated", [result]).content  # no table of nothing
    assert isinstance(figure, Image)
    assert levels.columns == ("variant", "high", "medium", "low")
    high = [code for code in ("ru", "zh", "de", "es", "fr") if code in runs.languages]
    expected = np.mean([runs.languages[code].scores[runs.of("long")].mean() for code in high])
    assert levels.rows[1][1].startswith(f"{expected:.1f} (+")
    assert levels.rows[1][1].endswith("*)")


def test_the_answer_counts_variants_by_verdict_and_names_the_highest(ablation):
    said = ablation_answer(ablation)
    assert said.startswith("xnli prompt: of 1 variant beside short, 1 better, 0 worse, 0 undecided")
    assert re.search(
        r"Highest: long minus short is \+\d+\.\d points \(95 % interval .*\), long is better\.$", said
    )
