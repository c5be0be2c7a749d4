"""What a study says of its methods, where the truth is known."""

import re

from simulated_studies import make_runs

from xlprompt.studies.grid.answers import task_answers

METHODS = ("prompt", "finetune")


def answer(**how):
    (counts,) = make_runs(**how).values()
    (said,) = task_answers(counts, METHODS, "en", ())
    return said


def test_a_clear_difference_has_its_interval_and_its_verdict():
    said = answer(gap=12.0)
    assert re.fullmatch(
        r"xnli, zero-shot mean: prompt minus finetune is \+1\d\.\d points "
        r"\(95 % interval \+\d+\.\d to \+\d+\.\d\), prompt is better\.",
        said,
    )
    assert "finetune is better." in answer(gap=-12.0)


def test_what_lies_on_both_sides_of_zero_is_undecided():
    assert answer(gap=0.0).endswith("), undecided.")


def test_one_seed_has_no_interval_and_decides_nothing():
    said = answer(gap=12.0, seeds=(0,))
    assert re.search(
        r"points \(one seed: standard error \d\.\d over test examples alone\), undecided\.$", said
    )
