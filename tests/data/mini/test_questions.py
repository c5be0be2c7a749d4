"""Questions about contexts: one right answer, where it is said to be, and none without the question."""

import random
import statistics
from collections import Counter
from functools import cache
from itertools import combinations, islice

import pytest

from xlprompt.data import STUDY_LANGUAGES
from xlprompt.data.mini.items import SIZES
from xlprompt.data.mini.meaning import Relation, relation
from xlprompt.data.mini.questions import ASKED, QuestionItem, drawn_items, question_items, write
from xlprompt.data.mini.realize import fragment, phrase, sentence
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import entities
from xlprompt.data.tasks.kinds.answer_text import exact_match, token_f1
from xlprompt.data.tasks.kinds.overlap import closest_sentences

SPLITS = tuple(SIZES)


@cache
def written(language, split="test"):
    return [write(item, language) for item in question_items(split)]


def events(item: QuestionItem):
    return [meaning for clauses in item.sentences for meaning, _ in clauses]


def asked_event(item: QuestionItem):
    at, clause = item.place
    return item.sentences[at][clause][0]


def candidates(item: QuestionItem, role: str, language: str = "en", only: int | None = None) -> list[str]:
    """What the context, or one of its sentences alone, says in a role, in its order."""
    found = []
    for at, clauses in enumerate(item.sentences):
        for number, (meaning, _) in enumerate(clauses):
            if only in (None, at) and getattr(meaning, "thing" if role == "object" else role) is not None:
                said = sentence(language, *clauses, mark=(number, role))
                start, end = said.marked
                found.append(said.text[start:end])
    return found


def scores(answers):
    """Exact match and F1 in percent of answers to the English test questions."""
    pairs = [(answer, [one.answer]) for answer, one in zip(answers, written("en"), strict=True)]
    return tuple(
        100 * statistics.mean(measure(answer, gold, "en") for answer, gold in pairs)
        for measure in (exact_match, token_f1)
    )


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_its_size_and_no_item_twice(split):
    items = question_items(split)
    assert len(items) == len(set(items)) == {"train": 4000, "validation": 500, "test": 500}[split]


@pytest.mark.parametrize("split", SPLITS)
def test_each_role_is_asked_for_as_often_as_the_others(split):
    counts = Counter(item.asked for item in question_items(split))
    assert set(counts) == set(ASKED)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("split", SPLITS)
def test_a_context_tells_of_three_to_eight_sentences_some_of_which_are_joined(split):
    items = question_items(split)
    assert {len(item.sentences) for item in items} <= set(range(3, 9))
    assert {len(clauses) for item in items for clauses in item.sentences} == {1, 2}


@pytest.mark.parametrize("split", SPLITS)
def test_what_a_question_repeats_is_told_of_one_event_alone(split):
    for item in question_items(split):
        meant, _ = item.repeated
        if item.asked == "agent":
            telling = [event for event in events(item) if event.time.day == meant.time.day]
        else:
            telling = [event for event in events(item) if relation(event, meant) is Relation.ENTAILMENT]
        assert telling == [asked_event(item)]


@pytest.mark.parametrize("split", SPLITS)
def test_a_question_does_not_say_the_role_that_it_asks_for(split):
    for item, said in zip(question_items(split)[:500], written("en", split), strict=False):
        assert said.answer.lower() not in said.question.lower()
        assert item.asked in ("agent", "object") or getattr(item.repeated[0], item.asked) is None


@pytest.mark.parametrize("language", STUDY_LANGUAGES)
def test_an_answer_is_the_words_at_its_place_and_each_language_asks_of_the_same_event(language):
    for item, said in zip(question_items("test"), written(language), strict=True):
        assert said.answer
        assert said.context[said.start : said.start + len(said.answer)] == said.answer
        assert said.answer == said.answer.strip()
        at, clause = item.place
        assert sentence(language, *item.sentences[at]).text in said.context
    assert len({said.context for said in written(language)}) == len(written("en"))


@pytest.mark.parametrize("language", STUDY_LANGUAGES)
def test_a_context_says_its_sentences_as_they_are_said_alone(language):
    for item, said in islice(zip(question_items("test"), written(language), strict=True), 100):
        texts = [sentence(language, *clauses).text for clauses in item.sentences]
        assert said.context.replace(" ", "") == "".join(texts).replace(" ", "")
        asking = {"agent": "who", "object": "what", "time": "when"}.get(item.asked, "where")
        assert said.question.endswith(phrase(language, asking).text)
        if item.asked == "agent":
            assert said.question.startswith(fragment(language, item.repeated[0], "time").text)


def test_english_asks_as_is_expected():
    (first, second, third, *_) = written("en")
    assert first.context.startswith(
        "On Sunday, Emma Navarro drew a flute in India. Emma Kone found a lemon in "
    )
    assert (first.question, first.answer) == ("Paul Ricci was in Cusco. When?", "Saturday")
    assert (second.question, second.answer) == ("Vera Kone cleaned a piano. Where?", "Delhi")
    assert (third.question, third.answer) == ("On Friday evening. Who?", "Paul Suzuki")


# Nothing of one split is in another.


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_no_context_and_no_event_is_in_two_splits(one, other):
    def told(split):
        return {event for item in question_items(split) for event in events(item)}

    assert not told(one) & told(other)
    assert not {said.context for said in written("en", one)} & {said.context for said in written("en", other)}


@pytest.mark.parametrize("split", SPLITS)
def test_people_and_places_are_those_of_the_split(split):
    here = entities(split)
    for item in question_items(split):
        for event in events(item):
            assert {event.agent, event.patient} - {None} <= set(here.people)
            assert event.place is None or event.place in {*here.cities, *here.countries}


# No shortcuts.


def test_the_type_of_the_answer_alone_does_not_give_it():
    """The best that can be had from who, what, where and when, and the places of sentences."""
    chance = random.Random(0)
    found = [candidates(item, item.asked) for item in question_items("test")]
    for choose in (chance.choice, lambda one: one[0], lambda one: one[-1], lambda one: one[len(one) // 2]):
        exact, f1 = scores([choose(one) for one in found])
        assert exact <= 40
        assert f1 <= 55  # names and days share words: "on Friday" has half of "on Monday"


def mean_f1(found, language):
    """Token F1 in percent of answering with any of what was found, each as often as the others."""
    answers = [one.answer for one in written(language)]
    return 100 * statistics.mean(
        statistics.mean(token_f1(text, [answer], language) for text in texts or [""])
        for texts, answer in zip(found, answers, strict=True)
    )


# F1 of knowing what is asked for but not of which event. Names and days share words, and where characters are
# tokens much else does. The mean over the 19 other languages is 38.1.
TYPE_ALONE = dict(
    zip(
        STUDY_LANGUAGES,
        (33.0, 32.7, 44.5, 32.0, 33.9, 35.5, 43.2, 41.5, 36.1, 31.9)
        + (38.8, 35.2, 40.8, 55.3, 33.0, 37.7, 40.7, 38.9, 36.7, 36.1),
        strict=True,
    )
)


@pytest.mark.parametrize(
    "language",
    [code if code == "en" else pytest.param(code, marks=pytest.mark.slow) for code in STUDY_LANGUAGES],
)
def test_who_knows_the_type_alone_is_far_from_the_answer(language):
    found = [candidates(item, item.asked, language) for item in question_items("test")]
    assert mean_f1(found, language) == pytest.approx(TYPE_ALONE[language], abs=0.05)


def test_the_type_and_the_words_that_a_question_repeats_give_the_answer():
    """No more is to be learned than that: questions are said in the words of their event."""
    found = []
    for item, said in zip(question_items("test"), written("en"), strict=True):
        told = [sentence("en", *clauses).text for clauses in item.sentences]
        (closest,) = closest_sentences(["\n".join(told)], [said.question], "en")
        found.append(candidates(item, item.asked, only=told.index(closest)))
    assert mean_f1(found, "en") == pytest.approx(95.3, abs=0.05)


def test_without_the_question_the_answer_cannot_be_told():
    chance = random.Random(0)
    for role in ASKED:
        found = [candidates(item, role) or [""] for item in question_items("test")]
        for choose in (chance.choice, lambda one: one[0], lambda one: one[-1]):
            exact, f1 = scores([choose(one) for one in found])
            assert exact <= 20
            assert f1 <= 25


def test_the_sentence_that_shares_most_words_does_not_answer():
    answers = []
    for item, said in zip(question_items("test"), written("en"), strict=True):
        wanted = set(said.question.lower().split())
        told = [sentence("en", *clauses).text for clauses in item.sentences]
        answers.append(max(told, key=lambda one: len(wanted & set(one.lower().rstrip(".").split()))))
    exact, f1 = scores(answers)
    assert exact == 0
    assert f1 <= 40


@pytest.mark.parametrize("split", SPLITS)
def test_every_context_holds_several_candidates_of_the_type_that_is_asked_for(split):
    for item in question_items(split)[:500]:
        assert len(set(candidates(item, item.asked))) >= 2


def test_drawing_goes_on_and_depends_on_the_generator_alone():
    def drawn(seed):
        return list(islice(drawn_items(Sampler("train", random.Random(seed))), 50))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
