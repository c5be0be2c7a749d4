"""Analyses of a small study: what they leave in the store, what is not done twice, what the report takes."""

import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small import write_data
from studies import write_study
from tiny import make_xglm

from xlprompt.data.errors import DataError
from xlprompt.studies.analyses.ablation.settings import Settings as Ablation
from xlprompt.studies.analyses.alignment.measure import analyze_alignment
from xlprompt.studies.analyses.alignment.recommended.rule import Setting
from xlprompt.studies.analyses.alignment.sweep import AlignmentSweep, sweep_alignment
from xlprompt.studies.analyses.granularity.measure import KIND, run_sweep
from xlprompt.studies.analyses.granularity.settings import Sweep, part_of
from xlprompt.studies.analyses.learning.measure import measure as measure_learning
from xlprompt.studies.analyses.learning.settings import Settings as Learning
from xlprompt.studies.analyses.signs.findings import SIGNS
from xlprompt.studies.analyses.signs.measure import measure as measure_signs
from xlprompt.studies.analyses.signs.settings import Settings as Signs
from xlprompt.studies.analyses.size.measure import measure as measure_sizes
from xlprompt.studies.analyses.size.settings import Settings as Sizes
from xlprompt.studies.analyses.tokenization.measure import measure as measure_tokenization
from xlprompt.studies.analyses.tokenization.settings import Settings as Tokenization
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.grid import load_grid
from xlprompt.studies.grid.ledger import Ledger, open_ledger
from xlprompt.studies.grid.overrides import Overrides
from xlprompt.studies.grid.study import run_study
from xlprompt.studies.reports.kept_sections import find_granularity, log_section, stored_sections
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.report import report_study
from xlprompt.studies.reports.selection import find_runs
from xlprompt.training.errors import RecipeError, RunError
from xlprompt.training.recipes.settings import load_settings
from xlprompt.training.runs import scoring
from xlprompt.training.store.database import create_store, find_model

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
HERE = {"executor.workers": 0}
ALIGNMENT = AlignmentSweep(kinds=("subspace",), sentences=(4, 8), seeds=1)


def console():
    return Console(file=io.StringIO())


def keep(store, name, value, *, model="nano"):
    none = ("low", "high", "p_value", "stderr", "df", "seed_stderr", "seed_df", "example_stderr")
    section = Section("title", (Table("t", ("a",), (("1",),), "n"), Image("i", "<svg/>")), "note")
    findings = {
        "pooled": {**dict.fromkeys(none), "value": value},
        "usable": {"xnli": ["de", "es"], "ner": []},
        "shares": [0.0, 0.4],
        "seeds": {"xnli": {"prompt": [0, 1, 2], "finetune": [0, 1]}},
    }
    log_section(store, name, model, section, metrics={"x": value}, findings=findings)


def test_the_verdict_takes_the_sweep_that_trained_on_finer_text_before_one_that_only_scored(tmp_path):
    assert find_granularity(tmp_path, "nano") is None
    keep(tmp_path, "granularity-train", 3.0)
    assert find_granularity(tmp_path, "nano") is None
    keep(tmp_path, "granularity-evaluation", 1.0)
    keep(tmp_path, "granularity-evaluation", 4.0)
    keep(tmp_path, "granularity-both", 9.0, model="large")
    assert find_granularity(tmp_path, "nano").slope.value == 4.0
    keep(tmp_path, "granularity-both", 2.0)
    found = find_granularity(tmp_path, "nano")
    assert (found.slope.value, found.seeds, found.cut) == (2.0, 2, "both")
    assert found.where == "xnli in 2 languages; up to 40 % of words cut in training and test text; seeds: 2"


def test_a_part_takes_the_place_of_no_whole_analysis(tmp_path):
    section = Section("title", (), "note.")
    log_section(tmp_path, "tokenization", "nano", section, part="limit 5")
    assert stored_sections(tmp_path, "nano")["tokenization"].note == "note. Of a part alone: limit 5."
    log_section(tmp_path, "tokenization", "nano", section)
    log_section(tmp_path, "tokenization", "nano", section, part="limit 50")
    assert stored_sections(tmp_path, "nano") == {"tokenization": section}


def test_what_is_less_than_a_sweeps_file_says_is_a_part_of_it():
    path = EXPERIMENTS / "granularity" / "mini.yaml"

    def part(grid=None, **values):
        return part_of(load_settings(path, Sweep, values), path, grid or {})

    assert part() == part(limit=None) == part(shares=[0, 0.1, 0.25, 0.5, 0.75, 1]) == ""
    assert part(tasks=["xnli"], languages=["en", "de"]) == "tasks xnli; languages en, de"
    assert part(shares=[0, 1], limit=5) == "shares 0.0, 1.0; limit 5"
    assert part({"seeds": 2}, train="both") == "seeds 0, 1"
    assert part({"seeds": 9}, train="both") == ""


def test_what_is_less_than_a_grid_is_a_part_of_its_ablation():
    def part(grid=None, recipe=None):
        overrides = Overrides(grid=grid or {}, recipe=recipe or {})
        return Ablation(grid=EXPERIMENTS / "ablations" / "scheme.yaml", overrides=overrides).part()

    assert part() == part({"seeds": 9}, {"schedule.steps": 5, "model": "gemma-3-270m"}) == ""
    assert part({"seeds": [0]}, {"data.limit": 50}) == "seeds 0; data.limit 50"


def small_study(folder, model):
    """A sweep's file, a finished study of both methods beside it, and the store that has it."""
    store, data = folder / "mlruns", write_data(folder / "data")
    curve = {"evaluation": {"curve_every": 4}}
    grid = write_study(folder / "study", model, data, methods=("prompt", "finetune"), **curve)
    assert run_study(grid, store=store, console=console(), grid_overrides=HERE).finished
    sweep = folder / "sweep.yaml"
    sweep.write_text("shares: [0, 1]\nlanguages: [de, en]\nstudy: study/study.yaml\n")
    return sweep, store, data


@pytest.mark.parametrize(
    "path", sorted((EXPERIMENTS / "granularity").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_sweep_that_is_there_can_be_read_and_names_a_grid(path):
    sweep = load_settings(path, Sweep)
    assert load_grid(path.parent / sweep.study).methods[:2] == ("prompt", "finetune")
    assert sweep.codes() == ("en", "ru", "zh", "de", "es", "fr", "ja")
    assert (min(sweep.shares), max(sweep.shares)) == (0, 1)


def test_shares_outside_of_0_to_1_are_refused(tmp_path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("shares: [0, 1.5]\n")
    with pytest.raises(RecipeError, match="shares lie between 0 and 1"):
        load_settings(sweep, Sweep)


def test_without_a_store_there_is_nothing_to_score(tmp_path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("shares: [0, 1]\n")
    with pytest.raises(StudyError, match="there is no MLflow store"):
        run_sweep(sweep, store=tmp_path / "mlruns", console=console())


@pytest.mark.integration
def test_a_studys_analyses_are_kept_resumed_and_shown_in_its_report(tmp_path, tiny_xglm, monkeypatch):
    sweep, store, data = small_study(tmp_path, tiny_xglm)
    model = str(tiny_xglm)
    asked = Tokenization(model=model, data=str(data), task="xnli")
    found = measure_tokenization(asked, store=store, console=console())
    assert [row.language for row in found.findings.languages] == ["en", "de", "sw"]
    assert set(found.findings.effects) == {"xnli"}
    check_published_runs_give_the_same_correlations(found, store, asked, tmp_path)
    metrics = Ledger(store).get(found.run_id).metrics
    german = found.findings.languages[1].figures["tokens_per_word"]
    assert metrics["tokenization/tokens_per_word/de"] == pytest.approx(german.value)

    first = run_sweep(sweep, store=store, console=console())
    assert first.done == 8  # two methods, two seeds, two shares
    again = run_sweep(sweep, store=store, console=console())
    assert again.done == 0
    assert again.findings == first.findings
    ledger = Ledger(store)
    scorings = ledger.finished_runs(KIND, "job", KIND)
    assert len(scorings) == 8
    check_share_0_is_the_studys_own(ledger, scorings)
    check_a_run_without_weights_is_left_out(sweep, store)

    check_data_that_moved_can_be_named(sweep, store, data)
    again = sweep_alignment(ALIGNMENT, store=store, console=console(), device="cpu")
    assert (again.known, again.done) == (2, 0)
    check_a_sweep_that_is_told_to_stop_says_so(store, monkeypatch)
    check_curves_end_in_what_gains_are_told_of(analyze_alignment(store))

    check_curves_tell_when_languages_are_learned(store)
    _, text, _ = report_study(store, tmp_path / "report")
    written = text.read_text(encoding="utf-8")
    assert "## Tokenization of the xnli test set in data" in written
    assert "## Granularity: words cut more finely in evaluation" in written
    assert "## Alignment without labels" in written
    assert "### xnli: zero-shot mean by number of unlabelled sentences" in written
    assert "## Learning by language" in written
    assert "Languages fall during training while English rises" in written
    check_sizes_are_compared_where_there_are_two(tmp_path / "study" / "study.yaml", store, model)
    check_signs_pick_one_of_two_rates(tmp_path / "study" / "study.yaml", store)


def check_data_that_moved_can_be_named(sweep, store, data):
    moved = str(data.rename(data.with_name("moved")))
    with pytest.raises(RunError, match="Say where the data lie now: --data FOLDER"):
        sweep_alignment(ALIGNMENT, store=store, console=console(), device="cpu")
    with pytest.raises(RunError, match="Say where the data lie now: --data FOLDER"):
        run_sweep(sweep, store=store, console=console())
    assert run_sweep(sweep, store=store, console=console(), data=moved).done == 0
    there = replace(ALIGNMENT, data=moved)
    swept = sweep_alignment(there, store=store, console=console(), device="cpu")
    assert (swept.known, swept.done, swept.failures) == (0, 2, {})
    Path(moved).rename(data)


def check_curves_tell_when_languages_are_learned(store):
    learned = measure_learning(Learning(), store=store).findings[0].learned
    assert [(each.method, each.seeds, each.steps) for each in learned] == [
        ("prompt", (0, 1), (1, 2, 4, 8)),
        ("finetune", (0, 1), (1, 2, 4, 8)),
    ]
    assert [row.language for row in learned[0].languages] == ["en", "de", "sw"]
    with pytest.raises(StudyError, match="evaluation.curve_every"):
        measure_learning(Learning(tasks=("pos",)), store=store)


def check_signs_pick_one_of_two_rates(grid, store):
    with pytest.raises(StudyError, match="finished runs of two learning rates"):
        measure_signs(Signs(), store=store)
    asked = {"grid_overrides": {**HERE, "methods": ["prompt"]}}
    other = {"optimizer.learning_rate": 0.05}
    assert run_study(grid, store=store, console=console(), recipe_overrides=other, **asked).finished
    found = measure_signs(Signs(), store=store).findings[0]
    (family,) = found.families
    assert (family.method, family.rates, family.seeds, family.signs) == (
        "prompt",
        (0.01, 0.05),
        (0, 1),
        SIGNS,
    )
    assert {result.families for result in found.results} == {1}
    assert found.section().title == "Signs that pick a learning rate"


def check_sizes_are_compared_where_there_are_two(grid, store, model):
    larger = str(make_xglm(store.with_name("larger"), layers=4))
    asked = Sizes(models=(model, larger))
    with pytest.raises(StudyError, match="Run the study of sizes first: make ablation NAME=size"):
        measure_sizes(asked, store=store)
    other = {"model": larger, "evaluation.curve_every": None}
    how = {"grid_overrides": {**HERE, "seeds": 1}, "recipe_overrides": other}
    assert run_study(grid, store=store, console=console(), **how).finished
    found = measure_sizes(asked, store=store)
    assert found.values["seeds"] == {"xnli": [1, 2]}
    assert [(row.method, row.model) for row in found.findings.costs] == [
        (method, name) for name in found.findings.models for method in ("prompt", "finetune")
    ]
    assert "lora" in found.notes[0]
    for name in (model, larger):
        assert stored_sections(store, name)["size"].title == "Size of the model"
        assert {run.tags["model"] for run in find_runs(open_ledger(store, ""), name).runs.values()} == {name}
    with pytest.raises(StudyError, match="the store has studies of several models"):
        find_runs(open_ledger(store, ""))
    check_published_runs_give_the_same_sizes_and_curves(found.findings, store, asked)


def check_published_runs_give_the_same_sizes_and_curves(sizes, store, asked):
    """From files alone, and where one of the models is in the store, too."""
    files = []
    for place, name in enumerate(asked.models):
        folder = store.with_name(f"size{place}")
        page = folder.with_suffix(".md")
        page.write_text(f"<!-- {folder.name} begin -->\n<!-- {folder.name} end -->\n")
        report_study(store, folder / "out", name, publish_in=folder, document=page)
        files.append(folder / "runs.jsonl.gz")
    nowhere = store.with_name("nowhere")
    of_files = asked.model_copy(update={"runs": tuple(files)})
    assert measure_sizes(of_files, store=nowhere).findings == sizes
    assert measure_sizes(asked.model_copy(update={"runs": (files[1],)}), store=store).findings == sizes
    with pytest.raises(StudyError, match="no task has finished runs"):
        measure_sizes(asked.model_copy(update={"runs": (files[0],)}), store=nowhere)
    (learned,) = measure_learning(Learning(runs=(files[0],)), store=nowhere).findings
    assert learned in measure_learning(Learning(), store=store).findings
    with pytest.raises(StudyError, match="unknown method 'prompts'. Did you mean prompt?"):
        measure_learning(Learning(runs=(files[0],), methods=("prompts",)), store=nowhere)
    with pytest.raises(DataError, match="none.jsonl.gz"):
        Learning(runs=(store / "none.jsonl.gz",)).check(store)


def check_published_runs_give_the_same_correlations(found, store, asked, folder):
    """A store may be gone that the published runs came from."""
    readme = folder / "README.md"
    readme.write_text("<!-- results begin -->\n<!-- results end -->\n")
    report_study(store, folder / "out", publish_in=folder / "results", document=readme)
    published = asked.model_copy(update={"runs": (folder / "results" / "runs.jsonl.gz",)})
    again = measure_tokenization(published, store=folder / "empty", console=console())
    assert again.findings == found.findings
    assert again.sections[0].note == found.sections[0].note
    with pytest.raises(StudyError, match="xglm-nano"):
        measure_tokenization(
            published.model_copy(update={"model": "xglm-nano"}), store=folder / "empty", console=console()
        )
    none = measure_tokenization(asked, store=folder / "none", console=console())
    assert none.findings.effects is None
    assert "or give published runs (--runs)" in none.sections[0].note


def check_a_run_without_weights_is_left_out(sweep, store):
    heard = console()
    run = find_runs(open_ledger(store, "")).runs["xnli", "finetune", 1]
    weights = find_model(store, run.run_id).directory
    aside = weights.rename(weights.with_name("aside"))
    found = run_sweep(sweep, store=store, console=heard)
    other = find_model(store, find_runs(open_ledger(store, "")).runs["xnli", "finetune", 0].run_id).directory
    gone = other.rename(other.with_name("aside too"))
    with pytest.raises(StudyError, match="by both prompt and finetune; the weights of 2 runs cannot be read"):
        run_sweep(sweep, store=store, console=heard)
    assert "left out: xnli, of which no model of finetune can be read" in heard.file.getvalue()
    gone.rename(other)
    aside.rename(weights)
    assert found.done == 0
    assert found.findings.seeds["xnli"] == {"prompt": (0, 1), "finetune": (0,)}
    assert "left out: finetune seed 1 of xnli" in heard.file.getvalue()
    assert "since their weights cannot be read: finetune seed 1 of xnli" in found.sections[0].note


@pytest.mark.slow
def test_a_sweep_that_trains_runs_the_study_with_each_share(tmp_path, tiny_xglm):
    sweep, store, _ = small_study(tmp_path, tiny_xglm)

    def trained(**values):
        return run_sweep(
            sweep,
            store=store,
            console=console(),
            overrides={"train": "both", **values},
            grid_overrides={**HERE, "seeds": 1},
        )

    assert trained().done == 2  # those of share 0 are the study's
    assert trained().done == 0
    more = trained(shares=[0, 0.5, 1])
    assert more.done == 2
    assert more.findings.shares == (0, 0.5, 1)
    assert [row.language for row in more.findings.slopes] == ["en", "de", "all", "all"]


def check_share_0_is_the_studys_own(ledger, scorings):
    """Scores on text as it is equal those that the training run has logged."""
    for run in scorings:
        before = ledger.get(run.tags["trained_by"])
        share = float(run.params["encoding.granularity.share"])
        if share == 0:
            assert run.metrics["test/accuracy/de"] == before.metrics["test/accuracy/de"]


def check_a_sweep_that_is_told_to_stop_says_so(store, monkeypatch):
    """Where the signal comes in the midst of a scoring, which has a handler of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "score_languages", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        other = replace(ALIGNMENT, sentences=(6,))
        stopped = sweep_alignment(other, store=store, console=console(), device="cpu")
    assert (stopped.done, stopped.failures, stopped.stopped_by) == (0, {}, signal.SIGINT)


def check_curves_end_in_what_gains_are_told_of(findings):
    assert [(curve.method, curve.swept, curve.seeds) for curve in findings.curves] == [
        ("prompt", "sentences", (0,)),
        ("finetune", "sentences", (0,)),
    ]
    for curve in findings.curves:
        assert list(curve.points["subspace"]) == [4, 8]
        largest = next(
            gain for gain in findings.gains if (gain.method, gain.kind) == (curve.method, "subspace")
        )
        means = largest.comparison.zero_shot_by_seed("xnli", f"{curve.method}+subspace")
        assert curve.points["subspace"][8].mean == pytest.approx(means.mean())
        assert curve.none.mean == pytest.approx(
            largest.comparison.zero_shot_by_seed("xnli", curve.method).mean()
        )
    (recommended,) = findings.recommended.values()
    settings = {each.setting: each for each in recommended.advice.settings}
    assert set(settings) == {Setting("subspace", 4, None), Setting("subspace", 8, None)}
    for setting, each in settings.items():
        assert each.trained == 0  # English is never moved
        for curve, cell in zip(findings.curves, each.cells, strict=True):
            gained = curve.points["subspace"][setting.sentences].mean - curve.none.mean
            assert cell.mean.value == pytest.approx(gained)
    assert [each.task for each in recommended.against] == ["xnli"]


def test_a_sweep_of_runs_that_are_not_there_says_which_are(tmp_path):
    with pytest.raises(StudyError, match="there is no MLflow store"):
        sweep_alignment(ALIGNMENT, store=tmp_path / "mlruns", console=console())


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ((None,), [((4, 8), (None,))]),
        ((2, None), [((4, 8), (None,)), ((8,), (2, None))]),
    ],
)
def test_layers_and_sentences_are_swept_one_at_a_time(layers, parts):
    assert AlignmentSweep(sentences=(8, 4), layers=layers).parts() == parts


def test_a_misspelt_task_or_method_is_told_and_not_passed_over(tmp_path):
    create_store(tmp_path)
    with pytest.raises(DataError, match="unknown task 'xnly'. Did you mean xnli"):
        open_ledger(tmp_path, "", tasks=("pos", "xnly"))
    with pytest.raises(StudyError, match="unknown method 'promt'. Did you mean prompt"):
        open_ledger(tmp_path, "", methods=("lora", "promt"))
    assert open_ledger(tmp_path, "", tasks=("pos",), methods=("lora",)).training_runs(["pos"]) == []
