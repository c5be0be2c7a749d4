"""A report's first sentence, and where its figures come from."""

from dataclasses import replace
from pathlib import Path

import pytest
from simulated_studies import POS, make_runs

from xlprompt.evaluation import compare
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.studies.reports.answer.headline import headline, lead
from xlprompt.studies.reports.answer.methods_figure import described, methods_figure
from xlprompt.studies.reports.answer.provenance import provenance, report_command
from xlprompt.training.store.metric_names import TOTAL_SECONDS

FEW = ("en", "de", "fi", "sw")


def compared(*gaps, **options):
    """One task after the other with prompts ahead by so many points."""
    names = ("xnli", "pawsx", "sib200", "pos", "ner")
    settings = {"languages": FEW, "examples": 400, "alike": True, **options}
    runs = {}
    for name, gap in zip(names, gaps, strict=False):
        runs |= make_runs(gap, task=name, **settings)
    return compare(runs, samples=100)


def points(comparison, task):
    return f"{abs(comparison.zero_shot(task).estimate.value):.1f}"


def test_the_winner_is_named_with_its_points_and_what_is_open():
    found = compared(-10.0, 0.0)
    ahead = f"Fine-tuning is ahead of prompts outside English, by {points(found, 'xnli')} points on xnli"
    assert headline(found) == f"{ahead}; on pawsx nothing tells them apart."


def test_each_method_is_named_where_it_wins():
    found = compared(-10.0, 12.0, -8.0)
    lost = f"{points(found, 'xnli')} points on xnli and {points(found, 'sib200')} on sib200"
    assert headline(found) == (
        f"Fine-tuning is ahead of prompts outside English, by {lost}; "
        f"prompts are ahead by {points(found, 'pawsx')} points on pawsx."
    )


def test_of_many_tasks_the_ends_are_told():
    found = compared(10.0, 12.0, 14.0, 16.0)
    assert headline(found) == (
        "Prompts are ahead of fine-tuning outside English, on all 4 tasks, by "
        f"{points(found, 'xnli')} (xnli) to {points(found, 'pos')} points (pos)."
    )


def test_what_cannot_be_told_apart_is_said():
    assert headline(compared(0.0)) == ("Nothing tells prompts and fine-tuning apart outside English on xnli.")


def test_one_seed_is_no_answer():
    found = compared(20.0, seeds=(0,))
    assert headline(found) == (
        "One seed a method says nothing of others: prompts minus fine-tuning outside English is, in points, "
        f"+{points(found, 'xnli')} on xnli."
    )
    assert lead(found, []) == "trained on English, scored in 4 languages · seeds: 0"


def test_a_study_of_english_alone_has_no_transfer():
    found = compare(make_runs(0.0, languages=("en",), examples=100), samples=50)
    assert headline(found) == "Nothing was scored outside English: there is no transfer to compare."
    assert methods_figure([], wide=True) is None
    assert described([]).endswith("by task and method. ")


def run(number, **tags):
    common = {"task": "xnli", "method": "prompt", "device": "cpu"}
    return CellRun(str(number), "FINISHED", number * 86_400_000, {}, {**common, **tags}, {}, None)


def test_provenance_counts_what_differs_between_runs():
    commit = "mlflow.source.git.commit"
    runs = [run(1, **{commit: "a" * 40}), run(2, **{commit: "a" * 40}), run(3, python="3.11.9")]
    rows = dict(provenance(runs, "make report").rows)
    assert rows["date"] == "1970-01-02 to 1970-01-04 (UTC)"
    assert rows["commit"] == "aaaaaaaaaa (2 runs), not recorded (1 run)"
    assert rows["machine"] == "cpu"
    assert rows["versions"] == "not recorded (2 runs), python 3.11.9 (1 run)"
    assert rows["command"] == "make report"
    assert rows["time of all runs"] == "not recorded"
    assert dict(provenance(runs[:1], "").rows)["date"] == "1970-01-02"


def test_provenance_sums_what_the_runs_took():
    took = [replace(run(number), metrics={TOTAL_SECONDS: 3600.0 * number}) for number in (1, 2)]
    assert dict(provenance(took, "").rows)["time of all runs"] == "3 h 00 min, scoring included"
    rows = dict(provenance([*took, run(3)], "").rows)
    assert rows["time of all runs"] == "3 h 00 min, scoring included (2 of 3 runs)"


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ((None, None, []), "xlprompt report"),
        (("m", "de", [Path("a b.gz")]), "xlprompt report --model m --train-language de --runs 'a b.gz'"),
        (
            (None, None, [], Path("experiments/results/mini")),
            "make report RUNS=experiments/results/mini/runs.jsonl.gz",
        ),
        ((None, None, [], Path("/elsewhere/mini")), "make report RUNS=<folder>/runs.jsonl.gz"),
        (("nano", "en", [], Path("mini")), "make report RUNS=mini/runs.jsonl.gz MODEL=nano"),
        (("/models/nano", "de", [], Path("mini")), "make report RUNS=mini/runs.jsonl.gz TRAIN_LANG=de"),
    ],
)
def test_the_command_makes_the_report_anew_and_names_no_folder_of_this_machine(arguments, command):
    assert report_command(*arguments) == command


def test_the_figure_has_every_task_and_method():
    from xlprompt.evaluation.comparison.other_methods import method_results

    found = compare(make_runs(5.0, task="pos", languages=POS, examples=100), samples=50)
    results = method_results(found, {}, [])
    for wide in (True, False):
        svg = methods_figure(results, wide=wide)
        assert all(f"<!-- {name} -->" in svg for name in ("pos", "prompt", "finetune"))
    assert f"pos: prompt {results[0].zero_shot.text()}, finetune" in described(results)
