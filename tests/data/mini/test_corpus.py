"""The text to pretrain on: languages by their shares, the same from a seed, nobody of the benchmark."""

import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import islice, pairwise

import pytest

from xlprompt.data import LANGUAGES, STUDY_LANGUAGES
from xlprompt.data.mini import world
from xlprompt.data.mini.corpus import Line, language_shares, passages
from xlprompt.data.mini.items import SIZES
from xlprompt.data.mini.realize import phrase
from xlprompt.data.mini.world import entities

SHARES = {"en": 0.6, "ru": 0.3, "zh": 0.1}


@cache
def made(number=2000, seed=0, **shares):
    return tuple(islice(passages(shares or SHARES, seed=seed), number))


def test_the_same_seed_makes_the_same_passages():
    again = tuple(islice(passages(SHARES, seed=0), 200))
    assert again == made()[:200]
    assert tuple(islice(passages(SHARES, seed=1), 200)) != again


def test_the_first_language_of_a_passage_follows_the_shares():
    found = Counter(passage[0].language for passage in made())
    for code, share in SHARES.items():
        assert found[code] / len(made()) == pytest.approx(share, abs=0.04)
    assert set(found) == set(SHARES)


def test_passages_of_one_language_are_possible():
    for passage in made(200, en=1.0):
        assert {line.language for line in passage} == {"en"}


def test_a_passage_has_one_language_or_two():
    found = Counter(len({line.language for line in passage}) for passage in made())
    assert set(found) == {1, 2}
    assert found[2] > 0.2 * len(made())


def test_lines_are_sentences_and_blank_ones_stand_between_two():
    for passage in made():
        assert all(isinstance(line, Line) for line in passage)
        assert passage[0].text
        assert passage[-1].text
        assert all(one.text or other.text for one, other in pairwise(passage))
        assert not any("\n" in line.text for line in passage)


def test_every_given_and_family_name_is_met():
    words = {
        word for passage in made(2000, en=1.0) for line in passage for word in re.findall(r"\w+", line.text)
    }
    for name in (*world.WOMEN, *world.MEN, *world.FAMILIES, *world.CITIES, *world.COUNTRIES):
        assert name.capitalize() in words, name


def test_nobody_of_the_benchmark_and_none_of_its_organizations_is_spoken_of():
    text = "\n".join(line.text for passage in made(2000, en=1.0) for line in passage)
    for split in SIZES:
        here = entities(split)
        people = {f"{who.given.capitalize()} {who.family.capitalize()}" for who in here.people}
        organizations = {f"{one.name.capitalize()} {one.type.capitalize()}" for one in here.organizations}
        assert not [name for name in people | organizations if name in text]


def test_nobody_does_something_to_themselves():
    given, family = (
        "|".join(name.capitalize() for name in names) for names in (world.WOMEN + world.MEN, world.FAMILIES)
    )
    for passage in made(2000, en=1.0):
        for line in passage:
            people = re.findall(rf"\b(?:{given}) (?:{family})\b", line.text)
            assert len(people) == len(set(people)), line.text


def test_the_three_answers_are_given_about_equally_often():
    answers = {name: phrase("en", name).text for name in ("agree", "deny", "maybe")}
    found = Counter(line.text for passage in made(2000, en=1.0) for line in passage)
    total = sum(found[text] for text in answers.values())
    assert total > 700
    for text in answers.values():
        assert found[text] / total == pytest.approx(1 / 3, abs=0.06)


def scripts(text):
    return {unicodedata.name(one).split()[0] for one in text if one.isalpha()}


def test_some_sentences_hold_words_of_both_languages_and_their_translation_follows():
    switched = 0
    for passage in made():
        for line, following in pairwise(passage):
            if line.language == "en" and len(scripts(line.text)) > 1:
                switched += 1
                assert scripts(line.text) <= {"LATIN", "CYRILLIC", "CJK"}
                assert following.language == "en"
                assert scripts(following.text) == {"LATIN"}
    assert switched > 30


def test_without_an_exponent_every_language_has_the_same_share():
    shares = language_shares(0)
    assert set(shares) == set(STUDY_LANGUAGES)
    assert set(shares.values()) == {1 / len(STUDY_LANGUAGES)}


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.0])
def test_shares_are_in_the_order_of_the_tokens_and_sum_to_one(exponent):
    shares = language_shares(exponent)
    assert sum(shares.values()) == pytest.approx(1)
    by_tokens = sorted(STUDY_LANGUAGES, key=lambda code: LANGUAGES[code].tokens)
    assert sorted(shares, key=shares.__getitem__) == by_tokens


def test_an_exponent_of_one_follows_the_corpus_and_a_smaller_one_is_fairer_to_the_small():
    whole, fair = language_shares(1), language_shares(0.3)
    assert whole["en"] / whole["sw"] == pytest.approx(LANGUAGES["en"].tokens / LANGUAGES["sw"].tokens)
    assert fair["eu"] > whole["eu"]
    assert fair["en"] < whole["en"]
