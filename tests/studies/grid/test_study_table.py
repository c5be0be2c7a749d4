"""The table of a study's outcome fits a terminal of 80 columns, with the widest names of the grids here."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from xlprompt.evaluation.comparison.statistics import spread
from xlprompt.studies.grid.study_table import GroupResult, study_table


def result(task, method, variant, metric, of_seeds=(65.4, 65.6, 66.0)):
    recipe = SimpleNamespace(data=SimpleNamespace(train_language="en"))
    cells = [SimpleNamespace(recipe=recipe)] * 3
    scores = spread(of_seeds)
    group = SimpleNamespace(task=task, method=method, variant=variant, cells=cells)
    return GroupResult(
        group, None, (0, 1, 2), metric, scores, scores, scores, 0.858, spread([2000.0, 2010.0]), {}
    )


@pytest.mark.parametrize("variants", [("",), ("balanced", "proportional")])
def test_nothing_is_cut_off_at_80_columns(variants):
    console = Console(file=io.StringIO(), width=80)
    console.print(
        study_table(
            [
                result(task, method, variant, metric)
                for task, metric in (("pawsx", "accuracy"), ("ner", "f1"))
                for method in ("prompt", "finetune")
                for variant in variants
            ]
        )
    )
    shown = console.file.getvalue()
    assert "…" not in shown
    assert shown.count("65.7 ± 0.3") == 12 * len(variants)
    for word in ("ner F1", *variants, "min"):
        assert word in shown


@pytest.mark.parametrize(
    ("of_seeds", "said"),
    [((65.4,), "Percent, of one seed."), ((65.4, 66.0), "Percent, mean ± standard deviation over seeds.")],
)
def test_scores_of_one_seed_are_not_called_means(of_seeds, said):
    assert study_table([result("xnli", "prompt", "", "accuracy", of_seeds)]).caption.startswith(said)
