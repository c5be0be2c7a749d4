"""From a store to a report: which runs count, what is read of them, and what the store keeps of it."""

import io
import re
from dataclasses import replace

import mlflow
import pytest
from rich.console import Console
from small import write_data
from studies import write_study

from xlprompt.data.tasks import register
from xlprompt.data.tasks.own import TaskDefinition
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun, Ledger
from xlprompt.studies.grid.study import run_study
from xlprompt.studies.reports import report as report_runs
from xlprompt.studies.reports.report import report_study
from xlprompt.studies.reports.selection import StudyRuns, find_fertility, find_runs
from xlprompt.studies.reports.sources import RunSource
from xlprompt.training.store.database import store_uri
from xlprompt.training.store.labels import TASK_DEFINITION_TAG
from xlprompt.training.store.mlflow_tracker import MlflowTracker


class Store:
    """Finished cells, newest first, as a ledger gives them."""

    def __init__(self, *runs, complete=()):
        self.runs, self.complete = list(runs), set(complete)

    def finished_cells(self, tasks):
        return [run for run in self.runs if run.tags["task"] in tasks]

    def finished_groups(self, tasks):
        return self.complete


def cell(task="xnli", method="prompt", seed=0, *, group="new", model="nano", run_id="", **metrics):
    tags = {"task": task, "method": method, "model": model, GROUP_TAG: f"{method}-{group}"}
    run_id = run_id or f"{task}-{method}-{seed}-{group}"
    return CellRun(run_id, "FINISHED", 0, {"seed": str(seed)}, tags, metrics, None)


def ids(study):
    return [run.run_id for run in study.runs.values()]


def test_the_recipe_that_ran_last_is_taken_and_none_is_mixed_with_it():
    # Of the old recipe there are more seeds; they would be means over another recipe.
    old = [cell(seed=seed, group="old") for seed in (2, 1, 0)]
    study = find_runs(Store(cell(seed=1), cell(method="finetune"), cell(), *old))
    assert ids(study) == ["xnli-prompt-0-new", "xnli-prompt-1-new", "xnli-finetune-0-new"]
    assert study.notes == ("Older runs with another recipe, data or code are left out: xnli prompt.",)


def test_of_two_own_tasks_of_one_name_the_newest_is_taken_and_the_other_is_named():
    def defined(run, *labels):
        values = {"kind": "classification", "fields": ("text", "label"), "labels": labels}
        definition = TaskDefinition(**values, metrics=("accuracy",))
        register(definition.task("topics"))
        return replace(run, tags={**run.tags, TASK_DEFINITION_TAG: definition.as_text()})

    old = [defined(cell("topics", method, group="old"), "a", "b") for method in ("prompt", "finetune")]
    new = [defined(cell("topics", method), "a", "b", "c") for method in ("prompt", "finetune")]
    study = find_runs(Store(*new, *old))
    assert ids(study) == ["topics-prompt-0-new", "topics-finetune-0-new"]
    assert study.notes[0].startswith("Runs of another task of the same name are left out: topics.")
    with pytest.raises(StudyError, match="no task has finished runs"):
        find_runs(Store(new[0], old[1]))


@pytest.mark.parametrize(
    "origin", ["backbone_fingerprint", "data_fingerprint.train", "data_fingerprint.validation"]
)
def test_methods_are_compared_on_the_same_weights_and_training_data(origin):
    def of(value, *runs):
        return [replace(run, params={**run.params, origin: value}) for run in runs]

    old = of("old", cell(group="old"), cell(method="finetune", group="old"), cell(method="lora"))
    new = of("new", cell(), cell(method="finetune"))
    study = find_runs(Store(*new, *old, cell(method="head")))  # of which nothing is known
    assert ids(study) == ["xnli-prompt-0-new", "xnli-finetune-0-new", "xnli-head-0-new"]
    others, older = study.notes
    assert others.startswith("Runs are left out that began from other weights under the model's name, or")
    assert others.endswith("than those compared: xnli lora. Train both methods on the same.")
    assert older.endswith("are left out: xnli finetune, xnli prompt.")

    # Until both methods have run on the new, it is the old that can be compared.
    waiting = find_runs(Store(new[0], *old))
    assert ids(waiting) == ["xnli-prompt-0-old", "xnli-finetune-0-old", "xnli-lora-0-new"]
    assert waiting.notes[0].endswith("than those compared: xnli prompt. Train both methods on the same.")
    with pytest.raises(StudyError, match=r"learned from other data: xnli finetune\)"):
        find_runs(Store(new[0], old[1]))


def test_a_report_is_on_runs_of_the_same_training_languages_english_unless_told_otherwise():
    def trained(on, more="[]"):
        params = {"seed": "0", "data.train_language": on, "data.also_train_on": more}
        for method in ("prompt", "finetune"):
            run = cell(method=method, group=on + more, run_id=f"{method} {on} {more}")
            yield replace(run, params=params)

    newer = (*trained("de"), *trained("en", '["de"]'))
    store = Store(*newer, cell(), cell(method="finetune"))
    study = find_runs(store)
    assert ids(study) == ["xnli-prompt-0-new", "xnli-finetune-0-new"]
    assert study.notes[0].startswith("This is on runs trained on en. Those trained on de, en+de are left out")
    assert ids(find_runs(store, trained="en+de")) == ['prompt en ["de"]', 'finetune en ["de"]']
    assert ids(find_runs(Store(*newer))) == ["prompt de []", "finetune de []"]
    with pytest.raises(StudyError, match=r"trained on sw; there are runs trained on de, en\+de, en"):
        find_runs(store, trained="sw")


def test_a_report_says_which_runs_read_unlabelled_text_of_other_languages():
    pulled = replace(cell(), params={"seed": "0", "alignment_loss.weight": "0.5"})
    plain = replace(cell(method="finetune"), params={"seed": "0", "alignment_loss.weight": "0.0"})
    (note,) = find_runs(Store(pulled, plain)).notes
    assert note.startswith("Trained with an alignment loss")
    assert note.endswith(": xnli prompt.")


def test_an_old_recipe_that_ran_again_is_the_newest():
    runs = (cell(group="old", run_id="again"), cell(), cell(group="old"), cell(method="finetune"))
    assert ids(find_runs(Store(*runs))) == ["again", "xnli-finetune-0-new"]


def test_a_newer_recipe_waits_until_all_of_its_seeds_have_finished():
    old = [cell(seed=seed, group="old") for seed in (1, 0)]
    runs = (cell(), cell(method="finetune"), *old, cell(group="oldest"))
    study = find_runs(Store(*runs, complete=["prompt-old", "prompt-oldest"]))
    assert ids(study) == ["xnli-prompt-0-old", "xnli-prompt-1-old", "xnli-finetune-0-new"]
    newer, older = study.notes
    assert newer.startswith(
        "Newer runs are left out, because not all of their seeds have finished: xnli prompt."
    )
    assert older.startswith("Older runs")
    finished = find_runs(Store(*runs, complete=["prompt-old", "prompt-new"]))
    assert ids(finished) == ["xnli-prompt-0-new", "xnli-finetune-0-new"]


def test_tasks_without_both_methods_are_named_and_left_out():
    runs = (cell(), cell(method="finetune"), cell(task="pos"), cell(task="ner", method="head"))
    study = find_runs(Store(*runs))
    assert {key[0] for key in study.runs} == {"xnli"}
    assert [note[:21] for note in study.notes] == ["Task ner is left out:", "Task pos is left out:"]


def test_runs_of_further_methods_come_along_where_both_methods_are():
    others = [cell(method=method) for method in ("lora", "head", "unknown")]
    study = find_runs(Store(*others, cell(), cell(method="finetune")))
    assert [key[1] for key in study.runs] == ["prompt", "finetune", "head", "lora"]


def test_of_several_models_one_has_to_be_named():
    both = [cell(method=method, model=model) for model in ("a", "b") for method in ("prompt", "finetune")]
    with pytest.raises(StudyError, match="--model: a, b"):
        find_runs(Store(*both))
    assert find_runs(Store(*both), "b").model == "b"


def test_tokens_per_word_are_of_the_task_that_has_most_languages_and_tagging_first():
    def fineness(**by_language):
        return {f"tokenization/tokens_per_word/{code}": value for code, value in by_language.items()}

    pairs = cell(**fineness(en=1.0, de=2.0))
    tagged = cell(task="pos", **fineness(en=1.5, de=2.5))
    study = StudyRuns("nano", {("xnli", "prompt", 0): pairs, ("pos", "prompt", 0): tagged}, ())
    assert find_fertility(study).task == "pos"
    assert find_fertility(study).by_language == {"en": 1.5, "de": 2.5}
    more = replace(pairs, metrics=fineness(en=1.0, de=2.0, sw=3.0))
    assert find_fertility(replace(study, runs={**study.runs, ("xnli", "prompt", 0): more})).task == "xnli"
    assert find_fertility(StudyRuns("nano", {("xnli", "prompt", 0): cell()}, ())) is None


def test_of_a_step_that_was_done_twice_the_last_score_counts(tmp_path):
    tracker = MlflowTracker(tmp_path)
    run_id = tracker.start(experiment="xnli", run_name="one", params={}, tags={})
    for step, value in ((10, 50.0), (20, 60.0), (20, 61.0)):
        tracker.log_metrics({"validation/accuracy/en": value}, step=step)
        tracker.flush()
    tracker.end("FINISHED")
    ledger = Ledger(tmp_path)
    assert ledger.history(run_id, "validation/accuracy/en") == ((10, 50.0), (20, 61.0))
    assert ledger.history(run_id, "validation/accuracy/de") == ()


@pytest.mark.integration
def test_a_finished_study_becomes_a_report_that_the_store_keeps(tmp_path, tiny_xglm, monkeypatch):
    store, out = tmp_path / "mlruns", tmp_path / "out"
    with pytest.raises(StudyError, match="there is no MLflow store"):
        report_study(store, out)
    data = write_data(tmp_path / "data")
    here = {"executor.workers": 0}
    console = Console(file=io.StringIO())
    for methods in (("prompt",), ("prompt", "finetune")):
        if methods != ("prompt",):
            with pytest.raises(StudyError, match="no task has finished runs of a study with both"):
                report_study(store, out)
        grid = write_study(tmp_path / "study", tiny_xglm, data, methods=methods)
        assert run_study(grid, store=store, console=console, grid_overrides=here).finished

    ledger = Ledger(store)
    study = find_runs(ledger)
    assert ledger.finished_groups(["xnli"]) == {run.tags[GROUP_TAG] for run in study.runs.values()}
    with monkeypatch.context() as patch:  # what the search has told is not asked for again
        patch.setattr(ledger, "_client", None)
        assert all(ledger.predictions(run.run_id) for run in study.runs.values())
    assert sorted(study.runs) == [("xnli", m, seed) for m in ("finetune", "prompt") for seed in (0, 1)]
    with pytest.raises(StudyError, match="of other"):
        report_study(store, out, "other")
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    page, text, _ = report_study(store, out)
    written = text.read_text(encoding="utf-8")
    assert "xnli: scores by language" in page.read_text(encoding="utf-8")
    assert "| xnli | prompt | 2 | 4 to 8 |" in written  # learning curves, from the metrics' histories
    assert "| xnli | finetune | 2 | 3 |" in written  # the language-model loss of three languages
    assert "| Swahili (sw) | low |" in written.partition("### Tokens a word")[2]
    errs = written.partition("## Where it errs")[2]
    assert "Of seeds 0, 1." in errs
    assert all(f"| xnli | {method} |" in errs for method in ("prompt", "finetune"))
    assert "### xnli: who is right" in errs
    check_head_only_runs(study, store, tmp_path / "with-head", monkeypatch)
    experiment = client.get_experiment_by_name("report")
    run = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])[0]
    assert run.info.status == "FINISHED"
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {page.name, text.name}


def check_head_only_runs(study, store, out, monkeypatch):
    """Runs that stand in for head-only ones: fine-tuning gains nothing over itself."""
    heads = {("xnli", "head", seed): study.runs["xnli", "finetune", seed] for seed in (0, 1)}
    others = {("xnli", "lora", seed): study.runs["xnli", "prompt", seed] for seed in (0, 1)}
    with_heads = replace(study, runs={**study.runs, **heads, **others})
    monkeypatch.setattr(report_runs, "find_runs", lambda *_: with_heads)
    _, text, _ = report_study(store, out)
    written = text.read_text(encoding="utf-8")
    table = written.partition("### Gain over training the head alone")[2]
    assert "| xnli | finetune | +0.0 |" in table
    assert "| xnli | head | 2 | 4 to 8 |" in written  # learning curves
    beside = written.partition("### xnli: other methods against prompt and finetune")[2]
    for method, reference in (("head", "finetune"), ("lora", "prompt")):  # they stand in for each other
        (row,) = (
            line for line in beside.splitlines() if re.match(rf"\| {method} \| .* \| {reference} \|", line)
        )
        assert f"| {reference} | +0.0 | " in row
    costs = written.partition("### Cost and score")[2].partition("\n## ")[0]
    assert [line.split(" | ")[1] for line in costs.splitlines() if line.startswith("| xnli")] == [
        *("prompt", "finetune", "head", "lora")
    ]

    of_run = Ledger(store).predictions

    def predictions(_, run_id):
        found = of_run(run_id.removeprefix("head "))
        return {code: found[code] for code in found if run_id in study_ids or code != "sw"}

    study_ids = [run.run_id for run in study.runs.values()]
    misfits = {key: replace(run, run_id=f"head {run.run_id}") for key, run in heads.items()}
    monkeypatch.setattr(Ledger, "predictions", predictions)
    counts, left_out = report_runs._load(
        replace(study, runs={**study.runs, **misfits, **others}), RunSource(store, Ledger(store))
    )
    assert not counts["xnli"].of("head")
    assert counts["xnli"].of("lora") == [4, 5]  # which fit
    (sentence,) = left_out
    assert sentence.startswith("The runs of xnli head are left out of its scores: ")
    assert "only one of them has sw" in left_out[0]
