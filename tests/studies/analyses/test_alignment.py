"""The report's section on alignment: what it says of gains, curves and verdicts whose truth is known."""

import re
from types import SimpleNamespace

import pytest
from simulated_studies import by_resources, make_runs

from xlprompt.evaluation import Verdict, compare, judge
from xlprompt.studies.analyses.alignment.findings import HEAD, Gain, curve_of, leading_kind
from xlprompt.studies.analyses.alignment.measure import _shared_kinds, training_of
from xlprompt.studies.analyses.alignment.section import (
    _over_seeds,
    alignment_answers,
    alignment_section,
    changed_verdicts,
)
from xlprompt.studies.analyses.alignment.sweep import AlignmentSweep
from xlprompt.studies.errors import StudyError
from xlprompt.studies.reports.page import Image, Section, Table, html_page


@pytest.fixture(scope="module")
def gains():
    """`mean` gains 2 points, `mean_scale` 8, in all languages but the one trained on."""
    return [
        Gain(
            "nano",
            method,
            kind,
            compare(
                make_runs(
                    lambda code, points=points: 0.0 if code == "en" else points, examples=400, alike=True
                ),
                method="prompt",
                baseline="finetune",
                seeds="paired",
                samples=200,
            ),
        )
        for method in ("prompt", "finetune")
        for kind, points in (("mean", 2.0), ("mean_scale", 8.0))
    ]


@pytest.fixture(scope="module")
def curves():
    none = {0: 50.0, 1: 52.0}
    sentences = {seed: {"mean": {5: 55.0 + seed, 20: 60.0 + seed}} for seed in none}
    layers = {seed: {"mean": {HEAD: 58.0, 4: 62.0, 2: 57.0}} for seed in none}
    return [
        curve_of("nano", "xnli", "accuracy", "prompt", "sentences", none, sentences),
        curve_of("nano", "xnli", "accuracy", "prompt", "layer", none, layers),
    ]


def verdicts(outcome="undecided"):
    return tuple(Verdict(f"claim {i}", outcome, "rule", {"reason": f"because {outcome}"}) for i in range(4))


def table(section, title):
    return next(part for part in section.content if isinstance(part, Table) and title in part.title)


def test_a_row_says_what_a_kind_gains_and_where(gains):
    found = table(alignment_section(gains, {}, ()), "xnli: zero-shot mean over 14 languages")
    rows = {row[:2]: row for row in found.rows}
    assert list(rows) == [
        (method, kind) for method in ("prompt", "finetune") for kind in ("none", "mean", "mean_scale")
    ]
    gain = dict(zip(found.columns, rows["prompt", "mean_scale"], strict=True))
    value, low, high = map(float, re.findall(r"[-+\d.]+", gain["gain [95 %]"]))
    assert value == pytest.approx(8, abs=1)
    assert 0 < low < value < high
    assert gain["better, worse"] == "14 / 0"
    assert "400 test examples" in found.note


def test_the_kind_that_gains_most_is_drawn_by_language(gains):
    assert leading_kind(gains, "xnli") == "mean_scale"
    images = [part for part in alignment_section(gains, {}, ()).content if isinstance(part, Image)]
    assert [image.title for image in images] == ["xnli: points gained by mean_scale, by language"]
    assert images[0].svg.startswith("<?xml")


def test_curves_are_means_over_the_seeds_with_the_head_behind_the_layers(gains, curves):
    section = alignment_section(gains, {}, curves)
    sentences = table(section, "by number of unlabelled sentences")
    assert sentences.columns[2:] == ("none", "5", "20")
    assert sentences.rows == (("prompt", "mean", "51.0 ± 1.4", "55.5 ± 0.7", "60.5 ± 0.7"),)
    layers = table(section, "by decoder layer")
    assert layers.columns[3:] == ("2", "4", "head")
    assert layers.rows[0][3:] == ("57.0 ± 0.0", "62.0 ± 0.0", "58.0 ± 0.0")
    assert [point["layer"] for point in curves[1].to_dict()["points"]] == [2, 4, "head"]


def test_a_curve_has_the_values_that_all_seeds_have():
    points = {0: {"mean": {5: 1.0, 10: 2.0, 20: 3.0}}, 1: {"mean": {10: 4.0, 20: 5.0}}}
    curve = curve_of("nano", "xnli", "accuracy", "prompt", "sentences", {0: 0.0, 1: 0.0}, points)
    assert [(value, found.mean) for value, found in curve.points["mean"].items()] == [(10, 3.0), (20, 4.0)]
    alone = {0: {"mean": {5: 1.0, 10: 2.0}}, 1: {"mean": {20: 4.0, 10: 5.0}}}
    assert curve_of("nano", "xnli", "accuracy", "prompt", "sentences", {0: 0.0, 1: 0.0}, alone) is None


def test_changed_verdicts_are_told_in_sentences():
    assert (
        changed_verdicts({"none": verdicts(), "mean": verdicts()})
        == "Alignment changes none of the verdicts."
    )
    third = (*verdicts()[:2], verdicts("supported")[2], verdicts()[3])
    told = changed_verdicts({"none": verdicts(), "mean": third, "mean_scale": third, "subspace": verdicts()})
    assert told == (
        "Claim 3 is undecided without alignment (because undecided) and supported with mean and mean_scale "
        "(mean: because supported; mean_scale: because supported). All other verdicts stay as they are."
    )


def test_verdicts_stand_side_by_side_and_the_section_can_be_kept(gains, curves):
    comparison = compare(make_runs(by_resources(8.0, 0.0), examples=200), samples=200)
    judged = {"none": judge(comparison), "mean": judge(comparison)}
    section = alignment_section(gains, judged, curves, ["A note."])
    claims = table(section, "claims")
    assert claims.columns == ("claim", "none", "mean")
    assert len(claims.rows) == 4
    assert section.note.endswith("Alignment changes none of the verdicts. A note.")
    assert Section.from_json(section.to_json()) == section
    assert "points gained by mean_scale" in html_page("t", [section], ())


def test_one_seed_has_a_gain_and_no_verdict_on_languages():
    comparison = compare(make_runs(5.0, seeds=(0,), examples=100), seeds="paired", samples=200)
    found = table(alignment_section([Gain("nano", "prompt", "mean", comparison)], {}, ()), "xnli")
    assert "±" in found.rows[1][5]
    assert found.rows[1][6] == "–"
    assert "in percent, of one seed (0). Gain" in found.note
    (said,) = alignment_answers([Gain("nano", "prompt", "mean", comparison)])
    assert re.search(
        r"1 undecided .* points \(one seed: standard error \d\.\d over test examples alone\)", said
    )


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"prompt": (0,), "finetune": (1,)}, "of one seed (0, 1)"),
        ({"prompt": (0, 1), "finetune": (0, 1)}, "mean ± standard deviation over seeds (0, 1)"),
        (
            {"prompt": (0, 1), "finetune": (0,)},
            "mean ± standard deviation over seeds (prompt 0 1; finetune 0)",
        ),
    ],
)
def test_captions_name_the_seeds_of_each_method_where_they_differ(seeds, said):
    assert _over_seeds(seeds) == said


def test_the_answers_say_by_method_and_kind_in_how_many_tasks_it_helps(gains):
    said = alignment_answers(gains)
    assert len(said) == len(gains)
    assert said[1].startswith("prompt with mean_scale: of 1 task, 1 better, 0 worse, 0 undecided")
    assert "Largest change: xnli, +" in said[1]


def test_kinds_are_shared_by_a_tasks_runs_and_not_by_all_tasks():
    kept = {"a": {"mean", "subspace"}, "b": {"mean"}, "c": {"mean_scale"}}
    ledger = SimpleNamespace(
        predictions=lambda run_id, kind: {"en": "a file"} if kind in kept[run_id] else {}
    )
    runs = {
        (task, "nano", "prompt", seed): SimpleNamespace(run_id=run_id)
        for task, seed, run_id in (("xnli", 0, "a"), ("xnli", 1, "b"), ("pos", 0, "c"))
    }
    assert _shared_kinds(ledger, runs) == {"none": ["xnli", "pos"], "mean": ["xnli"], "mean_scale": ["pos"]}


def test_what_trains_is_known_of_the_run_that_trained_and_not_of_those_that_score_it_again():
    trained = SimpleNamespace(run_id="t", tags={}, params={"trainable_percent": "0.06"})
    again, alone = (
        SimpleNamespace(run_id=name, tags=tags) for name, tags in (("e", {"trained_by": "t"}), ("x", {}))
    )
    ledger = SimpleNamespace(training_runs=lambda tasks: [trained])
    runs = {("xnli", "nano", "prompt", seed): run for seed, run in enumerate((again, alone, trained))}
    assert list(training_of(ledger, runs).values()) == [trained, alone, trained]


def test_a_sweep_of_no_seeds_is_refused():
    with pytest.raises(StudyError, match="seeds: expected at least one, got 0"):
        AlignmentSweep(seeds=0)
