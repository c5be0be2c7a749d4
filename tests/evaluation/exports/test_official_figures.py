"""The field's own evaluators give our figures on our predictions, to the last digit that they print.

Their figures were computed once, on the files that `python tests/support/exported.py OUT` writes:

- google-research/xtreme at commit 838c13b6: `python evaluate.py --prediction_folder OUT/xtreme/predictions
  --label_folder OUT/xtreme/labels --output_file scores.json`; XCOPA in a folder of its own and with
  `--xtreme_version xtreme-r`
- conlleval, version 2004-01-26: `perl conlleval.pl -d ' ' < OUT/conll/ner/en.test.txt`, and `-r` for pos (a
  space is its default, but not in every copy)
- ufal/conll2018 at commit f2bc4dd1, conll18_ud_eval.py 1.2: `python conll18_ud_eval.py -v
  OUT/ud/gold/en.test.conllu OUT/ud/system/en.test.conllu`
"""

import pytest
from exported import TAGGERS, XTREME, of_task, tagged

from xlprompt.data.tasks import TASKS
from xlprompt.evaluation import score

# By task and metric: the mean over languages as scores.json has it, and what is printed for each language in
# the order of XTREME's list.
OFFICIAL: dict[tuple[str, str], tuple[float, str]] = {
    ("xnli", "accuracy"): (
        77.03703703703704,
        "88.89 66.67 77.78 77.78 77.78 66.67 66.67 55.56 77.78 100.00 100.00 77.78 66.67 55.56 100.00",
    ),
    ("pawsx", "accuracy"): (
        88.8888888888889,
        "100.00 100.00 88.89 100.00 66.67 88.89 77.78",
    ),
    ("ner", "f1"): (
        79.14570896380489,
        "87.67 64.62 83.72 85.71 86.57 77.14 84.38 75.32 81.72 72.41 75.00 81.36 86.67 71.91 "
        "74.42 81.48 82.67 85.71 78.26 71.88 72.22 90.00 70.10 74.51 83.64 86.15 70.59 75.61 "
        "75.76 76.71 72.22 81.90 73.33 80.00 85.29 88.89 76.71 78.05 74.16 91.36",
    ),
    ("ner", "precision"): (
        79.2846734675677,
        "88.89 63.64 81.82 85.71 87.88 75.00 87.10 72.50 79.17 72.41 71.05 82.76 86.67 74.42 "
        "76.19 80.49 83.78 83.33 75.00 76.67 74.29 93.10 66.67 76.00 85.19 84.85 72.73 77.50 "
        "78.12 80.00 70.27 82.69 73.33 81.25 85.29 90.32 73.68 78.05 73.33 90.24",
    ),
    ("ner", "recall"): (
        79.12318711196698,
        "86.49 65.62 85.71 85.71 85.29 79.41 81.82 78.38 84.44 72.41 79.41 80.00 86.67 69.57 "
        "72.73 82.50 81.58 88.24 81.82 67.65 70.27 87.10 73.91 73.08 82.14 87.50 68.57 73.81 "
        "73.53 73.68 74.29 81.13 73.33 78.79 85.29 87.50 80.00 78.05 75.00 92.50",
    ),
    ("pos", "f1"): (
        77.79835294339225,
        "83.15 63.16 74.75 85.71 77.50 72.07 85.71 75.00 75.79 72.38 65.22 74.07 81.16 83.72 "
        "80.95 79.59 76.64 84.71 71.70 93.98 76.92 79.57 71.26 85.71 78.85 72.97 80.60 72.29 "
        "83.15 71.88 83.52 77.27 76.40",
    ),
    ("xquad", "squad_exact_match"): (
        51.81818181818182,
        "60.00 60.00 60.00 40.00 60.00 50.00 30.00 60.00 60.00 50.00 40.00",
    ),
    ("xquad", "squad_f1"): (
        72.90909090909092,
        "86.67 80.00 84.00 62.67 66.67 76.67 51.33 73.33 88.00 79.33 53.33",
    ),
    ("xcopa", "accuracy"): (
        82.82828282828284,
        "77.78 88.89 100.00 88.89 77.78 88.89 77.78 88.89 88.89 33.33 100.00",
    ),
}
# By language, what conlleval prints: accuracy, precision, recall and F1.
CONLLEVAL = {
    ("ner", "en"): "77.192982 74.418605 69.565217 71.910112",
    ("ner", "vi"): "87.272727 81.818182 85.714286 83.720930",
    ("pos", "en"): "78.333333",
    ("pos", "vi"): "84.000000",
}

UPOS = {"en": "78.33", "vi": "84.00"}
"""What the UD evaluator prints as UPOS: its F1, and its accuracy over aligned words, which are all."""


@pytest.mark.parametrize(("task", "metric"), OFFICIAL)
def test_xtreme_gives_our_figures(task: str, metric: str):
    made = of_task(task, XTREME[task])
    ours = [
        score(TASKS[task], each.gold, each.predicted, language=code)[metric].value
        for code, each in made.items()
    ]
    mean, printed = OFFICIAL[task, metric]
    assert " ".join(f"{value:.2f}" for value in ours) == printed
    assert sum(ours) / len(ours) == pytest.approx(mean, abs=1e-10)


@pytest.mark.parametrize(("task", "language"), CONLLEVAL)
def test_conlleval_gives_our_figures(task: str, language: str):
    made = tagged(task, language)
    scores = score(TASKS[task], made.gold, made.predicted)
    printed = CONLLEVAL[task, language].split()
    names = ("accuracy", "precision", "recall", "f1")[: len(printed)]
    assert [f"{scores[name].value:.6f}" for name in names] == printed


@pytest.mark.parametrize("language", TAGGERS)
def test_the_ud_evaluator_gives_our_figures(language: str):
    made = tagged("pos", language)
    assert f"{score(TASKS['pos'], made.gold, made.predicted)['accuracy'].value:.2f}" == UPOS[language]
