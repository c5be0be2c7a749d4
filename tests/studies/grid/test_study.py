"""Whole studies with a tiny backbone, in this process or in real worker processes that are killed."""

import io
import resource
import shutil
import signal
import statistics
import time
from functools import partial

import mlflow
import pytest
import yaml
from filelock import FileLock
from rich.console import Console
from small import write_data
from studies import (
    check_all_finished,
    gone,
    runs_of,
    scores,
    start_study,
    wait_for_training,
    workers_of,
    write_study,
)

from xlprompt.studies.analyses.ablation import measure as ablation
from xlprompt.studies.analyses.ablation.settings import Settings
from xlprompt.studies.errors import StudyError
from xlprompt.studies.executors.local import Supervisor
from xlprompt.studies.grid import cells
from xlprompt.studies.grid.ledger import RUN_TAG, Ledger
from xlprompt.studies.grid.overrides import Overrides
from xlprompt.studies.grid.single_runs import marks, unmark_if_changed
from xlprompt.studies.grid.study import run_study
from xlprompt.studies.reports.kept_sections import stored_sections
from xlprompt.training import load_recipe, train
from xlprompt.training.store.database import store_uri
from xlprompt.training.store.listing import list_runs
from xlprompt.training.store.training_state import saved_steps

pytestmark = pytest.mark.integration

HERE = {"executor.workers": 0}  # in this process: no time for imports


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


@pytest.fixture
def call(store, console):
    def run(grid, **options):
        options.setdefault("grid_overrides", HERE)
        return run_study(grid, store=store, console=console, **options)

    return run


def test_an_ablation_stays_out_of_reports_until_a_study_asks_for_what_it_ran(
    call, store, tiny_xglm, data, tmp_path, console
):
    grid = write_study(tmp_path / "study", tiny_xglm, data)
    lengths = {"4": {"prompt.length": 4}, "8": {"prompt.length": 8}}  # the recipe's own length is 4
    call(grid, grid_overrides={**HERE, "seeds": 1, "variants": lengths})
    parents, _ = runs_of(store)
    name = f"prompt-{tiny_xglm.name}"
    assert {run.info.run_name for run in parents} == {f"{name}-4", f"{name}-8"}
    assert "variant" in console.file.getvalue()
    assert Ledger(store).finished_cells(["xnli"]) == []
    assert {run.variant for run in list_runs(store)} == {"4", "8"}
    delete(store, *parents)
    assert Ledger(store).finished_cells(["xnli"]) == []

    result = call(grid, grid_overrides={**HERE, "seeds": 1})
    assert result.plan.count("done") == 1  # nothing was run twice
    (cell,) = Ledger(store).finished_cells(["xnli"])
    assert cell.params["prompt.length"] == "4"
    ((parent,), _) = runs_of(store)
    assert parent.info.run_name == name
    assert {run.variant for run in list_runs(store)} == {"", "8"}

    def compared(changes):
        return ablation.measure(Settings(grid=grid, overrides=Overrides(grid=changes)), store=store)

    seeds = {"seeds": 2, "variants": lengths}
    outcome = compared(seeds)
    assert outcome.values["missing"] == ["xnli-prompt 4 seed 1", "xnli-prompt 8 seed 1"]
    (found,) = outcome.findings
    assert [row.name for row in found.variants] == ["4", "8"]
    assert found.variants[0].trained_on.mean == cell.metrics["test/accuracy/en"]
    assert list(stored_sections(store, str(tiny_xglm)).values()) == outcome.sections
    with pytest.raises(StudyError, match="xnli-prompt 9 has no finished run. Run it first"):
        compared({"variants": {**lengths, "9": {"prompt.length": 9}}})
    with pytest.raises(StudyError, match="has no two variants to compare"):
        compared({})


def test_every_cell_is_a_child_of_its_tasks_run_which_holds_the_aggregates(
    call, store, tiny_xglm, data, tmp_path, console, monkeypatch
):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # mlflow.start_run would take it over
    grid = write_study(tmp_path / "study", tiny_xglm, data, tasks=("xnli", "pos"))
    result = call(grid)
    assert result.finished
    assert not result.failures
    check_all_finished(store, 4, "xnli", "pos")
    parents, children = runs_of(store, "xnli", "pos")
    assert len(parents) == 2
    for parent in parents:
        own = [run for run in children if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
        values = [run.data.metrics["test/accuracy/de"] for run in own]
        assert len(values) == 2
        logged = parent.data.metrics
        assert logged["test/accuracy/de"] == pytest.approx(statistics.fmean(values))
        assert logged["test/accuracy/de/sd"] == pytest.approx(statistics.stdev(values))
        half = 12.706 * statistics.stdev(values) / 2**0.5  # Student's t with one degree of freedom
        assert logged["test/accuracy/de/ci_high"] == pytest.approx(statistics.fmean(values) + half, rel=1e-3)
        assert logged["seeds"] == 2
        assert parent.data.params["trainable_percent"] == own[0].data.params["trainable_percent"]
        assert {run.data.metrics.keys() >= {"cost/total_seconds"} for run in own} == {True}
    (xnli,) = [each for each in result.results if each.group.task == "xnli"]
    assert xnli.trained_on.mean == pytest.approx(
        statistics.fmean(
            run.data.metrics["test/accuracy/en"] for run in children if run.data.tags["task"] == "xnli"
        )
    )
    shown = console.file.getvalue()
    assert "4 cells: 0 done, 0 to resume, 4 to run" in shown
    assert "xnli-prompt seed 1: finished" in shown
    assert "zero-shot" in shown


def test_a_second_call_runs_nothing_and_more_seeds_run_only_those(call, store, tiny_xglm, data, tmp_path):
    grid = write_study(tmp_path / "study", tiny_xglm, data)
    call(grid)
    before = {run.info.run_id: run.info.end_time for group in runs_of(store) for run in group}
    again = call(grid)
    assert again.finished
    assert again.plan.count("done") == 2
    assert {run.info.run_id: run.info.end_time for group in runs_of(store) for run in group} == before
    more = call(grid, grid_overrides=HERE | {"seeds": 3})
    assert (more.plan.count("done"), more.plan.count("run")) == (2, 1)
    assert more.plan.to_do[0].seconds is not None  # by the two that have run
    check_all_finished(store, 3)
    ((parent,), _) = runs_of(store)
    assert parent.data.metrics["seeds"] == 3


def delete(store, *runs):
    """What MLflow's UI does."""
    for run in runs:
        mlflow.MlflowClient(tracking_uri=store_uri(store)).delete_run(run.info.run_id)


def test_the_run_over_seeds_that_was_deleted_is_made_again(call, store, tiny_xglm, data, tmp_path):
    grid, one = write_study(tmp_path / "study", tiny_xglm, data), HERE | {"seeds": 1}
    call(grid, grid_overrides=one)
    ((old,), _) = runs_of(store)
    delete(store, old)
    (result,) = call(grid, grid_overrides=one).results
    check_all_finished(store, 1)
    ((new,), (child,)) = runs_of(store)
    assert new.info.run_id == result.parent_run_id != old.info.run_id
    assert new.data.metrics == old.data.metrics
    assert child.data.tags["mlflow.parentRunId"] == new.info.run_id
    assert "### The study" in new.data.tags["mlflow.note.content"]


def single_run(grid, store, console, seed, **changes):
    """What `xlprompt train` does with the recipe of a study."""
    recipe = load_recipe(grid.parent / "xnli-prompt.yaml", {"seed": seed, **changes})
    return train(recipe, store=store, console=console, tags=partial(marks, recipe, store, console)).run_id


def test_a_single_run_that_equals_a_cell_is_that_cell(call, store, tiny_xglm, data, tmp_path, console):
    grid = write_study(tmp_path / "study", tiny_xglm, data)
    call(grid, grid_overrides={**HERE, "seeds": 1})
    other = single_run(grid, store, console, 1, **{"schedule.steps": 7})
    equal = single_run(grid, store, console, 1)
    assert "has done just this" not in console.file.getvalue()
    assert call(grid, dry_run=True).plan.count("done") == 2
    result = call(grid)
    assert (result.plan.count("done"), result.finished) == (2, True)
    check_all_finished(store, 2)
    ((parent,), children) = runs_of(store)
    assert parent.data.metrics["seeds"] == 2
    assert {run.info.run_id for run in children if "mlflow.parentRunId" not in run.data.tags} == {other}
    assert equal in {run.run_id for run in Ledger(store).finished_cells(["xnli"])}

    again = single_run(grid, store, console, 1)  # told, and not refused
    assert f"Run {equal} has done just this and has finished" in console.file.getvalue()
    assert call(grid).plan.count("done") == 2
    assert again not in {run.run_id for run in Ledger(store).finished_cells(["xnli"])}
    assert call(grid, force=True, grid_overrides={**HERE, "seeds": 1}).plan.count("run") == 1
    assert call(grid).plan.count("done") == 2


def test_a_single_run_by_other_code_data_or_weights_is_no_cell(
    call, store, tiny_xglm, data, tmp_path, console, monkeypatch
):
    model, folder = tmp_path / "model", tmp_path / "data"
    shutil.copytree(tiny_xglm, model)
    shutil.copytree(data, folder)
    grid = write_study(tmp_path / "study", model, folder)
    run_id = single_run(grid, store, console, 0)
    done = {"grid_overrides": {**HERE, "seeds": 1}, "dry_run": True}
    assert call(grid, **done).plan.count("done") == 1
    with monkeypatch.context() as patch:
        patch.setattr(cells, "code_version", lambda _entry: "another")
        assert call(grid, **done).plan.count("done") == 0
        # A run that is gone on with by other code is of neither.
        unmark_if_changed(load_recipe(grid.parent / "xnli-prompt.yaml"), store, run_id)
    assert call(grid, **done).plan.count("done") == 0
    mlflow.MlflowClient(tracking_uri=store_uri(store)).set_tag(run_id, RUN_TAG, "f" * 64)
    assert call(grid, **done).plan.count("done") == 0


def test_force_runs_again_and_the_old_runs_leave_the_study(call, store, tiny_xglm, data, tmp_path):
    grid = write_study(tmp_path / "study", tiny_xglm, data)
    call(grid)
    old = {run.info.run_id for run in runs_of(store)[1]}
    assert call(grid, force=True).finished
    check_all_finished(store, 2)
    ((_,), children) = runs_of(store)
    assert len(children) == 4
    for run in children:
        assert (run.info.run_id in old) == ("superseded_cell" in run.data.tags)
        assert (run.info.run_id in old) == ("mlflow.parentRunId" not in run.data.tags)


def test_a_grid_may_have_its_full_fine_tuning_done_by_plain_torch(call, store, tiny_xglm, data, tmp_path):
    grid = write_study(tmp_path, tiny_xglm, data, methods=("prompt", "finetune"))
    call(grid, grid_overrides={**HERE, "seeds": 1, "executor.engine": "torch"})
    assert {(run.data.tags["method"], run.data.params["engine"]) for run in runs_of(store)[1]} == {
        ("prompt", "torch"),
        ("finetune", "torch"),
    }


def test_a_grids_engine_is_that_of_full_fine_tuning_alone(call, store, tiny_xglm, data, tmp_path):
    grid = write_study(tmp_path, tiny_xglm, data)
    with pytest.raises(StudyError, match="no method here is finetune. Leave it out"):
        call(grid, grid_overrides={**HERE, "executor.engine": "deepspeed"})
    values = yaml.safe_load(grid.read_text())
    call(grid, grid_overrides={**HERE, "executor.engine": "torch"}, dry_run=True)  # theirs anyway
    values.setdefault("executor", {})["engine"] = "deepspeed"
    grid.write_text(yaml.safe_dump(values))
    call(grid)
    assert {run.data.params["engine"] for run in runs_of(store)[1]} == {"torch"}


def test_a_cell_that_fails_stops_no_other_and_is_tried_again_next_time(
    call, store, tiny_xglm, data, tmp_path, console
):
    grid = write_study(tmp_path / "study", tiny_xglm, data, methods=("prompt", "finetune"))
    recipe = grid.parent / "xnli-prompt.yaml"
    values = yaml.safe_load(recipe.read_text())
    broken = values | {"optimizer": values["optimizer"] | {"learning_rate": 1e30, "clip_norm": None}}
    recipe.write_text(yaml.safe_dump(broken))
    result = call(grid)
    assert not result.finished
    assert result.failures.keys() == {"xnli-prompt seed 0", "xnli-prompt seed 1"}
    assert "TrainingDiverged" in result.failures["xnli-prompt seed 0"]
    parents, _ = runs_of(store)
    assert {run.data.tags["method"]: run.info.status for run in parents} == {
        "prompt": "FAILED",
        "finetune": "FINISHED",
    }
    (failed,) = [run for run in parents if run.info.status == "FAILED"]
    assert "xnli-prompt seed 1: TrainingDiverged" in failed.data.tags["error"]
    assert call(grid).plan.count("run") == 2


def test_runs_that_a_dead_process_left_running_get_their_true_state(call, store, tiny_xglm, data, tmp_path):
    grid = write_study(tmp_path / "study", tiny_xglm, data)
    call(grid)
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    experiment = client.get_experiment_by_name("xnli").experiment_id
    tags = {"job": "train", "task": "xnli", "method": "prompt", "cell_fingerprint": "f" * 64}
    abandoned = client.create_run(experiment, tags=tags).info.run_id
    alive = client.create_run(experiment, tags=tags | {"cell_fingerprint": "e" * 64}).info.run_id
    parent = runs_of(store)[0][0].info.run_id
    client.update_run(parent, status="RUNNING")
    with FileLock(store / "study-locks" / f"cell-{'e' * 24}.lock"):
        call(grid)
    assert client.get_run(abandoned).info.status == "KILLED"
    assert "killed" in client.get_run(abandoned).data.tags["error"]
    assert client.get_run(alive).info.status == "RUNNING"
    assert client.get_run(parent).info.status == "FINISHED"  # its cells all have


def test_a_dry_run_shows_the_plan_and_writes_nothing(tiny_xglm, data, tmp_path, console):
    grid, store = write_study(tmp_path / "study", tiny_xglm, data), tmp_path / "mlruns"
    result = run_study(grid, store=store, console=console, grid_overrides=HERE, dry_run=True)
    assert (result.plan.count("run"), result.finished) == (2, False)
    assert "2 cells: 0 done, 0 to resume, 2 to run" in console.file.getvalue()
    assert not store.exists()


def test_two_studies_of_the_same_cells_at_once_are_refused(call, store, tiny_xglm, data, tmp_path):
    grid = write_study(tmp_path / "study", tiny_xglm, data)
    group = call(grid, dry_run=True).plan.groups[0].fingerprint
    (store / "study-locks").mkdir(exist_ok=True)
    with (
        FileLock(store / "study-locks" / f"group-{group[:24]}.lock"),
        pytest.raises(StudyError, match="another process is at work on xnli-prompt"),
    ):
        call(grid)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_run_goes_on(
    call, store, tiny_xglm, data, tmp_path, console, monkeypatch
):
    """One cell in a real worker process, which dies at its first training state."""
    changes = {"schedule": {"steps": 400, "evaluate_every": 50, "checkpoint_every": 20}}
    grid = write_study(tmp_path / "study", tiny_xglm, data, **changes)
    killed = []
    attempt = Supervisor._attempt

    def with_a_killer(self):
        report = self._report

        def listen(event):
            report(event)
            states = list(store.glob("training-states/*"))
            if not killed and states and saved_steps(states[0]):
                killed.append(saved_steps(states[0])[-1])
                self._process.kill()

        self._report = listen
        try:
            return attempt(self)
        finally:
            self._report = report

    monkeypatch.setattr(Supervisor, "_attempt", with_a_killer)
    result = call(grid, grid_overrides={"seeds": 1, "executor.workers": 1})
    assert killed
    assert result.finished, console.file.getvalue()
    check_all_finished(store, 1)
    ((_,), (child,)) = runs_of(store)  # the same MLflow run
    shown = console.file.getvalue()
    assert "its process died (SIGKILL" in shown
    assert "goes on from step" in shown
    history = mlflow.MlflowClient(tracking_uri=store_uri(store)).get_metric_history(
        child.info.run_id, "validation/accuracy/en"
    )
    assert [point.step for point in history] == list(range(50, 401, 50))


@pytest.fixture
def long_study(tmp_path, tiny_xglm, data):
    changes = {"schedule": {"steps": 800, "evaluate_every": 100, "checkpoint_every": 10}}
    return write_study(tmp_path / "study", tiny_xglm, data, methods=("prompt", "finetune"), **changes)


@pytest.mark.slow
def test_a_study_stopped_in_every_way_ends_with_each_cell_finished_once_and_as_if_undisturbed(
    long_study, store, tmp_path, own_cache
):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = start_study(long_study, store, "--workers", "2")
        wait_for_training(process, store)
        time.sleep(1)
        process.send_signal(number)
        output, _ = process.communicate(timeout=180)
        assert process.returncode == code, output
        assert "The same command goes on" in output
        parents, children = runs_of(store)
        assert "KILLED" in {run.info.status for run in parents}
        assert "RUNNING" not in {run.info.status for run in parents + children}

    process = start_study(long_study, store, "--workers", "2")
    wait_for_training(process, store)
    workers = workers_of(process)
    assert workers
    process.kill()
    process.communicate()
    assert gone(workers, 60)

    process = start_study(long_study, store, "--workers", "2")
    wait_for_training(process, store)
    workers_of(process)[0].kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    check_all_finished(store, 4)

    undisturbed = tmp_path / "undisturbed"
    process = start_study(long_study, undisturbed, "--workers", "1")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert scores(store) == scores(undisturbed)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = start_study(long_study, store)
    output, _ = process.communicate(timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0
    assert "4 cells: 4 done, 0 to resume, 0 to run" in output
    # Of processor time: the machine may have other things to do.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    check_all_finished(store, 4)
