"""Analyses of a small study: what they leave in the store, what is not done twice, what the report takes."""

import io

import pytest
from rich.console import Console
from small import write_data
from studies import write_study

from xlprompt.evaluation.report_page import Image, Section, Table
from xlprompt.training.analysis_store import (
    EXPERIMENT,
    StoredAnalysis,
    granularity_effect,
    log_analysis,
    stored_analyses,
)
from xlprompt.training.cells import StudyError
from xlprompt.training.granularity_run import KIND, run_sweep
from xlprompt.training.ledger import Ledger
from xlprompt.training.report_runs import report_study
from xlprompt.training.study import run_study
from xlprompt.training.tokenization_run import analyze_tokenization

HERE = {"executor.workers": 0}


def console():
    return Console(file=io.StringIO())


def keep(store, name, title, *, kind="granularity", model="nano", findings=None):
    section = Section(title, (Table("t", ("a",), (("1",),), "n"), Image("i", "<svg/>")), "note")
    analysis = StoredAnalysis(kind, name, section, findings or {})
    log_analysis(store, analysis, model=model, run_name=name, params={}, metrics={"x": 1.0})
    return analysis


def test_the_newest_analysis_of_each_kind_and_name_comes_back_as_it_was(tmp_path):
    keep(tmp_path, "evaluation", "old")
    newest = keep(tmp_path, "evaluation", "new")
    other = keep(tmp_path, "both", "other")
    keep(tmp_path, "evaluation", "another model's", model="large")
    ledger = Ledger(tmp_path)
    assert stored_analyses(ledger, "nano") == [newest, other]
    (run, *_) = ledger.finished_runs(EXPERIMENT, "name", "both")
    (ledger.artifacts(run.run_id) / "section.json").write_text("{}")
    assert stored_analyses(ledger, "nano") == [newest]


def test_the_verdict_takes_the_sweep_that_trained_on_finer_text_before_one_that_only_scored():
    def sweep(name, value):
        estimate = dict.fromkeys(
            ("low", "high", "p_value", "stderr", "df", "seed_stderr", "seed_df", "example_stderr")
        )
        return StoredAnalysis(KIND, name, Section("", ()), {"pooled": {**estimate, "value": value}})

    scored, trained, apart = sweep("evaluation", 1.0), sweep("both", 2.0), sweep("train", 3.0)
    assert granularity_effect([scored, trained, apart]).value == 2.0
    assert granularity_effect([apart, scored]).value == 1.0
    assert granularity_effect([apart]) is None


def small_study(folder, model):
    """A sweep's file, a finished study of both methods beside it, and the store that has it."""
    store, data = folder / "mlruns", write_data(folder / "data")
    grid = write_study(folder / "study", model, data, methods=("prompt", "finetune"))
    assert run_study(grid, store=store, console=console(), grid_overrides=HERE).finished
    sweep = folder / "sweep.yaml"
    sweep.write_text("shares: [0, 1]\nlanguages: [de, en]\nstudy: study/study.yaml\n")
    return sweep, store, data


def test_without_a_store_there_is_nothing_to_score(tmp_path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("shares: [0, 1]\n")
    with pytest.raises(StudyError, match="there is no MLflow store"):
        run_sweep(sweep, store=tmp_path / "mlruns", console=console(), out=tmp_path / "out")


@pytest.mark.integration
def test_a_studys_analyses_are_kept_resumed_and_shown_in_its_report(tmp_path, tiny_xglm):
    sweep, store, data = small_study(tmp_path, tiny_xglm)
    model, out = str(tiny_xglm), tmp_path / "out"
    found = analyze_tokenization(
        store, model=model, source=str(data), task_name="xnli", console=console(), out=out
    )
    assert [row.language for row in found.analysis.languages] == ["en", "de", "sw"]
    assert set(found.analysis.effects) == {"xnli"}
    metrics = Ledger(store).get(found.run_id).metrics
    german = found.analysis.languages[1].figures["tokens_per_word"]
    assert metrics["tokenization/tokens_per_word/de"] == pytest.approx(german.value)

    first = run_sweep(sweep, store=store, console=console(), out=out)
    assert first.done == 8  # two methods, two seeds, two shares
    again = run_sweep(sweep, store=store, console=console(), out=out)
    assert again.done == 0
    assert again.findings == first.findings
    ledger = Ledger(store)
    scorings = ledger.finished_runs(KIND, "job", KIND)
    assert len(scorings) == 8
    check_share_0_is_the_studys_own(ledger, scorings)

    _, text = report_study(store, tmp_path / "report")
    written = text.read_text(encoding="utf-8")
    assert "## Tokenization of the test set of xnli" in written
    assert "## Granularity: words cut more finely in evaluation" in written
    assert "the experiment on token granularity has not been done" not in written


@pytest.mark.slow
def test_a_sweep_that_trains_runs_the_study_with_each_share(tmp_path, tiny_xglm):
    sweep, store, _ = small_study(tmp_path, tiny_xglm)

    def trained(**values):
        return run_sweep(
            sweep,
            store=store,
            console=console(),
            out=tmp_path / "out",
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
