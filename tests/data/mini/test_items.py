"""The items of the tasks: true labels, no label in half an item, and nothing of one split in another."""

import random
from collections import Counter
from functools import cache
from itertools import combinations, islice

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from xlprompt.data import TASKS
from xlprompt.data.mini.items import (
    SIZES,
    PairItem,
    hypothesis_of,
    inference_triples,
    pair_items,
    paraphrase_twins,
    premise_of,
    random_clauses,
    sentence_items,
)
from xlprompt.data.mini.meaning import Meaning, Relation, relation
from xlprompt.data.mini.realize import sentence
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import CITIES, COUNTRIES, THINGS, entities

SPLITS = tuple(SIZES)
PAIR_TASKS = ("xnli", "pawsx")
PAPER_TASKS = (*PAIR_TASKS, "ner", "pos")
CONVERSE_WORDS = {
    "after": "before",
    "shorter": "taller",
    "younger": "older",
    "poorer": "richer",
    "slower": "faster",
    "received": "gave",
    "from": "to",
}
FRAMING_WORDS = {"it", "was", "who", "compared", "with", "than", ","}
"""What rewording adds and takes away: It was ... who ...; Compared with ..., ... than ..."""


@cache
def spoken(task: str, language: str, split: str) -> tuple[list[str], list[str], list[int]]:
    """The first and second sentences with spaces between all words, and the labels."""
    firsts, seconds, labels = [], [], []
    for item in pair_items(task, split):
        firsts.append(" ".join(sentence(language, *item.first).tokens).lower())
        seconds.append(" ".join(sentence(language, *item.second).tokens).lower())
        labels.append(item.label)
    return firsts, seconds, labels


def accuracy(features, *, ngrams=(1, 1)) -> float:
    """Test accuracy in percent of logistic regression on counts of what `features` gives of a split."""
    counts = CountVectorizer(analyzer="word", tokenizer=str.split, token_pattern=None, ngram_range=ngrams)
    (train, train_labels), (test, test_labels) = features("train"), features("test")
    classifier = LogisticRegression(max_iter=300)
    classifier.fit(counts.fit_transform(train), train_labels)
    return 100 * classifier.score(counts.transform(test), test_labels)


def clauses_of(task: str, split: str):
    items = pair_items(task, split) if task in PAIR_TASKS else sentence_items(task, split)
    for item in items:
        yield from (item.first + item.second if isinstance(item, PairItem) else item.clauses)


@cache
def meanings(split: str) -> frozenset[Meaning]:
    """Everything that is said in a split of any task."""
    return frozenset(meaning for task in PAPER_TASKS for meaning, _ in clauses_of(task, split))


def sampler(seed=0):
    return Sampler("train", random.Random(seed))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", PAPER_TASKS)
def test_every_split_has_its_size_and_no_item_twice(task, split):
    items = pair_items(task, split) if task in PAIR_TASKS else sentence_items(task, split)
    assert len(items) == {"train": 4000, "validation": 500, "test": 500}[split]
    assert len(set(items)) == len(items)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", PAIR_TASKS)
def test_labels_are_balanced_within_two_points(task, split):
    counts = Counter(item.label for item in pair_items(task, split))
    number = len(TASKS[task].labels)
    assert set(counts) == set(range(number))
    for count in counts.values():
        assert 100 * count / SIZES[split] == pytest.approx(100 / number, abs=2)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", PAIR_TASKS)
def test_neighbours_do_not_tell_the_label(task, split):
    labels = [item.label for item in pair_items(task, split)]
    same = sum(one == other for one, other in zip(labels, labels[1:], strict=False)) / (len(labels) - 1)
    assert same == pytest.approx(1 / len(TASKS[task].labels), abs=0.08)


# Nothing of one split is in another.


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_no_meaning_is_in_two_splits(one, other):
    assert not meanings(one) & meanings(other)


def entities_in(split):
    people = {who for meaning in meanings(split) for who in (meaning.agent, meaning.patient) if who}
    organizations = {
        one.organization for one in meanings(split) if one.organization and one.organization.name
    }
    places = {meaning.place for meaning in meanings(split) if meaning.place}
    return people, organizations, places


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_no_person_organization_or_place_is_in_two_splits(one, other):
    for mine, yours in zip(entities_in(one), entities_in(other), strict=True):
        assert mine
        assert not mine & yours


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_speaks_of_all_its_entities(split):
    people, organizations, places = entities_in(split)
    here = entities(split)
    assert people == set(here.people)
    assert organizations == set(here.organizations)
    assert places == {*here.cities, *here.countries}


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_no_action_is_done_to_the_same_thing_in_two_splits(one, other):
    def combined(split):
        return {
            (meaning.action, meaning.thing.concept)
            for meaning in meanings(split)
            if meaning.frame == "event" and meaning.thing.concept in THINGS
        }

    assert combined(one)
    assert not combined(one) & combined(other)


# Inference.


@pytest.mark.parametrize("split", SPLITS)
def test_the_label_of_an_inference_is_what_follows(split):
    for item in pair_items("xnli", split):
        ((premise, _),), ((hypothesis, _),) = item.first, item.second
        assert relation(premise, hypothesis) == item.label
        assert premise != hypothesis


@pytest.mark.parametrize("split", SPLITS)
def test_every_hypothesis_stands_once_under_each_label(split):
    labels: dict[object, list[int]] = {}
    for item in pair_items("xnli", split):
        labels.setdefault(item.second, []).append(item.label)
    # A split's size need not be a multiple of three, so the last hypothesis may have lost a premise or two.
    cut = [found for found in labels.values() if sorted(found) != [0, 1, 2]]
    assert [len(found) for found in cut] == [SIZES[split] % 3] * bool(SIZES[split] % 3)


def test_hypotheses_alone_do_not_tell_the_label():
    def features(split):
        _, hypotheses, labels = spoken("xnli", "en", split)
        return hypotheses, labels

    assert accuracy(features) <= 45
    assert accuracy(features, ngrams=(1, 2)) <= 45


def test_premises_alone_hardly_tell_the_label():
    def features(split):
        premises, _, labels = spoken("xnli", "en", split)
        return premises, labels

    assert accuracy(features) <= 50


def test_a_triple_is_one_hypothesis_in_one_style_under_the_three_labels():
    for triple in islice(inference_triples(sampler()), 200):
        assert [item.label for item in triple] == [0, 1, 2]
        assert len({item.second for item in triple}) == 1
        assert len({item.first for item in triple}) == 3


@pytest.mark.parametrize("wanted", Relation)
def test_a_premise_and_a_hypothesis_are_found_for_every_relation(wanted):
    chance = sampler()
    found = 0
    for _ in range(200):
        meaning = chance.meaning(("event", "meet", "compare", "stay"))
        premise, hypothesis = premise_of(chance, meaning, wanted), hypothesis_of(chance, meaning, wanted)
        found += bool(premise) + bool(hypothesis)
        assert premise is None or relation(premise, meaning) is wanted
        assert hypothesis is None or relation(meaning, hypothesis) is wanted
    assert found > 300


def test_inference_needs_every_rule_of_the_world():
    """Each phenomenon decides a fair number of items; otherwise a model need not know it."""
    found: Counter[str] = Counter()
    for item in pair_items("xnli", "train"):
        ((one, _),), ((other, _),) = item.first, item.second
        found["city and country"] += one.place in CITIES and other.place in COUNTRIES
        found["negation"] += one.negated != other.negated
        found["quantity"] += bool(one.thing and other.thing and one.thing.count != other.thing.count)
        found["kinds"] += bool(
            one.thing and other.thing and THINGS.get(one.thing.concept) == other.thing.concept
        )
        found["part of a day"] += bool(
            one.time and other.time and one.time.day == other.time.day and one.time != other.time
        )
        found["exchange"] += one.patient is not None and (one.patient, one.agent) == (
            other.agent,
            other.patient,
        )
        found["event implies stay"] += one.frame != "stay" and other.frame == "stay"
        found["cause"] += one.state is not None and other.state is None
    assert min(found.values()) > 40, found


# Paraphrases.


@pytest.mark.parametrize("language", ["en", "de", "zh", "fi"])
def test_the_words_of_a_pair_do_not_tell_whether_it_is_a_paraphrase(language):
    def both(split):
        firsts, seconds, labels = spoken("pawsx", language, split)
        return [f"{first} {second}" for first, second in zip(firsts, seconds, strict=True)], labels

    def by_side(split):
        firsts, seconds, labels = spoken("pawsx", language, split)
        marked = [
            " ".join([f"1:{word}" for word in first.split()] + [f"2:{word}" for word in second.split()])
            for first, second in zip(firsts, seconds, strict=True)
        ]
        return marked, labels

    assert accuracy(both) <= 58
    assert accuracy(by_side) <= 58
    assert accuracy(both, ngrams=(1, 2)) <= 58


def bag(clauses):
    words = (word.lower() for word in sentence("en", *clauses).tokens)
    return Counter(CONVERSE_WORDS.get(word, word) for word in words if word not in FRAMING_WORDS)


def fillers(clauses):
    """What fills the roles of a sentence, whoever does what."""
    found: Counter[object] = Counter()
    for meaning, _ in clauses:
        found.update([meaning.agent, meaning.patient, meaning.action, meaning.thing])
        found.update([meaning.organization, meaning.state, meaning.site, meaning.place, meaning.time])
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_both_sentences_of_a_pair_have_the_same_words_and_fillers(split):
    for item in pair_items("pawsx", split):
        assert bag(item.first) == bag(item.second)
        assert fillers(item.first) == fillers(item.second)


def same_meaning(one, other):
    """Whether two sentences say the same: the same clauses in any order, or one and its equivalent."""
    first, second = ({meaning for meaning, _ in clauses} for clauses in (one, other))
    if first == second:
        return True
    if len(first) > 1:
        return False
    (mine,), (yours,) = first, second
    return relation(mine, yours) is relation(yours, mine) is Relation.ENTAILMENT


@pytest.mark.parametrize("split", SPLITS)
def test_only_paraphrases_mean_the_same(split):
    for item in pair_items("pawsx", split):
        assert same_meaning(item.first, item.second) == bool(item.label), item


def test_twins_share_a_sentence_and_the_words_of_the_other():
    for different, paraphrase in islice(paraphrase_twins(sampler()), 1000):
        assert (different.label, paraphrase.label) == (0, 1)
        shared = {different.first, different.second} & {paraphrase.first, paraphrase.second}
        assert shared
        assert {different.first, different.second} != {paraphrase.first, paraphrase.second}
        sides = [(different.first, paraphrase.first), (different.second, paraphrase.second)]
        for one, other in sides:
            assert Counter(word.lower() for word in sentence("en", *one).tokens) == Counter(
                word.lower() for word in sentence("en", *other).tokens
            )


def test_two_people_of_a_paraphrase_about_one_event_are_exchanged_in_its_twin():
    for different, _ in islice(paraphrase_twins(sampler()), 1000):
        if len(different.first) == 1:
            (one, _), (other, _) = different.first[0], different.second[0]
            assert relation(one, other) is Relation.CONTRADICTION


# Sentences to tag.


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_of_the_two_tagging_tasks_differ(split):
    assert sentence_items("ner", split) != sentence_items("pos", split)


def test_sentences_speak_of_everything_and_some_are_joined():
    drawn = [random_clauses(chance) for chance in [sampler()] for _ in range(1000)]
    assert {len(clauses) for clauses in drawn} == {1, 2}
    assert {meaning.frame for clauses in drawn for meaning, _ in clauses} >= {
        "event",
        "open",
        "work",
        "state",
    }
