"""The report's figures: their size on a phone, and what their parts compute."""

import re

import pytest
from matplotlib import rcParams
from simulated_studies import make_runs

from xlprompt.evaluation import compare
from xlprompt.evaluation.comparison.other_methods import MethodResult
from xlprompt.evaluation.comparison.statistics import spread
from xlprompt.evaluation.style import is_dark, line_style
from xlprompt.models import METHODS
from xlprompt.studies.reports.figures import (
    by_resources,
    cost_against_score,
    heat_map,
    learning_curves,
    share_against_score,
    shared_steps,
    side_by_side,
)
from xlprompt.studies.reports.methods_section import share_figure


@pytest.fixture(scope="module")
def figures():
    comparison = compare(make_runs(), samples=100)
    before = dict(rcParams)
    drawn = {
        "heat map": heat_map(comparison),
        "resources": by_resources(comparison, "xnli"),
        "curves": learning_curves({"prompt": [((1, 50.0), (2, 60.0))] * 2, "head": [((1, 40.0),)]}, "score"),
        "cost": cost_against_score([("xnli", "prompt", 10.0, 60.0), ("xnli", "finetune", 12.0, 60.0)]),
        "share": share_against_score(
            [
                ("xnli", name, 0.0 if name == "zeroshot" else 0.01 * 4**place, spread([50.0, 60.0]))
                for place, name in enumerate(METHODS)
            ]
        ),
    }
    assert dict(rcParams) == before
    return drawn


def test_stars_are_explained_where_there_can_be_any(figures):
    one_seed = heat_map(compare(make_runs(seeds=(0,)), samples=20))
    assert "points; * significant" in figures["heat map"]
    assert "prompt minus finetune, points" in one_seed
    assert "significant" not in one_seed


@pytest.mark.parametrize("name", ["heat map", "resources", "curves", "cost", "share"])
def test_figures_are_as_wide_as_a_phone(figures, name):
    assert re.search(r'<svg [^>]*width="270pt"', figures[name])  # 360 CSS pixels


def test_letters_have_at_least_nine_pixels_on_a_phone(figures):
    # Letters are paths, scaled from matplotlib's units to points: scale(0.08) is 8 points, of 4/3 pixels.
    for svg in figures.values():
        scales = [float(scale) for scale in re.findall(r"scale\((0\.\d+) -0\.\d+\)", svg)]
        assert scales
        assert min(scales) * 100 * 4 / 3 >= 9


def test_marks_of_like_shares_stand_side_by_side_around_their_place():
    shares = [0.86, 100.0, 0.02, 0.86, 0.14, 0.89]
    places = side_by_side(shares)
    assert [places[number] for number in (1, 2, 4)] == pytest.approx([100.0, 0.02, 0.14])
    left, middle, right = (places[number] for number in (0, 3, 5))
    assert middle / left == pytest.approx(right / middle) == pytest.approx(1.5)
    assert left * middle * right == pytest.approx(0.86 * 0.86 * 0.89)


def test_curves_are_averaged_where_all_seeds_have_a_score():
    steps, scores = shared_steps([((1, 50.0), (2, 60.0)), ((2, 62.0), (3, 70.0), (1, 40.0))])
    assert steps == [1, 2]
    assert scores.tolist() == [[50.0, 60.0], [40.0, 62.0]]
    assert shared_steps([((1, 50.0),), ((2, 60.0),)])[0] == []
    assert shared_steps([])[0] == []


def test_every_method_looks_different_even_without_color():
    styles = [line_style(number) for number in range(len(METHODS))]
    for part in ("color", "marker", "linestyle"):
        assert len({style[part] for style in styles}) == len(METHODS)


def test_only_few_curves_have_bands():
    curve = [((1, 50.0), (2, 60.0)), ((1, 55.0), (2, 63.0))]
    three, four = (
        learning_curves(dict.fromkeys(METHODS[:number], curve), "score").count("FillBetween")
        for number in (3, 4)
    )
    assert (three, four) == (3, 0)


def test_letters_are_white_on_dark_colors_only():
    assert is_dark((0.2, 0.0, 0.3, 1.0))
    assert not is_dark((0.9, 0.9, 0.9, 1.0))


def test_what_trains_nothing_stands_beside_what_does():
    rows = [
        MethodResult("xnli", name, (0,), share, {}, spread([50.0]), None)
        for name, share in (("prompt", 0.1), ("zeroshot", 0.0), ("unknown", None))
    ]
    drawn = share_figure(rows)
    assert "zeroshot" in drawn
    assert "unknown" not in drawn
