"""Invented words: none real, none of one split in another, written and inflected in every language."""

import unicodedata
from itertools import combinations

import pytest

from xlprompt.data import STUDY_LANGUAGES
from xlprompt.data.mini.invented import SHARES, colored, invented, is_invented, row_of, table, written
from xlprompt.data.mini.lexicon import concepts, expand, lexicon

MODELS = {"given": "marco", "family": "moreno", "cities": "toronto", "organization_names": "aurora"}
UNICODE = {"Devanagari": "DEVANAGARI", "Han": "CJK", "Urdu": "ARABIC"}
"""How Unicode names the letters of a script, where that is not its name in capitals."""


def proper_nouns(row):
    forms = [row] if isinstance(row, str) else row.values()
    return [item for form in forms for item in form.split() if item.endswith("/PROPN")]


def texts(row):
    return {name: [word.text for word in expand(form, {})] for name, form in row.items() if "/" in form}


@pytest.mark.parametrize(("one", "other"), list(combinations(SHARES, 2)))
def test_no_invented_word_is_of_two_splits(one, other):
    assert len(set(invented(one))) == SHARES[one]
    assert not set(invented(one)) & set(invented(other))


def test_a_split_without_invented_words_is_refused():
    with pytest.raises(ValueError, match="pretraining has no invented words"):
        invented("pretraining")


def test_no_invented_word_is_one_of_the_worlds_own():
    words = {word for share in SHARES for word in invented(share)}
    assert all(map(is_invented, words))
    own = {one for section in concepts().values() for one in section}
    assert not any(map(is_invented, own))
    assert not {word.replace("-", "") for word in words} & own


@pytest.mark.parametrize("script", table().scripts)
def test_a_script_keeps_all_syllables_apart(script):
    words = [word for share in SHARES for word in invented(share)]
    made = {written(word, script) for word in words}
    assert len(made) == len(words)
    for text in made:
        assert unicodedata.is_normalized("NFC", text)
        names = {unicodedata.name(one).split()[0] for one in text}
        assert names == {UNICODE.get(script, script.upper())}


def test_greek_has_its_accent_on_the_last_syllable_but_one():
    assert written("ta-ri-no", "Greek") == "ταρίνο"


def test_a_stem_lacks_the_last_vowel_and_a_root_all():
    assert written("ta-ri-no", "Latin", "stem") == "tarin"
    assert written("ta-ri-no", "Arabic", "root") == "ترن"


@pytest.mark.parametrize("code", STUDY_LANGUAGES)
@pytest.mark.parametrize("section", MODELS)
def test_an_invented_name_takes_the_place_of_a_real_one_in_every_form(section, code):
    model = row_of(lexicon(code), section, MODELS[section])
    row = row_of(lexicon(code), section, "ta-ri-no")
    stem = table().languages[code].names[section]
    assert all(stem in item for item in proper_nouns(model))
    assert len(proper_nouns(row)) == len(proper_nouns(model))
    assert not any(stem in item for item in proper_nouns(row))


@pytest.mark.parametrize("code", STUDY_LANGUAGES)
@pytest.mark.parametrize(("section", "model"), [("things", "piano"), ("actions", "see")])
def test_an_invented_thing_and_action_have_the_forms_of_a_real_one(section, model, code):
    own, row = (row_of(lexicon(code), section, concept) for concept in (model, "ta-ri-no"))
    assert isinstance(row, str) == isinstance(own, str)
    if isinstance(own, dict):
        assert set(row) == set(own)


@pytest.mark.parametrize("code", STUDY_LANGUAGES)
def test_colors_stand_beside_the_noun_of_a_thing_and_not_of_its_counter(code):
    plain = row_of(lexicon(code), "things", "coat")
    painted = texts(colored(code, plain, ("ta-ri-ni", "ko-ma-do")))
    for name, words in texts(plain).items():
        added = len(painted[name]) - len(words)
        said = expand(table().languages[code].color.said if isinstance(plain, str) else plain[name], {})
        assert (added >= 2) == (not name.startswith("counter")), (name, said)
        assert set(words) <= set(painted[name])


def test_colors_are_said_as_a_language_says_them():
    def said(code, form):
        row = row_of(lexicon(code), "things", "apple")
        return " ".join(texts(colored(code, row, ("ta-ri-ni",)))[form])

    assert said("en", "obj") == "a tarini apple"  # not "an"
    assert said("de", "obj") == "einen tarini Apfel"
    assert said("fr", "obj") == "une pomme tarini"
    assert said("fi", "obj") == "tarinin omenan"
    assert said("fi", "part") == "tarinia omenaa"
    assert said("zh", "obj") == "一 个 塔里尼 的 苹果"
    assert said("th", "obj") == "แอปเปิล ตารีนี หนึ่ง ผล"
    assert said("eu", "obj") == "sagar tarini bat"
