"""Language files: what is wrong in one is named by file, section and row; forms become words with tags."""

import copy
import json
import unicodedata
from functools import cache
from importlib.resources import files

import pytest
import yaml

from xlprompt.data import STUDY_LANGUAGES, DataError, task
from xlprompt.data.mini.lexicon import (
    FormError,
    RowFiller,
    Word,
    concepts,
    expand,
    lexicon,
    parse_lexicon,
)

SECTIONS = sorted(concepts())


@cache
def read():
    return yaml.safe_load((files("xlprompt.data.mini") / "languages" / "en.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def english():
    """The English file's content, to be spoiled."""
    return copy.deepcopy(read())


def parse(content):
    return parse_lexicon(json.dumps(content), file="en.yaml")  # JSON is YAML, and faster to write


@pytest.mark.parametrize("code", STUDY_LANGUAGES)
def test_the_file_of_a_language_says_every_concept(code):
    book = lexicon(code)
    assert book.language == code
    for section, wanted in concepts().items():
        assert set(getattr(book, section)) == wanted


@pytest.mark.parametrize("code", STUDY_LANGUAGES)
def test_the_file_of_a_language_is_written_in_composed_characters(code):
    text = (files("xlprompt.data.mini") / "languages" / f"{code}.yaml").read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("code", ["xx", "pt", "../languages/en"])
def test_a_language_without_a_file_is_refused_with_those_that_have_one(code):
    with pytest.raises(DataError) as caught:
        lexicon(code)
    assert repr(code) in str(caught.value)
    assert "en ru zh" in str(caught.value)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_missing_row_is_named_with_its_file_and_section(english, section):
    row = next(iter(english[section]))
    del english[section][row]
    with pytest.raises(DataError, match=rf"^en\.yaml: .*{section}: no row for {row}\b"):
        parse(english)


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_row_is_named_with_its_file_and_section(english, section):
    english[section]["spaceship"] = next(iter(english[section].values()))
    with pytest.raises(DataError, match=rf"^en\.yaml: .*{section}: the mini world has no spaceship\b"):
        parse(english)


@pytest.mark.parametrize("section", ["stop", "person", *SECTIONS])
def test_a_missing_section_is_named(english, section):
    del english[section]
    with pytest.raises(DataError, match=rf"^en\.yaml: {section}: "):
        parse(english)


def test_an_unknown_section_is_named(english):
    english["spaceships"] = {}
    with pytest.raises(DataError, match=r"^en\.yaml: spaceships: "):
        parse(english)


def test_a_row_of_the_wrong_type_is_named(english):
    english["sites"]["park"] = ["in/ADP", "the/DET", "park/NOUN"]
    with pytest.raises(DataError, match=r"^en\.yaml: sites\.park"):
        parse(english)


def test_what_is_no_yaml_is_refused_with_the_line():
    with pytest.raises(DataError, match=r"(?s)^en\.yaml: not YAML: .*line 2"):
        parse_lexicon("language: en\nsites: {park: [}\n", file="en.yaml")


def test_a_form_is_words_and_their_parts_of_speech():
    assert expand("at/ADP the/DET market/NOUN", {}) == (
        Word("at", "ADP"),
        Word("the", "DET"),
        Word("market", "NOUN"),
    )


def test_every_part_of_speech_of_the_task_and_no_other_may_be_written():
    for tag in task("pos").labels:
        assert expand(f"word/{tag}", {})[0].pos == tag
    for wrong in ("word/NN", "word/noun", "word", "/NOUN", "word/"):
        with pytest.raises(FormError, match="is not word/TAG with a universal part of speech") as caught:
            expand(wrong, {})
        assert repr(wrong) in str(caught.value)


def test_a_placeholder_takes_a_form_of_what_fills_it():
    row = RowFiller("things.dog", {"obj": "a/DET dog/NOUN", "counted": "dogs/NOUN"}, usual=("obj",))
    assert [word.text for word in expand("see/VERB {object}", {"object": row})] == ["see", "a", "dog"]
    assert [word.text for word in expand("{object.counted}", {"object": row})] == ["dogs"]


def test_a_row_with_one_form_serves_whatever_form_is_asked_for():
    row = RowFiller("sites.park", "in/ADP parks/NOUN")
    assert expand("{site.whatever}", {"site": row}) == expand("{site}", {"site": row})


def test_an_empty_slot_vanishes():
    assert expand("left/VERB {time} early/ADV", {"time": None}) == expand("left/VERB early/ADV", {})


def test_a_placeholder_within_a_word_becomes_part_of_it():
    name = RowFiller("organization_names.nova", "Nova/PROPN")
    assert expand("{name}-Bank/PROPN", {"name": name}) == (Word("Nova-Bank", "PROPN"),)


def test_agreement_takes_the_form_that_another_row_names():
    slots = {
        "patient": RowFiller("given.anna", {"dat": "Annalle/PROPN", "acc": "Annan/PROPN"}),
        "action": RowFiller("person_actions.thank", {"past": "thanked/VERB", "case": "dat"}),
    }
    assert expand("{patient.<action.case>}", slots)[0].text == "Annalle"


@pytest.mark.parametrize(("sign", "space"), [("_", True), ("+", False)])
def test_a_space_may_be_set_or_left_out_by_hand(sign, space):
    first, second = expand(f"one/NUM {sign} two/NUM", {})
    assert (first.space, second.space) == (None, space)


def test_proper_nouns_of_a_name_are_one_entity_and_its_preposition_is_outside():
    row = RowFiller("cities.lima", "in/ADP Ciudad/PROPN Lima/PROPN", entity="LOC")
    assert [(word.entity, word.begins) for word in expand("{place}", {"place": row})] == [
        ("", False),
        ("LOC", True),
        ("LOC", False),
    ]


def test_an_unknown_slot_is_refused_with_those_there_are():
    with pytest.raises(FormError, match=r"no slot 'agnet' in \{agnet\.subj\}; there are agent, patient"):
        expand("{agnet.subj}", {"agent": None, "patient": None})


def test_an_unknown_form_is_refused_with_its_row():
    with pytest.raises(FormError, match=r"things\.dog has no form 'dual'"):
        expand("{object.dual}", {"object": RowFiller("things.dog", {"obj": "dog/NOUN"})})


def test_an_unknown_feature_is_refused_with_its_row():
    slots = {"object": RowFiller("things.dog", {"obj": "dog/NOUN"}), "action": None}
    with pytest.raises(FormError, match=r"things\.dog has no 'case'"):
        expand("{object.<object.case>}", slots)
    with pytest.raises(FormError, match=r"<action\.case>: no slot 'action' to agree with"):
        expand("{object.<action.case>}", slots)
