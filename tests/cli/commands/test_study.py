import json

import pytest
from studies import write_study

pytestmark = pytest.mark.integration


@pytest.fixture
def grid(tmp_path, tiny_xglm, xnli_folder):
    schedule = {"steps": 4, "evaluate_every": 2}
    return write_study(tmp_path / "study", tiny_xglm, xnli_folder, schedule=schedule)


def test_a_study_runs_prints_its_table_and_then_has_nothing_to_do(xlprompt, grid, tmp_path):
    options = ("--mlruns", tmp_path / "mlruns", "--workers", 0, "--seeds", "4,", "--limit", 8)
    result = xlprompt("study", grid, *options)
    assert result.exit_code == 0, result.output
    assert "1 cell: 0 done, 0 to resume, 1 to run" in result.stdout
    assert "Study" in result.stdout
    again = xlprompt("study", grid, *options, "--json")
    assert again.exit_code == 0, again.output
    figures = json.loads(again.stdout)
    assert figures["finished"]
    assert (figures["plan"]["done"], figures["plan"]["to_run"]) == (1, 0)
    (cell,), (group,) = figures["plan"]["cells"], figures["groups"]
    assert (cell["seed"], cell["state"]) == (4, "done")
    assert group["metrics"]["test/accuracy/de"]["seeds"] == 1
    assert "Study" in again.stderr


def test_a_failed_cell_makes_the_exit_code_1_and_is_named_with_its_log(xlprompt, grid, tmp_path):
    diverging = ("--set", "optimizer.learning_rate=1e30", "--set", "optimizer.clip_norm=null")
    options = ("--mlruns", tmp_path / "mlruns", "--workers", 0, "--seeds", 1)
    result = xlprompt("study", grid, *options, *diverging)
    assert result.exit_code == 1, result.output
    assert "xnli-prompt seed 0 failed: TrainingDiverged: training diverged at step" in result.stdout
    log = tmp_path / "mlruns" / "study-logs" / "xnli-prompt-seed-0.log"
    assert str(log) in result.stdout
    assert "step" in log.read_text()


def test_a_dry_run_prints_the_plan_as_json(xlprompt, grid, tmp_path):
    result = xlprompt("study", grid, "--mlruns", tmp_path / "mlruns", "--dry-run", "--json", "--seeds", 3)
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)["plan"]
    assert [cell["state"] for cell in plan["cells"]] == ["run"] * 3
    assert {cell["seconds"] for cell in plan["cells"]} == {None}
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "xnli,squad"], "unknown task 'squad'"),
        (["--methods", "lora"], "xnli-lora.yaml"),
        (["--seeds", "three"], "expected a number of seeds (3) or a list of them"),
        (["--seeds", "0"], "at least one seed"),
        (["--set", "seed=3"], "name them with --seeds"),
        (["--set", "prompt.lenght=3"], "prompt.length"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--model", "./no/such/model"], "no/such/model"),
        (["--address", "auto"], "--executor ray"),
        (["--executor", "kubernetes"], "kubernetes"),
    ],
)
def test_what_cannot_run_is_said_with_exit_code_2(xlprompt, grid, tmp_path, arguments, message):
    result = xlprompt("study", grid, "--mlruns", tmp_path / "mlruns", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


def test_a_grid_that_is_not_there_is_named(xlprompt, tmp_path):
    result = xlprompt("study", tmp_path / "absent.yaml")
    assert result.exit_code == 2
    assert "absent.yaml" in result.stderr
