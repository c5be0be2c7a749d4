import pytest

from xlprompt.data import LANGUAGES, STUDY_LANGUAGES, DataError, language
from xlprompt.data.languages import code_of, in_study_order


def test_xglm_saw_thirty_languages_and_the_rest_of_xtreme_is_unseen():
    seen = [row for row in LANGUAGES.values() if row.tokens > 0]
    assert len(seen) == 30
    assert {row.resource_level for row in LANGUAGES.values() if row.tokens == 0} == {"unseen"}
    assert LANGUAGES["he"].resource_level == "unseen"


def test_english_is_half_of_the_pretraining_data():
    # The model card of facebook/xglm-564M gives a ratio of 0.489906; all counts together must agree with it.
    total = sum(row.tokens for row in LANGUAGES.values())
    assert LANGUAGES["en"].tokens / total == pytest.approx(0.489906, abs=1e-4)


@pytest.mark.parametrize(
    ("code", "level"),
    [("en", "high"), ("ja", "high"), ("it", "medium"), ("ca", "medium"), ("hi", "low"), ("te", "low"),
     ("eu", "extremely low"), ("qu", "extremely low"), ("yo", "unseen")],
)  # fmt: skip
def test_resource_level_follows_from_the_tokens(code, level):
    assert language(code).resource_level == level


def test_the_study_has_twenty_languages_that_are_all_in_the_table():
    assert len(STUDY_LANGUAGES) == len(set(STUDY_LANGUAGES)) == 20
    assert STUDY_LANGUAGES[0] == "en"
    assert all(LANGUAGES[code].tokens > 0 for code in STUDY_LANGUAGES)


def test_codes_are_the_keys_and_names_are_unique():
    assert all(code == row.code for code, row in LANGUAGES.items())
    assert len({row.name for row in LANGUAGES.values()}) == len(LANGUAGES)


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        LANGUAGES["xx"] = LANGUAGES["en"]


@pytest.mark.parametrize(
    ("wrong", "hint"), [("Swahili", "sw (Swahili)"), ("EN", "en (English)"), ("swa", "sw")]
)
def test_an_unknown_language_is_refused_with_near_matches(wrong, hint):
    with pytest.raises(DataError) as caught:
        language(wrong)
    assert f"unknown language {wrong!r}" in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        *[("deutsch", "de"), ("Nederlands", "nl"), ("Español", "es"), ("suomi", "fi"), ("日本語", "ja")],
        *[("deu", "de"), ("ger", "de"), ("cmn", "zh"), ("swh_Latn", "sw"), ("zh-CN", "zh"), ("pt_BR", "pt")],
        *[("Germn", "de"), ("Swahilli", "sw"), ("iw", "he"), ("Bahasa Melayu", "ms"), ("ENGLISH", "en")],
    ],
)
def test_a_language_is_known_by_its_own_name_its_iso_codes_and_a_near_spelling(wrong, code):
    with pytest.raises(DataError) as caught:
        language(wrong)
    assert caught.value.fix == f"Did you mean {code} ({LANGUAGES[code].name})?"


@pytest.mark.parametrize(
    "other",
    ["Swedish", "Danish", "Polish", "zh-yue", "zh-min-nan", "Turkmen", "Sindhi", "und", "qaa", "", "\ud83d"],
)
def test_for_another_language_no_wrong_one_is_suggested(other):
    with pytest.raises(DataError) as caught:
        language(other)
    assert caught.value.fix.startswith("Known languages: ")


@pytest.mark.parametrize(
    ("code", "name", "script"),
    [
        *[("pl", "Polish", "Latin"), ("ha", "Hausa", "Latin"), ("sr", "Serbian", "Cyrillic")],
        *[("yue", "Cantonese", "Han"), ("pcm", "Nigerian Pidgin", "Latin"), ("am", "Amharic", "Ethiopic")],
        *[
            ("no", "Norwegian", "Latin"),
            ("frr", "Northern Frisian", "Latin"),
            ("kaa", "Kara-Kalpak", "Cyrillic"),
            ("grc", "Ancient Greek", "Greek"),
        ],
        ("sh", "Serbo-Croatian", "unknown"),
    ],
)
def test_any_language_of_iso_639_has_its_name_and_script_and_unknown_resources(code, name, script):
    row = language(code)
    assert (row.code, row.name, row.script) == (code, name, script)
    assert (row.family, row.resource_level, row.tokens, row.listed) == ("unknown", "unknown", 0, False)


@pytest.mark.parametrize(("code", "shorter"), [("swe", "sv (Swedish)"), ("hau", "ha (Hausa)"), ("PL", "pl")])
def test_a_language_has_one_code_the_shortest(code, shorter):
    with pytest.raises(DataError) as caught:
        language(code)
    assert caught.value.fix.startswith(f"Did you mean {shorter}")


@pytest.mark.parametrize(
    ("word", "code"),
    [
        *[("pl", "pl"), ("pol", "pl"), ("PL", "pl"), ("pl-PL", "pl"), ("pol_Latn", "pl"), ("swa", "sw")],
        *[("zh-CN", "zh"), ("zho_Hans", "zh"), ("eng", "en"), ("pcm", "pcm"), ("tl", "tl"), ("quy", "qu")],
        *[("Polish", None), ("train", None), ("of", None), ("und", None), ("00000", None), ("", None)],
    ],
)
def test_the_codes_of_files_come_to_one_code(word, code):
    assert code_of(word) == code


def test_an_unknown_language_without_near_matches_lists_all():
    with pytest.raises(DataError, match="Known languages: en ru zh"):
        language("xx")


def test_study_order_comes_before_the_alphabet():
    assert in_study_order({"af", "eu", "en", "sw", "ca"}) == ("en", "sw", "eu", "af", "ca")
