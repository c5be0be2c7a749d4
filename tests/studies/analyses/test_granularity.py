"""Slopes over shares of words cut: against obvious lines, and against what simulated runs were made with."""

import json

import numpy as np
import pytest

from xlprompt.evaluation import TaskRuns
from xlprompt.evaluation.comparison.counts import Counts
from xlprompt.studies.analyses.granularity.findings import ALL, compare_shares, method_at, slope_weights
from xlprompt.studies.analyses.granularity.section import granularity_answer, granularity_section
from xlprompt.studies.analyses.granularity.settings import Settings
from xlprompt.studies.errors import StudyError
from xlprompt.studies.reports.page import Image, Table

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def make_sweep(
    slopes,
    *,
    tasks=("xnli",),
    languages=("de", "es"),
    seeds=(0, 1, 2),
    examples=600,
    start=70.0,
    majority=34.0,
):
    """Runs of both methods that lose or gain `slopes[method]` points from share 0 to share 1."""
    rng = np.random.default_rng(3)
    names = [(method_at(method, share), seed) for method in slopes for seed in seeds for share in SHARES]
    runs = {}
    for task in tasks:
        counts = {}
        for code in languages:
            dice = 100 * rng.random(examples)
            effects = {(method, seed): rng.normal(0, 0.3) for method in slopes for seed in seeds}
            right = np.array(
                [
                    dice < 70 + effects[method, seed] + slopes[method] * share
                    for method in slopes
                    for seed in seeds
                    for share in SHARES
                ]
            ).astype(float)
            counts[code] = Counts(right, np.ones_like(right), majority)
        runs[task] = TaskRuns(task, "accuracy", "test", tuple(names), counts)
    return runs


def test_weights_are_those_of_the_least_squares_line():
    scores = np.array([61.0, 58.5, 57.0, 50.0, 51.0])
    assert slope_weights(SHARES) @ scores == pytest.approx(np.polyfit(SHARES, scores, 1)[0])


def test_slopes_are_those_of_lines_through_the_scores():
    runs = make_sweep({"prompt": -5.0, "finetune": -15.0})
    findings = compare_shares(runs, SHARES)
    for code, counts in runs["xnli"].languages.items():
        scores = counts.scores.reshape(2, 3, len(SHARES)).mean(axis=1)  # [methods, shares]
        lines = [np.polyfit(SHARES, of_method, 1)[0] for of_method in scores]
        (row,) = [row for row in findings.slopes if row.language == code]
        assert (row.method.value, row.baseline.value) == pytest.approx(tuple(lines))
        assert row.difference.value == pytest.approx(lines[0] - lines[1])
        shown = [row.difference.value for row in findings.scores if row.language == code]
        assert shown == pytest.approx(list(scores[0] - scores[1]))


def test_the_pooled_slope_finds_the_effect_that_runs_were_made_with():
    findings = compare_shares(
        make_sweep({"prompt": -5.0, "finetune": -15.0}, tasks=("xnli", "pawsx")), SHARES
    )
    assert findings.pooled.low < 10 < findings.pooled.high
    assert findings.pooled.low > 5
    assert findings.pooled == findings.slopes[-1].difference
    assert findings.pooled.value == pytest.approx(
        np.mean([row.difference.value for row in findings.slopes[:-1] if row.language == ALL])
    )
    alike = compare_shares(make_sweep({"prompt": -9.0, "finetune": -9.0}), SHARES)
    assert alike.pooled.low < 0 < alike.pooled.high


def test_only_seeds_that_have_every_share_count():
    runs = make_sweep({"prompt": -5.0, "finetune": -15.0})["xnli"]
    kept = [place for place, run in enumerate(runs.runs) if run != (method_at("prompt", 0.5), 2)]
    counts = {
        code: Counts(each.numerators[kept], each.denominators[kept], each.floor)
        for code, each in runs.languages.items()
    }
    fewer = TaskRuns("xnli", "accuracy", "test", tuple(runs.runs[place] for place in kept), counts)
    assert compare_shares({"xnli": fewer}, SHARES).seeds["xnli"] == {"prompt": (0, 1), "finetune": (0, 1, 2)}
    nothing = TaskRuns("xnli", "accuracy", "test", tuple(runs.runs[15:]), {})
    with pytest.raises(ValueError, match="No seed of prompt"):
        compare_shares({"xnli": nothing}, SHARES)


def test_one_seed_gives_slopes_without_intervals_and_one_share_none():
    runs = make_sweep({"prompt": -5.0, "finetune": -15.0}, seeds=(0,))
    findings = compare_shares(runs, SHARES)
    assert findings.slopes[0].difference.low is None
    assert findings.scores[0].skilled is None
    assert (findings.usable, findings.pooled) == ({"xnli": ()}, None)  # nothing is shown to beat the baseline
    section = granularity_section(findings, {}, title="Cuts", notes=[])
    assert "at every share: none that one seed could show." in section.content[0].note
    with pytest.raises(ValueError, match="two shares"):
        compare_shares(runs, (0.5,))


def test_shares_at_which_nothing_beats_the_majority_are_marked():
    findings = compare_shares(make_sweep({"prompt": -40.0, "finetune": -40.0}, majority=45.0), SHARES)
    assert [row.skilled for row in findings.scores if row.language == ALL] == [True, True, True, False, False]
    section = granularity_section(findings, {("xnli", "de"): 1.8}, title="Cuts", notes=["How."])
    tables = [part for part in section.content if isinstance(part, Table)]
    assert [sum("!" in cell for cell in row) for row in tables[2].rows] == [2, 2, 2]
    assert tables[1].rows[0][:2] == ("German (de)", "x 1.80")
    assert [row[0] for row in tables[0].rows] == ["xnli", "all tasks", "those that say something"]
    assert any(isinstance(part, Image) and "<svg" in part.svg for part in section.content)
    json.dumps(findings.to_dict(), allow_nan=False)


def test_languages_that_fall_to_the_baseline_are_no_evidence():
    # From 70 down to chance: what finetune was ahead is gone at the end, and the slope is that loss.
    runs = make_sweep({"prompt": -20.0, "finetune": -40.0}, majority=34.0)
    assert compare_shares(runs, SHARES).usable == {"xnli": ("de", "es")}
    xnli = runs["xnli"]
    uncut = {("xnli", "de"): 1.04, ("xnli", "es"): 1.5}
    assert compare_shares(runs, SHARES, uncut).usable == {"xnli": ("es",)}
    only_es = {"xnli": TaskRuns("xnli", "accuracy", "test", xnli.runs, {"es": xnli.languages["es"]})}
    assert compare_shares(runs, SHARES, uncut).pooled == compare_shares(only_es, SHARES).pooled
    fallen = {"de": Counts(xnli.languages["de"].numerators, xnli.languages["de"].denominators, 60.0)}
    some = {"xnli": TaskRuns("xnli", "accuracy", "test", xnli.runs, {**xnli.languages, **fallen})}
    findings = compare_shares(some, SHARES)
    (spanish,) = [row for row in findings.slopes if row.language == "es"]
    assert findings.usable == {"xnli": ("es",)}
    assert findings.pooled == spanish.difference
    alone = {"xnli": TaskRuns("xnli", "accuracy", "test", xnli.runs, fallen)}
    assert compare_shares(alone, SHARES).pooled is None


def test_the_answer_says_what_a_finer_cut_does_to_the_difference():
    said = granularity_answer(compare_shares(make_sweep({"prompt": -5.0, "finetune": -15.0}), SHARES))
    assert said.startswith("Cutting every word changes prompt minus finetune by +")
    assert said.endswith("a finer cut favors prompt.")


def test_where_both_methods_guess_the_answer_is_undecided():
    runs = make_sweep({"prompt": 0.0, "finetune": 0.0}, majority=90.0)
    assert granularity_answer(compare_shares(runs, SHARES)).startswith("Undecided: ")


def test_data_that_are_named_twice_are_refused(tmp_path):
    asked = Settings(sweep=tmp_path / "none.yaml", data="here", recipe={"data.source": "there"})
    with pytest.raises(StudyError, match="data.source is given by --data and by --set"):
        asked.check(tmp_path)
