"""Causes and effects: the premise decides, choices alone tell nothing, and no premise is in two splits."""

import random
from collections import Counter
from functools import cache
from itertools import combinations, islice

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from xlprompt.data import STUDY_LANGUAGES, open_source, task
from xlprompt.data.mini.causes import choice_items, groups
from xlprompt.data.mini.items import SIZES
from xlprompt.data.mini.meaning import Relation, relation
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import Person

SPLITS = tuple(SIZES)
XCOPA = task("xcopa")


@cache
def rows(split, language="en"):
    return open_source("mini").load(XCOPA, language, split)[:]


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_its_size_and_no_item_twice(split):
    assert len(choice_items(split)) == len(set(choice_items(split))) == SIZES[split]


@pytest.mark.parametrize("split", SPLITS)
def test_labels_and_questions_are_balanced(split):
    count = SIZES[split]
    first = sum(label == 0 for label in rows(split)["label"])
    assert abs(first - count / 2) < 2 * (count / 4) ** 0.5  # two standard errors of a coin
    asked = Counter(rows(split)["question"])
    assert set(asked) == {"cause", "effect"}
    assert min(asked.values()) > 0.35 * count


@pytest.mark.parametrize("split", SPLITS)
def test_each_choice_is_right_as_often_as_wrong_under_its_question(split):
    right, wrong = Counter(), Counter()
    for item in choice_items(split):
        right[item.question, frozenset(item.choices), item.choices[item.label]] += 1
        wrong[item.question, frozenset(item.choices), item.choices[1 - item.label]] += 1
    assert right == wrong


def test_what_is_right_follows_and_what_is_wrong_does_not():
    checked = 0
    for item in choice_items("test"):
        right, wrong = item.choices[item.label], item.choices[1 - item.label]
        premise = item.premise[0]
        if isinstance(right, Person) or right[0].frame == "state":
            continue
        pairs = [
            (premise, one[0]) if item.question == "effect" else (one[0], premise) for one in (right, wrong)
        ]
        assert [relation(*pair) is Relation.ENTAILMENT for pair in pairs] == [True, False]
        checked += 1
    assert checked > 150  # the others are reasons, and people


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2)])
def test_question_and_choices_without_their_premise_are_at_chance(ngrams):
    def told(split):
        columns = (rows(split)[name] for name in ("question", "choice1", "choice2"))
        # A word counts apart in each choice, so that which of the two it stands in is not lost.
        return [
            " ".join(
                [f"q{question}", *(f"a{word}" for word in one.split()), *(f"b{word}" for word in two.split())]
            )
            for question, one, two in zip(*columns, strict=True)
        ]

    classifier = make_pipeline(
        CountVectorizer(token_pattern=r"\S+", ngram_range=ngrams), LogisticRegression(max_iter=300, C=0.1)
    )
    classifier.fit(told("train"), rows("train")["label"])
    score = 100 * classifier.score(told("test"), rows("test")["label"])
    assert abs(score - 50) <= 5  # standard error of 500 answers at chance: 2.2


def test_the_choice_that_shares_most_words_with_the_premise_is_seldom_better_than_chance():
    table = rows("test")
    right = 0.0
    for premise, one, two, label in zip(
        *(table[name] for name in ("premise", "choice1", "choice2", "label")), strict=True
    ):
        shared = [len(set(premise.split()) & set(choice.split())) for choice in (one, two)]
        right += 0.5 if shared[0] == shared[1] else float((shared[1] > shared[0]) == label)
    assert 100 * right / len(table["label"]) < 72  # a prompt on xglm-nano reaches 84


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_no_premise_is_in_two_splits(one, other):
    assert not {item.premise[0] for item in choice_items(one)} & {
        item.premise[0] for item in choice_items(other)
    }


@pytest.mark.parametrize("language", STUDY_LANGUAGES)
def test_items_are_parallel_and_their_choices_differ(language):
    table, english = rows("validation", language), rows("validation")
    for name in ("id", "question", "label"):
        assert table[name] == english[name]
    assert all(one != two for one, two in zip(table["choice1"], table["choice2"], strict=True))


def test_drawing_depends_on_the_generator_alone():
    def drawn():
        return list(islice(groups(Sampler("test", random.Random(7))), 30))

    assert drawn() == drawn()
