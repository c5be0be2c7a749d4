from dataclasses import replace
from pathlib import Path

import pytest

from xlprompt.studies.grid.cells import Cell, Group
from xlprompt.studies.grid.ledger import CELL_TAG, GROUP_TAG, RUN_TAG, SUPERSEDED_TAG, CellRun
from xlprompt.studies.grid.plan import make_plan, memory_at_once, memory_warning, plan_line, wall_seconds
from xlprompt.training.fitting.progress import duration
from xlprompt.training.recipes.recipe import flatten, recipe_from_dict

RECIPE = {
    "task": "xnli",
    "model": "m",
    "optimizer": {"learning_rate": 0.1},
    "schedule": {"steps": 100, "batch_size": 8, "token_budget": 512, "evaluate_every": 10},
}


def group(task="xnli", method="prompt", seeds=2):
    recipe = recipe_from_dict(RECIPE | {"task": task, "method": method}, origin="test")
    name = f"{task}-{method}"
    cells = tuple(
        Cell(task, method, seed, recipe.model_copy(update={"seed": seed}), Path("r"), name, f"{name}-{seed}")
        for seed in range(seeds)
    )
    return Group(task, method, "m", name, cells)


def run(cell, status="FINISHED", *, step=None, seconds=60.0, memory=1024.0, tags=None):
    metrics = {"cost/total_seconds": seconds, "cost/peak_memory_mib": memory} if status == "FINISHED" else {}
    params = {key: "null" if value is None else str(value) for key, value in flatten(cell.recipe).items()}
    tags = {CELL_TAG: cell.fingerprint, GROUP_TAG: cell.group} if tags is None else tags
    return CellRun(f"run-{cell.fingerprint}", status, 0, params, tags, metrics, step)


def states(plan):
    return [each.state for each in plan.cells]


def test_a_finished_cell_is_done_an_interrupted_one_resumed_and_a_failed_one_run_again():
    one = group(seeds=4)
    runs = [
        run(one.cells[0]),
        run(one.cells[1], "KILLED", step=40),
        run(one.cells[2], "FAILED"),
    ]
    plan = make_plan([one], runs)
    assert states(plan) == ["done", "resume", "run", "run"]
    assert [each.seconds for each in plan.cells] == [None, pytest.approx(36.0), 60.0, 60.0]
    assert plan.memory_mib == {"xnli-prompt": 1024.0}


def test_a_cell_that_is_to_have_a_curve_is_done_by_a_run_with_it_and_one_without_by_either():
    one = group(seeds=1)
    (cell,) = one.cells
    values = {"curve_every": 20, "curve_examples": 50}
    evaluation = cell.recipe.evaluation.model_copy(update=values)
    curved = replace(cell, recipe=cell.recipe.model_copy(update={"evaluation": evaluation}))
    asked = replace(one, cells=(curved,))
    assert states(make_plan([asked], [run(cell)])) == ["run"]
    assert states(make_plan([asked], [run(cell, "KILLED", step=40)])) == ["run"]
    assert states(make_plan([asked], [run(curved), run(cell)])) == ["done"]
    assert states(make_plan([one], [run(curved)])) == ["done"]


@pytest.mark.parametrize(
    ("status", "tags", "state"),
    [
        ("FINISHED", {}, "done"),
        ("FINISHED", {SUPERSEDED_TAG: "xnli-prompt-0"}, "run"),
        ("KILLED", {}, "run"),
    ],
)
def test_a_finished_run_outside_of_studies_that_equals_a_cell_is_done_unless_it_was_superseded(
    status, tags, state
):
    one = group(seeds=1)
    plan = make_plan([one], [run(one.cells[0], status, tags={RUN_TAG: one.cells[0].fingerprint, **tags})])
    assert states(plan) == [state]


def test_a_studys_own_run_counts_before_a_single_one_that_equals_it():
    one = group(seeds=1)
    own, alone = run(one.cells[0]), run(one.cells[0], tags={RUN_TAG: one.cells[0].fingerprint})
    assert make_plan([one], [alone, own]).cells[0].run is own


def test_force_runs_everything():
    one = group()
    assert states(make_plan([one], [run(cell) for cell in one.cells], force=True)) == ["run", "run"]


def test_the_first_seed_of_every_kind_comes_first_and_neighbors_differ_in_the_task():
    groups = [group(task, method) for task in ("xnli", "pos") for method in ("prompt", "finetune")]
    names = [each.cell.name for each in make_plan(groups, []).cells]
    assert names[:4] == [
        "xnli-prompt seed 0",
        "pos-prompt seed 0",
        "xnli-finetune seed 0",
        "pos-finetune seed 0",
    ]
    assert len(names) == 8


def test_times_are_unknown_where_nothing_like_it_has_run():
    plan = make_plan([group()], [])
    assert {each.seconds for each in plan.cells} == {None}
    assert "unknown until the first cell of its kind has run" in plan_line(plan, 2, "here")


def test_a_run_outside_of_studies_tells_the_time_of_its_kind_and_stands_for_no_cell():
    one = group()
    plan = make_plan([one], [run(one.cells[0], seconds=30.0, tags={})])
    assert states(plan) == ["run", "run"]
    assert [each.seconds for each in plan.cells] == [30.0, 30.0]
    assert "2 cells: 0 done, 0 to resume, 2 to run; about 60 s, by earlier runs" in plan_line(plan, 1, "x")
    other = run(group(method="finetune").cells[0], tags={})
    assert make_plan([one], [other]).cells[0].seconds is None


def test_workers_share_the_time():
    assert wall_seconds([10, 10, 10, 10], 2) == 20
    assert wall_seconds([30, 10, 10], 2) == 30
    assert wall_seconds([], 4) == 0


def test_more_memory_than_is_free_is_said_before_anything_starts():
    small, large = group(), group(method="finetune")
    runs = [run(small.cells[0], memory=2048.0), run(large.cells[0], memory=6144.0)]
    plan = make_plan([small, large], runs)  # one cell of each is left
    assert (memory_at_once(plan, 1), memory_at_once(plan, 2), memory_at_once(plan, 9)) == (6144, 8192, 8192)
    assert memory_warning(plan, 2, 8 * 2**30) is None
    warning = memory_warning(plan, 2, 7 * 2**30)
    assert warning.startswith("Up to 8.0 GiB at a time by earlier runs, and 7.0 GiB are free. Run fewer")
    assert "lower evaluation.token_budget" in memory_warning(plan, 1, 5 * 2**30)
    assert memory_warning(make_plan([small], []), 2, 1) is None  # nothing is known


def test_durations_are_told_in_units_that_fit():
    assert [duration(each) for each in (45, 700, 12000)] == ["45 s", "12 min", "3 h 20 min"]
