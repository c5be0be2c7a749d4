"""Slopes over a model's size: against lines that are known, by a rule that no single model decides."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from xlprompt.evaluation import TaskRuns
from xlprompt.evaluation.comparison.counts import Counts
from xlprompt.evaluation.comparison.statistics import degrees_of_freedom, holm
from xlprompt.studies.analyses.size.costs import RunCost
from xlprompt.studies.analyses.size.family import find_family, labels_of
from xlprompt.studies.analyses.size.figures import in_units
from xlprompt.studies.analyses.size.findings import ALL, compare_sizes
from xlprompt.studies.analyses.size.scored import doubling_weights, method_with
from xlprompt.studies.analyses.size.section import size_answers, size_section

SIZES = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000, "d": 8_000_000}
SEEDS = (0, 1, 2)
EXAMPLES = 200


def scored(correct, *, task="xnli", languages=("en", "de", "sw"), majority=33.0):
    """Runs that answer the first `correct[method, model] + seed` of 200 examples right, in every language."""
    runs = [(*key, seed) for key in correct for seed in SEEDS]
    right = np.array([np.arange(EXAMPLES) < correct[key[:2]] + key[2] for key in runs], dtype=float)
    names = tuple((method_with(method, model), seed) for method, model, seed in runs)
    counts = Counts(right, np.ones_like(right), majority)
    return TaskRuns(task, "accuracy", "test", names, dict.fromkeys(languages, counts))


def line(step, *, start=100, base=100):
    """A method that gains `step` examples on the baseline with each doubling; both become better."""
    correct = {("finetune", model): base + 10 * at for at, model in enumerate(SIZES)}
    return correct | {("prompt", model): start + (10 + step) * at for at, model in enumerate(SIZES)}


def only(findings, task="xnli", method="prompt"):
    (row,) = (row for row in findings.slopes if (row.task, row.method) == (task, method))
    return row


def test_weights_are_those_of_the_least_squares_line_over_doublings():
    values = np.array([3.0, -1.0, 4.0, 2.5])
    expected = np.polyfit([0, 1, 2, 3], values, 1)[0]
    assert doubling_weights(list(SIZES.values())) @ values == pytest.approx(expected)


def test_a_slope_is_in_points_a_doubling_and_gains_or_loses_by_the_rule():
    rising, falling = (compare_sizes({"xnli": scored(line(step))}, SIZES, ["prompt"]) for step in (6, -6))
    row = only(rising)
    assert row.slope.value == pytest.approx(3.0)  # 6 of 200 examples
    assert row.without_one == (pytest.approx(3.0), pytest.approx(3.0))
    assert row.slope.low < 3 < row.slope.high
    assert (row.ruling, only(falling).ruling, row.sizes) == ("gains", "loses", 4)
    assert [each.difference.value for each in rising.differences] == pytest.approx([0, 3, 6, 9])
    flat = only(compare_sizes({"xnli": scored(line(0))}, SIZES, ["prompt"]))
    assert (flat.slope.value, flat.ruling) == (pytest.approx(0), "undecided")


@pytest.mark.parametrize("deviations", [(1, 1, 1, 1), (4, 3, 2, 1)])
def test_intervals_of_a_slope_cover_what_they_should_with_three_seeds(deviations):
    """Eight parts with seeds of their own, by statistics.py's degrees of freedom; 20,000 draws."""
    weights = np.repeat(doubling_weights(list(SIZES.values())), 2) * np.tile([1, -1], 4)
    seeds = np.random.default_rng(0).normal(size=(20_000, 8, 3)) * np.repeat(deviations, 2)[:, None]
    own = weights**2 * seeds.var(axis=2, ddof=1) / 3
    of_seeds = own.sum(axis=1)
    df = degrees_of_freedom(1.0, of_seeds**2 / (own**2 / 2).sum(axis=1), 500)
    half = special.stdtrit(df, 0.975) * np.sqrt(of_seeds)
    covered = np.mean(abs(seeds.mean(axis=2) @ weights) < half)
    assert 0.945 < covered < 0.965


def test_what_one_model_decides_is_undecided():
    correct = line(0) | {("prompt", "d"): 190}
    row = only(compare_sizes({"xnli": scored(correct)}, SIZES, ["prompt"]))
    assert row.p_adjusted < 0.05
    assert row.without_one[0] == pytest.approx(0)
    assert row.ruling == "undecided"
    two = {name: SIZES[name] for name in ("a", "b")}
    of_two = {key: number for key, number in line(20).items() if key[1] in two}
    row = only(compare_sizes({"xnli": scored(of_two)}, two, ["prompt"]))
    assert (row.without_one, row.ruling, row.slope.value) == (None, "undecided", pytest.approx(10))


def test_a_size_at_which_both_guess_counts_in_no_slope():
    correct = line(6, start=120) | {("prompt", "a"): 66, ("finetune", "a"): 66}
    findings = compare_sizes({"xnli": scored(correct, majority=34.0)}, SIZES, ["prompt"])
    assert [row.usable for row in findings.differences] == [False, True, True, True]
    assert (only(findings).sizes, only(findings).slope.value) == (3, pytest.approx(3.0))
    scores = size_section(findings).content[2]
    assert ["chance" in row[-1] for row in scores.rows][:3] == [True, False, False]
    guesses = compare_sizes({"xnli": scored(correct, majority=99.0)}, SIZES, ["prompt"])
    section = size_section(guesses)
    assert (guesses.slopes, section.brief, len(section.content)) == ((), None, 3)
    assert size_answers(guesses) == [
        "prompt: no task has two sizes at which a method beats the majority baseline."
    ]


def test_tasks_are_corrected_by_holm_and_their_mean_is_a_test_of_its_own():
    runs = {name: scored(line(step), task=name) for name, step in (("xnli", 2), ("ner", 6), ("pos", 1))}
    findings = compare_sizes(runs, SIZES, ["prompt"])
    rows = [only(findings, name) for name in runs]
    assert [row.p_adjusted for row in rows] == pytest.approx(holm([row.slope.p_far() for row in rows]))
    mean = only(findings, ALL)
    assert mean.slope.value == pytest.approx((1 + 3 + 0.5) / 3)
    assert mean.p_adjusted == mean.slope.p_value


@pytest.fixture(scope="module")
def family():
    """Two tasks and methods; LoRA is missing with one model, and with it that task's costs."""
    correct = line(6) | {("lora", model): 110 for model in "abc"}
    runs = {"xnli": scored(correct), "pos": scored(line(-2), task="pos")}
    costs = [
        RunCost(task, method, model, 10.0 + 10 * (method == "finetune"), 100.0, 0.5)
        for task, methods in (("xnli", ("prompt", "finetune", "lora")), ("pos", ("prompt", "finetune")))
        for method in methods
        for model in SIZES
    ]
    return compare_sizes(runs, SIZES, ["prompt", "lora"], costs=costs)


def test_the_section_has_slopes_a_figure_scores_costs_and_rows_in_brief(family):
    slopes, figure, xnli, pos, costs = size_section(family).content
    assert [row[:3] for row in slopes.rows] == [
        ("prompt", "xnli", "4"),
        ("prompt", "pos", "4"),
        ("prompt", "mean over tasks", "4"),
        ("lora", "xnli", "3"),
    ]
    assert figure.svg.startswith("<?xml")
    assert (len(xnli.rows), len(pos.rows)) == (11, 8)  # LoRA lacks the largest
    assert xnli.rows[9][:2] == ("d", "prompt")
    assert xnli.rows[9][4] == "+9.0"
    assert costs.note.startswith("Means over seeds and xnli, as measured")
    assert costs.rows[0] == ("a", "prompt", "0.5", "10", "0.50", "100", "1.00")
    brief = size_section(family).brief
    assert [row[0] for row in brief.rows] == ["xnli", "pos", "mean over tasks"]
    assert json.loads(json.dumps(family.to_dict()))["models"] == SIZES


def test_the_answers_say_what_doubling_changes(family):
    prompt, lora = size_answers(family)
    assert prompt.startswith("Mean over tasks: with each doubling of the model prompt minus finetune changes")
    assert "By task: 1 gains, " in prompt
    assert lora.startswith("xnli: with each doubling of the model lora minus finetune changes by -5.0 points")


def test_parameters_are_told_in_two_digits_of_a_unit():
    assert in_units([534_528, 1_018_368, 7_902_720]) == (["0.53", "1", "7.9"], "million ")
    assert in_units([564_463_616, 1_732_907_008]) == (["0.56", "1.7"], "billion ")
    assert in_units([900, 20_000]) == (["900", "20,000"], "")


def test_models_are_shown_without_folders_where_that_tells_them_apart():
    assert labels_of(["facebook/xglm-564M", "a/tiny", "b/tiny"]) == {
        "facebook/xglm-564M": "xglm-564M",
        "a/tiny": "a/tiny",
        "b/tiny": "b/tiny",
    }


class Store:
    """The questions that a family asks of a store and published runs, over made-up ones."""

    def __init__(self, runs, unfinished=()):
        self.runs, self.unfinished = runs, unfinished

    def is_published(self, run):
        return run.published

    def curve(self, run, metric):
        return ((4, run.best - 5), (8, run.best))

    def training_runs(self, tasks):
        return [run for run in self.runs if run.tags["task"] in tasks]

    def finished_groups(self, tasks):
        return {run.tags["group_fingerprint"] for run in self.training_runs(tasks)} - set(self.unfinished)


def run(method, model, *, group="", rate="1e-3", seed=0, score=50.0, data="d", **params):
    values = {
        "model": model,
        "seed": str(seed),
        "total_params": str(SIZES[model]),
        "head_params": str(SIZES[model] // 1000),
        "optimizer.learning_rate": rate,
        "data_fingerprint.train": data,
    }
    tags = {"task": "xnli", "method": method, "model": model}
    tags["group_fingerprint"] = f"{method} {model} {rate} {data} {group}"
    metrics = {"test/accuracy/mean_zero_shot": score, "best/accuracy": score}
    return SimpleNamespace(
        status="FINISHED", tags=tags, params=values | params, metrics=metrics, published=False
    )


def published(run):
    """The run without some of its parameters, as files have it."""
    kept = ("model", "seed", "total_params", "optimizer.learning_rate")
    params = {key: run.params[key] for key in kept}
    known = {"params": params, "metrics": {"test/accuracy/mean_zero_shot": 50.0}, "published": True}
    return SimpleNamespace(**{**vars(run), **known, "best": run.metrics["best/accuracy"]})


def found(runs, *, best_rate=False, unfinished=()):
    store = Store(runs, unfinished)
    family = find_family(store, list(SIZES), ["xnli"], ["prompt"], "finetune", best_rate=best_rate)
    return {method: of_models for (_, method), of_models in family.items()}


def test_runs_of_a_family_differ_in_model_and_seed_alone():
    family = [
        run(method, model, seed=seed)
        for method in ("prompt", "finetune")
        for model in "abc"
        for seed in SEEDS
    ]
    others = [
        run("prompt", "a", rate="5e-2"),
        run("prompt", "a", group="short", **{"prompt.length": "3"}),
        run("prompt", "d", data="other"),
        run("lora", "d"),
    ]
    chosen = found(others + family)
    assert {method: sorted(models) for method, models in chosen.items()} == {
        "prompt": ["a", "b", "c"],
        "finetune": ["a", "b", "c"],
    }
    assert chosen["prompt"]["a"][2] is family[2]
    assert found([each for each in family if each.tags["method"] == "prompt"]) == {}
    assert found([each for each in family if each.tags["model"] == "a"]) == {}


def test_published_runs_are_compared_by_the_parameters_that_they_have():
    here = [
        run(method, model, **{"prompt.length": "9"}) for method in ("prompt", "finetune") for model in "ab"
    ]
    there = [published(run(method, "c", **{"prompt.length": "9"})) for method in ("prompt", "finetune")]
    other = [published(run("prompt", "d", rate="5e-2")), published(run("finetune", "d"))]
    longer = run("prompt", "b", group="long", **{"prompt.length": "30"})
    chosen = found([*other, longer, *there, *here])
    assert sorted(chosen["prompt"]) == ["a", "b", "c"]
    assert chosen["prompt"]["c"][0] is there[0]
    assert (
        chosen["prompt"]["b"][0] is here[1]
    )  # `longer` has no other size of its recipe but the published one
    assert sorted(chosen["finetune"]) == ["a", "b", "c", "d"]


def test_of_a_model_the_newest_complete_study_counts():
    older = [run(method, model) for method in ("prompt", "finetune") for model in "ab"]
    newer = run("prompt", "a", group="newer")
    assert found([newer, *older])["prompt"]["a"][0] is newer
    unfinished = (newer.tags["group_fingerprint"],)
    assert found([newer, *older], unfinished=unfinished)["prompt"]["a"][0] is older[0]


def test_each_model_may_have_the_rate_that_its_development_score_prefers():
    family = [run(method, model) for method in ("prompt", "finetune") for model in "abc"]
    better = run("prompt", "b", rate="5e-3", score=60.0)
    worse = run("prompt", "c", rate="5e-3", score=40.0)
    assert found([better, worse, *family])["prompt"]["b"][0] is family[1]
    chosen = found([better, worse, *family], best_rate=True)["prompt"]
    assert chosen["b"][0] is better
    assert chosen["c"][0] is family[2]
    files = [published(each) for each in (better, worse, *family)]
    chosen = found(files, best_rate=True)["prompt"]
    assert chosen["b"][0] is files[0]
    assert chosen["c"][0] is files[4]
