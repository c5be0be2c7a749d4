"""Each language says all of the mini world, in its own script and well tagged; what is wrong is named."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain, cycle, islice, product

import pytest
import yaml

from xlprompt.data import STUDY_LANGUAGES, language
from xlprompt.data.mini import fillers, realize, world
from xlprompt.data.mini import lexicon as lexicon_module
from xlprompt.data.mini.lexicon import PATTERNS, PHRASES, UPOS, FormError, Word, lexicon, parse_lexicon
from xlprompt.data.mini.meaning import Count, Meaning, Thing, Time
from xlprompt.data.mini.realize import code_switched, fragment, phrase, sentence, write
from xlprompt.data.mini.world import Organization, Person

SCRIPTS = {  # first words of the Unicode names of a script's letters
    "Latin": {"LATIN"},
    "Cyrillic": {"CYRILLIC"},
    "Greek": {"GREEK"},
    "Arabic": {"ARABIC"},
    "Devanagari": {"DEVANAGARI"},
    "Telugu": {"TELUGU"},
    "Thai": {"THAI"},
    "Hangul": {"HANGUL"},
    "Han": {"CJK"},
    "Japanese": {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"},
}
ANY_SCRIPT = {"COMBINING", "MODIFIER", "ZERO"}
CASED = {"Latin", "Cyrillic", "Greek"}
CLOSING = ".,?!;:。，、？！؟،؛۔।"

ANNA, HUGO = Person("anna", "sato"), Person("hugo", "rossi")
COUPLES = ((ANNA, HUGO), (HUGO, ANNA))
MONDAY = Time("monday")
BARE: dict[str, object] = {}
FULL = {"site": "park", "place": "rome", "time": Time("friday", "evening")}
COUNTS = [Count(mode, number) for mode in ("exact", "more", "fewer") for number in world.NUMBERS]


def people() -> list[Person]:
    """Every given and every family name."""
    return [
        Person(given, family)
        for given, family in zip(world.WOMEN + world.MEN, cycle(world.FAMILIES), strict=False)
    ]


def about(agent: Person, patient: Person, **roles) -> list[Meaning]:
    """One meaning of each frame that speaks of people, affirmed and denied."""
    here = roles if {"site", "place"} & set(roles) else {**roles, "site": "market"}
    at = {"place": roles["place"]} if "place" in roles else {}
    apple, counted = Thing("apple"), Thing("dog", COUNTS[0])
    return [
        Meaning("event", agent, action="buy", thing=apple, **roles),
        Meaning("event", agent, action="buy", thing=counted, **roles),
        Meaning("event", agent, action="buy", thing=apple, state="tired", **roles),
        Meaning("event", agent, action="buy", thing=apple, negated=True, **roles),
        Meaning("meet", agent, patient, action="help", **roles),
        Meaning("meet", agent, patient, action="help", negated=True, **roles),
        Meaning("stay", agent, **here),
        Meaning("stay", agent, negated=True, **here),
        Meaning("before", agent, patient, **roles),
        Meaning("after", agent, patient, **roles),
        Meaning("give", agent, patient, thing=apple, **roles),
        Meaning("work", agent, organization=Organization("bank", "nova"), **at),
        Meaning("work", agent, organization=Organization("bank", "nova"), negated=True, **at),
    ]


def is_reworded(meaning: Meaning) -> bool:
    """Whether there are two ways to say it."""
    fronted = meaning.frame in ("event", "stay") and meaning.time is not None
    return not meaning.negated and (fronted or meaning.frame in ("meet", "compare", "give"))


@cache
def everything() -> tuple[tuple[tuple[Meaning, str], ...], ...]:
    """Sentences, as clauses, that need every row in every pattern that it may stand in."""
    said: list[Meaning] = []
    for agent, patient in COUPLES:
        for roles in (BARE, {"time": MONDAY}, FULL):
            said += about(agent, patient, **roles)
    for person in people():
        other = HUGO if person.gender == "f" else ANNA
        if {person.given, person.family} & {other.given, other.family}:
            other = Person(other.given, "kone")
        said += about(person, other, time=MONDAY) + about(other, person, time=MONDAY)
        said += [
            Meaning("compare", one, two, quality="taller") for one, two in ((person, other), (other, person))
        ]
        said.append(Meaning("state", person, state="tired"))
    concepts = [*world.THINGS, *world.KINDS]
    for concept, (agent, patient) in product(concepts, COUPLES):
        said.append(Meaning("give", agent, patient, thing=Thing(concept)))
        for action in world.ACTIONS:
            for negated in (False, True):
                said.append(Meaning("event", agent, action=action, thing=Thing(concept), negated=negated))
    for (concept, count), action in zip(product(concepts, COUNTS), cycle(world.ACTIONS), strict=False):
        said.append(Meaning("event", ANNA, action=action, thing=Thing(concept, count)))
    for concept, count in product(concepts, COUNTS[:: len(world.NUMBERS)]):
        said.append(Meaning("give", ANNA, HUGO, thing=Thing(concept, count)))
    for action, count, (agent, _) in product(world.ACTIONS, COUNTS[:: len(world.NUMBERS)], COUPLES):
        said.append(Meaning("event", agent, action=action, thing=Thing("pear", count), time=MONDAY))
    for action, agent, patient, negated in product(
        world.PERSON_ACTIONS, (ANNA, HUGO), (Person("nina", "kone"), Person("omar", "ito")), (False, True)
    ):
        said.append(Meaning("meet", agent, patient, action=action, negated=negated))
    for quality, (agent, patient) in product(world.QUALITIES, COUPLES):
        said.append(Meaning("compare", agent, patient, quality=quality))
    for state, (agent, _) in product(world.STATES, COUPLES):
        said.append(Meaning("state", agent, state=state))
        said += [
            Meaning("event", agent, action="see", thing=Thing("dog"), state=state, time=time)
            for time in (None, MONDAY)
        ]
    places = [*world.CITIES, *world.COUNTRIES]
    times = [Time(day, part) for day, part in product(world.DAYS, world.DAY_PARTS)]
    opened = Organization("hotel", "orion")
    for roles in (
        [{"site": site} for site in world.SITES]
        + [{"place": place} for place in places]
        + [{"time": time} for time in times]
    ):
        said += about(ANNA, HUGO, **roles)
        if "site" not in roles:
            said.append(Meaning("open", organization=opened, **roles))
    for kind, name, (agent, _) in product(
        world.ORGANIZATION_TYPES, (None, *world.ORGANIZATION_NAMES), COUPLES
    ):
        organization = Organization(kind, name)
        said += [
            Meaning("work", agent, organization=organization, negated=negated) for negated in (False, True)
        ]
        if name:
            said.append(Meaning("open", organization=organization, place="japan", time=MONDAY))
    meanings = list(dict.fromkeys(said))
    alone = [((meaning, "plain"),) for meaning in meanings]
    alone += [((meaning, "reworded"),) for meaning in meanings if is_reworded(meaning)]
    events = [meaning for meaning in meanings if meaning.frame == "event" and not meaning.negated]
    joined = [((one, "plain"), (two, "plain")) for one, two in zip(events, reversed(events), strict=True)]
    return (*alone, *islice(joined, 0, None, 20))


@dataclass(frozen=True)
class Said:
    """What a language makes of `everything`."""

    language: str
    texts: list[str]
    tokens: list[tuple[str, ...]]
    pos: list[tuple[str, ...]]
    entities: list[tuple[str, ...]]
    forms: set[str]

    @property
    def script(self) -> str:
        return language(self.language).script


@pytest.fixture(scope="module", params=STUDY_LANGUAGES)
def said(request):
    """One language at a time: all sentences and phrases, and the forms of the file that they took."""
    code = request.param
    forms: set[str] = set()
    expand = lexicon_module.expand

    def noted(form, slots, entity=""):
        forms.add(form)
        return expand(form, slots, entity)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_module, "expand", noted)
        patch.setattr(fillers, "expand", noted)
        result = Said(code, [], [], [], [], forms)
        for one in chain(
            (sentence(code, *clauses) for clauses in everything()),
            (phrase(code, name) for name in sorted(PHRASES)),
        ):
            result.texts.append(one.text)
            result.tokens.append(tuple(one.tokens))
            result.pos.append(tuple(one.pos))
            result.entities.append(tuple(one.entities))
    return result


@pytest.mark.integration
def test_a_language_says_everything_and_needs_all_of_its_patterns(said):
    book = lexicon(said.language)
    assert {name for name in PATTERNS if book.patterns[name] not in said.forms} == set()
    assert {name for name in PHRASES if book.phrases[name] not in said.forms} == set()


@pytest.mark.integration
def test_a_language_uses_a_form_of_every_row(said):
    book = lexicon(said.language)
    unused = {
        f"{section}.{name}"
        for section in lexicon_module.concepts()
        for name, row in getattr(book, section).items()
        if said.forms.isdisjoint([row] if isinstance(row, str) else row.values())
    }
    assert unused == set()


@pytest.mark.integration
def test_letters_are_of_the_languages_script(said):
    characters = {character for text in said.texts for character in text}
    letters = {one for one in characters if one.isalpha() or unicodedata.category(one).startswith("M")}
    assert letters
    scripts = SCRIPTS[said.script] | ANY_SCRIPT
    assert {one for one in letters if unicodedata.name(one).split()[0] not in scripts} == set()


@pytest.mark.integration
def test_texts_are_well_spaced(said):
    spaced = "?!;:" if said.language == "fr" else ""
    closing = re.compile(f" [{''.join(mark for mark in CLOSING if mark not in spaced)}]")
    for text in said.texts:
        assert text
        assert text == text.strip()
        assert "  " not in text
        assert not closing.search(text), text
        assert not set(text) & set("{}<>/_+"), text


@pytest.mark.integration
def test_texts_begin_with_a_capital_where_there_are_capitals_and_end_with_a_mark(said):
    for text in said.texts:
        assert unicodedata.category(text[-1]).startswith("P") or said.script == "Thai", text
        if said.script in CASED:
            assert next(one for one in text if one.isalpha()).isupper(), text


@pytest.mark.integration
def test_texts_hold_the_words_in_their_order(said):
    for tokens, text in zip(said.tokens, said.texts, strict=True):
        assert "".join(tokens) == text.replace(" ", "")
        assert all(token and not re.search(r"\s", token) for token in tokens)


@pytest.mark.integration
def test_every_word_has_a_part_of_speech_and_a_valid_entity_tag(said):
    known = {f"{place}-{kind}" for place in "BI" for kind in ("PER", "ORG", "LOC")} | {"O"}
    for tokens, pos, entities in zip(said.tokens, said.pos, said.entities, strict=True):
        assert len(tokens) == len(pos) == len(entities)
        assert set(pos) <= UPOS
        assert set(entities) <= known
        for before, tag in zip(("O", *entities), entities, strict=False):
            assert tag[0] != "I" or before[1:] == tag[1:], tokens


@pytest.mark.integration
def test_each_person_named_organization_and_place_is_one_entity(said):
    for text, entities, clauses in zip(said.texts, said.entities, everything(), strict=False):
        expected = {"PER": 0, "ORG": 0, "LOC": 0}
        for meaning, _ in clauses:
            expected["PER"] += bool(meaning.agent) + bool(meaning.patient)
            expected["ORG"] += bool(meaning.organization and meaning.organization.name)
            expected["LOC"] += bool(meaning.place)
        found = {kind: entities.count(f"B-{kind}") for kind in expected}
        assert found == expected, text


@pytest.mark.integration
def test_different_meanings_are_said_differently(said):
    meant: dict[str, tuple[Meaning, ...]] = {}
    for text, clauses in zip(said.texts, everything(), strict=False):
        meaning = tuple(meaning for meaning, _ in clauses)
        assert meant.setdefault(text, meaning) == meaning, text


@pytest.mark.integration
def test_phrases_differ_from_each_other(said):
    assert len(set(said.texts[-len(PHRASES) :])) == len(PHRASES)


@pytest.mark.parametrize("code", STUDY_LANGUAGES)
def test_every_role_can_be_the_answer_to_a_question(code):
    meaning = Meaning("give", ANNA, HUGO, thing=Thing("apple", COUNTS[0]), **FULL)
    answers = [
        fragment(code, meaning, role) for role in ("agent", "patient", "object", "site", "place", "time")
    ]
    assert len({answer.text for answer in answers}) == len(answers)
    name = [tag for tag in answers[0].entities if tag != "O"]
    assert name == ["B-PER", *["I-PER"] * (len(name) - 1)]


def test_an_empty_role_is_no_answer():
    with pytest.raises(FormError, match="place is empty"):
        fragment("en", Meaning("stay", ANNA, site="park"), "place")


SAW = Meaning("event", HUGO, action="see", thing=Thing("dog", Count("more", "five")), state="sad")
BOUGHT = Meaning("event", ANNA, action="buy", thing=Thing("apple"), **FULL)
THANKED = Meaning("meet", ANNA, HUGO, action="thank", negated=True)
GAVE = Meaning("give", ANNA, HUGO, thing=Thing("hat"))
WORKS = Meaning("work", ANNA, organization=Organization("bank", "nova"), place="rome")
SOMEWHERE = Meaning("work", ANNA, organization=Organization("bank"))
IN_LIMA, AT_SEA = Meaning("stay", ANNA, place="lima"), Meaning("stay", HUGO, site="beach")


@pytest.mark.parametrize(
    ("clauses", "text"),
    [
        ([(BOUGHT, "plain")], "Anna Sato bought an apple in the park in Rome on Friday evening."),
        ([(BOUGHT, "reworded")], "On Friday evening, Anna Sato bought an apple in the park in Rome."),
        ([(SAW, "plain")], "Hugo Rossi saw more than five dogs because he was sad."),
        ([(THANKED, "plain")], "Anna Sato did not thank Hugo Rossi."),
        ([(GAVE, "plain")], "Anna Sato gave a hat to Hugo Rossi."),
        ([(GAVE, "reworded")], "Hugo Rossi received a hat from Anna Sato."),
        ([(WORKS, "plain")], "Anna Sato works at Nova Bank in Rome."),
        ([(SOMEWHERE, "plain")], "Anna Sato works at a bank."),
        ([(IN_LIMA, "plain"), (AT_SEA, "plain")], "Anna Sato was in Lima, and Hugo Rossi was on the beach."),
    ],
)
def test_english_says_what_is_meant(clauses, text):
    assert sentence("en", *clauses).text == text


def test_names_are_tagged_as_entities():
    tags = sentence("en", (WORKS, "plain")).entities
    assert tags == ["B-PER", "I-PER", "O", "O", "B-ORG", "I-ORG", "O", "B-LOC", "O"]


def test_a_day_is_a_proper_noun_but_no_entity():
    said_so = sentence("en", (Meaning("stay", ANNA, site="park", time=MONDAY), "plain"))
    at = said_so.tokens.index("Monday")
    assert (said_so.pos[at], said_so.entities[at]) == ("PROPN", "O")


def test_only_some_frames_can_be_denied():
    with pytest.raises(ValueError, match="give can't be negated"):
        sentence("en", (Meaning("give", ANNA, HUGO, thing=Thing("hat"), negated=True), "plain"))


def test_spaces_are_left_out_before_marks_after_apostrophes_and_where_the_language_has_none():
    words = (Word("l'", "DET"), Word("ami", "NOUN"), Word("dort", "VERB"), Word(".", "PUNCT"))
    assert write(words, spaces=True) == "l'ami dort."
    assert write(words, spaces=False) == "l'amidort."
    assert write((Word("¿", "PUNCT"), Word("Quién", "PRON"), Word("?", "PUNCT")), spaces=True) == "¿Quién?"
    assert write((Word("one", "NUM"), Word("two", "NUM", space=False)), spaces=True) == "onetwo"


# Code-switching.


@pytest.mark.parametrize(
    ("own", "other"), [("en", "ru"), ("de", "zh"), ("zh", "en"), ("ar", "hi"), ("ja", "el")]
)
@pytest.mark.parametrize("role", ["agent", "object", "site", "place", "time"])
def test_a_switched_phrase_is_of_the_other_script_and_the_rest_of_the_own(own, other, role):
    meaning = Meaning("event", ANNA, action="buy", thing=Thing("apple"), **FULL)
    switched = code_switched(own, other, meaning, "plain", {role})
    first, second = SCRIPTS[language(own).script], SCRIPTS[language(other).script]
    found = {unicodedata.name(one).split()[0] for one in switched.text if one.isalpha()}
    assert found & second
    assert found & first
    assert found <= first | second
    assert switched.language == own


def test_nothing_is_switched_where_no_role_is_named():
    meaning = Meaning("meet", ANNA, HUGO, action="visit", **FULL)
    assert code_switched("en", "ru", meaning, "plain", set()) == sentence("en", (meaning, "plain"))


# What is wrong in a language file is named when it is used.


@pytest.fixture
def spoiled(monkeypatch):
    """Speak English with one form of its file replaced."""

    def speak(section, row, form, meaning, style="plain"):
        content = yaml.safe_load((files("xlprompt.data.mini") / "languages" / "en.yaml").read_text("utf-8"))
        content[section][row] = form
        book = parse_lexicon(yaml.safe_dump(content, allow_unicode=True), file="en.yaml")
        monkeypatch.setattr(realize, "lexicon", lambda _: book)
        return sentence("en", (meaning, style))

    return speak


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("{agent} bought/VRB {object}", "'bought/VRB' is not word/TAG"),
        ("{agent} bought {object}", "'bought' is not word/TAG"),
        ("{agnet} bought/VERB {object}", "no slot 'agnet'"),
        ("{agent} {action.future} {object}", "actions.buy has no form 'future'"),
        ("{agent.dative} {action.past} {object}", "person has no form 'dative'"),
        ("{agent} {action.<object.class>} {object}", "things.apple has no 'class'"),
        ("{agent} {action.<agent.age>} {object}", "given.anna has no 'age'"),
    ],
)
def test_a_wrong_pattern_is_named_with_its_file(spoiled, form, what):
    with pytest.raises(FormError) as caught:
        spoiled("patterns", "event", form, Meaning("event", ANNA, action="buy", thing=Thing("apple")))
    assert str(caught.value).startswith("en.yaml: pattern event: ")
    assert what in str(caught.value)


def test_a_wrong_row_is_named_with_its_file_and_pattern(spoiled):
    with pytest.raises(FormError, match=r"^en\.yaml: pattern stay: 'park/NN' is not word/TAG"):
        spoiled("sites", "park", "in/ADP the/DET park/NN", Meaning("stay", ANNA, site="park"))


def test_a_wrong_count_is_named_with_both_patterns(spoiled):
    meaning = Meaning("event", ANNA, action="buy", thing=Thing("dog", Count("exact", "five")))
    with pytest.raises(FormError, match=r"pattern event: .*pattern exact: things\.dog has no form 'dual'"):
        spoiled("patterns", "exact", "{number} {thing.dual}", meaning)
