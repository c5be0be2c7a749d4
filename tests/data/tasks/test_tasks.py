import pickle

import pytest

from xlprompt.data import LANGUAGES, TASKS, DataError, task


def test_the_tasks_are_the_four_of_the_paper_and_harder_ones():
    assert {name: row.kind.name for name, row in TASKS.items()} == {
        "xnli": "pair",
        "pawsx": "pair",
        "ner": "tagging",
        "pos": "tagging",
        "sib200": "pair",
        "xcopa": "choice",
        "xquad": "span",
    }


@pytest.mark.parametrize("row", TASKS.values(), ids=TASKS)
def test_a_task_has_distinct_labels_and_a_word_for_each_logit_that_words_can_stand_for(row):
    assert len(set(row.labels)) == len(row.labels)
    words = row.kind.head_width(row) if row.kind.labeled else 0
    assert len(set(row.label_words)) == len(row.label_words) == words


@pytest.mark.parametrize("row", TASKS.values(), ids=TASKS)
def test_a_tasks_languages_are_in_the_table(row):
    assert set(row.languages) <= set(LANGUAGES)


def test_language_counts_are_xtremes_and_of_harder_tasks_their_own():
    assert {name: len(row.languages) for name, row in TASKS.items()} == {
        "xnli": 15,
        "pawsx": 7,
        "ner": 40,
        "pos": 33,
        "sib200": 30,
        "xcopa": 12,
        "xquad": 11,
    }


def test_label_orders_are_the_published_ones():
    # A changed order would silently relabel data and stored predictions.
    assert task("xnli").labels == ("entailment", "neutral", "contradiction")
    assert task("pawsx").labels == ("different", "paraphrase")
    assert task("ner").labels == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    assert len(task("pos").labels) == 17
    assert list(task("pos").labels) == sorted(task("pos").labels)
    assert task("sib200").labels[::3] == ("science/technology", "sports", "geography")


def test_only_names_and_answers_are_scored_by_f1():
    assert {name for name, row in TASKS.items() if row.metrics[0] == "f1"} == {"ner", "xquad"}


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown task 'paws-x'\. Did you mean pawsx\?"):
        task("paws-x")
    with pytest.raises(DataError, match="Tasks: xnli, pawsx, ner, pos, sib200, xcopa, xquad"):
        task("glue")


def test_an_error_says_file_line_message_and_fix_and_survives_pickling():
    error = DataError("the message", file="a/b.tsv", line=3, fix="Do this.")
    assert str(error) == "a/b.tsv:3: the message. Do this."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(DataError("the message")) == "the message."
    assert str(DataError("the message", file="a")) == "a: the message."


def test_the_word_for_a_folders_task_is_no_name_of_a_task():
    with pytest.raises(
        DataError, match=r"no task is called 'own'. It stands for the task that a data folder is"
    ):
        task("own")
