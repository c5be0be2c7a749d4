"""Predictions of several runs: they must be for the same examples, and what is kept are counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlprompt.data import DataError, task
from xlprompt.evaluation import SavedPredictions, load_runs, save_predictions, score
from xlprompt.evaluation.comparison.counts import join_runs

XNLI, NER, POS, XQUAD = task("xnli"), task("ner"), task("pos"), task("xquad")
GOLD = [[0], [1], [2], [0]]


def saved(predicted=((0,), (1,), (1,), (2,)), *, language="de", of=XNLI, gold=GOLD, **changed):
    content = SavedPredictions(
        task=of.name,
        task_version=of.version,
        kind=of.kind.name,
        language=language,
        split="test",
        labels=of.labels,
        ids=[f"item{number}" for number in range(len(gold))],
        gold=[list(labels) for labels in gold],
        predicted=[list(labels) for labels in predicted],
    )
    return replace(content, **changed)


def two_runs(first, second):
    return {("xnli", "prompt", 0): {"de": first}, ("xnli", "finetune", 0): {"de": second}}


def test_runs_are_ordered_by_method_and_seed_and_languages_as_in_the_study():
    right, wrong = saved([[0], [1], [2], [0]]), saved([[1], [2], [0], [1]])
    runs = load_runs(
        {
            ("xnli", "prompt", 7): {"sw": saved(language="sw"), "de": right},
            ("xnli", "prompt", 2): {"sw": saved(language="sw"), "de": wrong},
            ("xnli", "finetune", 2): {"sw": saved(language="sw"), "de": saved()},
        }
    )["xnli"]
    assert runs.runs == (("prompt", 2), ("prompt", 7), ("finetune", 2))
    assert list(runs.languages) == ["de", "sw"]
    assert runs.languages["de"].scores.tolist() == [0.0, 100.0, 50.0]
    assert runs.seeds("prompt") == (2, 7)
    assert runs.of("finetune") == [2]
    assert (runs.metric, runs.split) == ("accuracy", "test")


@pytest.mark.parametrize("of", [NER, POS])
@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_scores_from_counts_are_those_of_the_predictions(of, metric):
    rng = np.random.default_rng(0)
    gold = [rng.integers(len(of.labels), size=rng.integers(1, 12)).tolist() for _ in range(80)]
    runs, expected = {}, []
    for seed in (0, 1):
        predicted = [[g if rng.random() < 0.7 else int(rng.integers(7)) for g in s] for s in gold]
        runs[of.name, "prompt", seed] = {"de": saved(predicted, of=of, gold=gold)}
        expected.append(score(of, gold, predicted)[metric].value)
    loaded = load_runs(runs, metrics={of.name: metric})[of.name]
    assert loaded.languages["de"].scores == pytest.approx(expected, abs=1e-9)


def test_a_task_is_compared_by_its_own_metric_unless_told_otherwise():
    tags = saved([[0], [1]], of=NER, gold=[[0], [1]])
    assert load_runs({("ner", "prompt", 0): {"de": tags}})["ner"].metric == "f1"
    with pytest.raises(ValueError, match="has no metric 'bleu', only accuracy, f1, precision, recall"):
        load_runs({("ner", "prompt", 0): {"de": tags}}, metrics={"ner": "bleu"})


def test_the_majority_baseline_is_that_of_the_gold_labels_and_none_for_entities():
    assert load_runs({("xnli", "prompt", 0): {"de": saved()}})["xnli"].languages["de"].floor == 50.0
    tags = saved([[0, 0]], of=NER, gold=[[0, 1]])
    assert load_runs({("ner", "prompt", 0): {"de": tags}})["ner"].languages["de"].floor == 0.0


def test_the_floor_of_spans_is_the_one_that_is_stored_though_runs_of_before_have_none():
    old = saved([["Rome"], ["Bo"]], of=XQUAD, gold=[["Rome"], ["Bo", "to Bo"]])
    new = replace(old, trivial_baseline=28.5)
    runs = {("xquad", "prompt", 0): {"de": old}, ("xquad", "prompt", 1): {"de": new}}
    assert load_runs(runs)["xquad"].languages["de"].floor == 28.5
    assert load_runs(runs, metrics={"xquad": "exact_match"})["xquad"].languages["de"].floor == 0.0
    alone = [load_runs({key: answers})["xquad"] for key, answers in runs.items()]
    assert alone[0].languages["de"].floor == 0.0
    assert join_runs(alone).languages["de"].floor == 28.5


def test_files_and_loaded_predictions_give_the_same(tmp_path: Path):
    content = {"ids": ["a", "b"], "gold": [[0], [2]], "predicted": [[0], [1]]}
    path = save_predictions(tmp_path / "p.jsonl.gz", task=XNLI, language="sw", split="test", **content)
    from_file = load_runs({("xnli", "prompt", 0): {"sw": path}, ("xnli", "finetune", 0): {"sw": str(path)}})
    assert from_file["xnli"].languages["sw"].scores.tolist() == [50.0, 50.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"gold": [[0], [1], [1], [0]]},
            r"gold \[1\] here, \[2\] in row 3 of the run xnli, finetune, seed 0, de",
        ),
        ({"ids": ["item0", "item1", "other", "item3"]}, "id 'other' here, 'item2' in row 3 of"),
        ({"split": "validation"}, "split 'validation' here, 'test' in"),
        ({"task_version": 9}, "task_version 9 here, 1 in"),
        ({"language": "fr"}, "language 'fr' here, and 'de' was expected"),
        ({"task": "pawsx"}, "task 'pawsx' here, and 'xnli' was expected"),
        ({"labels": ("a", "b", "c")}, "labels .* here, and .* was expected"),
    ],
)
def test_predictions_for_other_examples_are_refused_with_their_place(changed, message):
    runs = {
        ("xnli", "finetune", 0): {"de": saved()},
        ("xnli", "prompt", 0): {"de": saved(**changed)},
    }
    with pytest.raises(DataError, match=f"^the run xnli, prompt, seed 0, de:.*{message}"):
        load_runs(runs)


def test_the_line_of_a_differing_row_is_named(tmp_path: Path):
    paths = []
    for number, gold in enumerate(([[0], [2]], [[0], [1]])):
        paths.append(
            save_predictions(
                tmp_path / f"{number}.jsonl.gz",
                task=XNLI,
                language="de",
                split="test",
                ids=["a", "b"],
                gold=gold,
                predicted=gold,
            )
        )
    with pytest.raises(DataError, match=r"1\.jsonl\.gz:3: gold \[1\] here, \[2\] in row 2 of .*0\.jsonl\.gz"):
        load_runs(two_runs(*paths))


def test_a_run_with_fewer_examples_is_refused():
    shorter = saved([[0]], gold=[[0]])
    with pytest.raises(DataError, match="1 example here, 4 in the run xnli, prompt, seed 0, de"):
        load_runs(two_runs(saved(), shorter))


def test_runs_over_different_languages_are_refused():
    runs = two_runs(saved(), saved())
    runs["xnli", "finetune", 0] |= {"sw": saved(language="sw")}
    with pytest.raises(DataError, match="do not have the same languages: only one of them has sw"):
        load_runs(runs)


def test_languages_on_different_splits_are_refused():
    both = {"de": saved(), "sw": saved(language="sw", split="validation")}
    with pytest.raises(DataError, match="different splits: test, validation"):
        load_runs({("xnli", "prompt", 0): both})


def test_predictions_that_cannot_be_scored_name_their_place():
    with pytest.raises(DataError, match="the run xnli, prompt, seed 0, de: There is nothing to score"):
        load_runs({("xnli", "prompt", 0): {"de": saved([], gold=[])}})


@pytest.mark.parametrize("runs", [{}, {("xnli", "prompt", 0): {}}])
def test_no_runs_and_runs_without_predictions_are_errors(runs):
    with pytest.raises(ValueError, match="no runs|no predictions"):
        load_runs(runs)


def test_some_methods_runs_can_be_taken_under_other_names():
    answers = {
        ("xnli", "prompt", 0): {"de": saved([[0], [1], [2], [0]])},
        ("xnli", "prompt+mean", 0): {"de": saved([[0], [1], [2], [1]])},
        ("xnli", "finetune+mean", 0): {"de": saved([[0], [1], [1], [1]])},
    }
    runs = load_runs(answers)["xnli"].only({"finetune+mean": "finetune", "prompt+mean": "prompt"})
    assert runs.runs == (("prompt", 0), ("finetune", 0))
    assert runs.languages["de"].scores.tolist() == [75.0, 50.0]
    assert len(runs.languages["de"].collapsed) == 2


def test_a_language_without_entities_is_in_no_comparison():
    gold = [[1, 2], [0, 0]]
    none = saved([[0, 0], [0, 0]], of=NER, gold=[[0, 0], [0, 0]], language="sw")
    found = load_runs({("ner", "prompt", 0): {"de": saved(gold, of=NER, gold=gold), "sw": none}})["ner"]
    assert list(found.languages) == ["de"]
    with pytest.raises(DataError, match="ner has no test set with entities, so there is no F1"):
        load_runs({("ner", "prompt", 0): {"sw": none}})
    by_accuracy = load_runs({("ner", "prompt", 0): {"sw": none}}, metrics={"ner": "accuracy"})["ner"]
    assert list(by_accuracy.languages) == ["sw"]
    with pytest.raises(DataError, match="no test set with entities"):
        load_runs({("ner", "prompt", 0): {"sw": none}}, metrics={"ner": "recall"})
