"""Invented words: such as pretraining never met, written and inflected in every language.

An invented word is a row of syllables such as "ta-ri-no", a concept like those of `world`. It may stand
wherever a name, a thing, an action or a color may, so that only its place in a sentence, or an ending, tells
what it is. How it is written stands in `invented.yaml`; which ones are drawn is the business of `tagged`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import product
from types import MappingProxyType
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from xlprompt.data.mini.lexicon import Form, Lexicon, Row
from xlprompt.data.mini.world import Split

CONSONANTS, VOWELS = "bdkmnrst", "aio"
_SYLLABLES = tuple(consonant + vowel for consonant, vowel in product(CONSONANTS, VOWELS))
_REAL = frozenset({"ba-na-no", "ko-mo-do", "ko-so-bo", "ma-ri-no", "mo-na-ko", "ro-ma-no", "to-ma-to"})

SHARES: Mapping[str, int] = MappingProxyType({"common": 120, "train": 1600, "validation": 200, "test": 200})
"""Invented words that end in o of each split alone, and those that all splits have in common."""

_MODELS = MappingProxyType(
    {"given": "marco", "family": "moreno", "cities": "toronto", "organization_names": "aurora"}
)
"""Section of a language file -> the concept whose name an invented name inflects as."""


class _Script(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    consonants: str = ""
    vowels: str = ""
    stressed: str = ""
    syllables: str = ""


class _Color(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    said: Row
    side: Literal["before", "after"]
    noun: Literal["first", "last"]
    instead: dict[str, str] = {}


class _Language(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    script: str
    names: dict[Literal["given", "family", "cities", "organization_names"], str]
    thing: dict[str, Form]
    action: Row
    color: _Color


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scripts: dict[str, _Script]
    languages: dict[str, _Language]


@cache
def invented(share: Split | Literal["common"]) -> tuple[str, ...]:
    """Return the invented words of a split alone, or those that all have in common; all end in o."""
    every = ["-".join(one) for one in product(_SYLLABLES, repeat=3) if one[-1][-1] == "o"]
    every = [one for one in every if one not in _REAL]
    random.Random("xlprompt mini invented words").shuffle(every)
    start = 0
    for name, number in SHARES.items():
        if name == share:
            return tuple(every[start : start + number])
        start += number
    raise ValueError(f"{share} has no invented words")


def is_invented(concept: str) -> bool:
    """Tell whether a concept is none of the world's own."""
    return "-" in concept


def row_of(book: Lexicon, section: str, concept: str) -> Row:
    """Return how a language says a concept: its own row, or that of an invented word.

    Args:
        book: The language.
        section: Of a language file.
        concept: One of the section's, or an invented one.
    """
    rows: Mapping[str, Row] = getattr(book, section)
    if not is_invented(concept):
        return rows[concept]
    language = table().languages[book.language]
    if section in ("things", "actions"):
        return _filled(language.thing if section == "things" else language.action, concept, language.script)
    name = _capital(written(concept, language.script))
    model, own = language.names[section], rows[_MODELS[section]]  # type: ignore[index]
    if isinstance(own, str):
        return own.replace(model, name)
    return {form: text.replace(model, name) for form, text in own.items()}


def colored(language: str, row: Row, colors: tuple[str, ...]) -> Row:
    """Return the row of a thing with colors beside its noun; counters, and features, stay as they are."""
    if isinstance(row, str):
        return _painted(language, "obj", row, colors)
    return {form: _painted(language, form, text, colors) for form, text in row.items()}


def _painted(language: str, form: str, text: str, colors: tuple[str, ...]) -> str:
    how = table().languages[language]
    items = text.split()
    nouns = [place for place, item in enumerate(items) if item.endswith("/NOUN")]
    if not nouns or form.startswith("counter"):
        return text
    said = []
    for color in colors:
        own = how.color.said if isinstance(how.color.said, str) else how.color.said[form]
        said.append(_put(own, color, how.script))
    noun = nouns[0 if how.color.noun == "first" else -1]
    place = noun + (how.color.side == "after")
    before = [_instead(item, how.color.instead) for item in items[:place]]
    return " ".join([*before, *said, *items[place:]])


def _instead(item: str, others: Mapping[str, str]) -> str:
    word, slash, tag = item.rpartition("/")
    return others.get(word, word) + slash + tag


def _filled(row: Row, concept: str, script: str) -> Row:
    """Put an invented word into the forms of a row."""
    if isinstance(row, dict):
        return {form: _put(text, concept, script) for form, text in row.items()}
    return _put(row, concept, script)


def _put(text: str, concept: str, script: str) -> str:
    word = written(concept, script)
    text = text.replace("{word}", word).replace("{Word}", _capital(word))
    if "{stem}" in text:
        text = text.replace("{stem}", written(concept, script, "stem"))
    return text.replace("{root}", written(concept, script, "root")) if "{root}" in text else text


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


@cache
def written(concept: str, script: str, part: Literal["word", "stem", "root"] = "word") -> str:
    """Write an invented word in a script of `invented.yaml`, in small letters where the script has them.

    Args:
        concept: Such as "ta-ri-no".
        script: Such as "Latin".
        part: The word, the word without its last vowel, or its consonants alone; signs of syllables can't be
            taken apart.
    """
    signs = table().scripts[script]
    parts = concept.split("-")
    if signs.syllables:
        own = dict(zip(_SYLLABLES, signs.syllables.split(), strict=True))
        return "".join(own[each] for each in parts)
    consonants = dict(zip(CONSONANTS, signs.consonants.split(), strict=True))
    shapes = [dict(zip(VOWELS, signs.vowels.split(), strict=True))[each[1]] for each in parts]
    if signs.stressed and part == "word":
        shapes[-2] = dict(zip(VOWELS, signs.stressed.split(), strict=True))[parts[-2][1]]
    if part == "stem":
        shapes[-1] = "{}"
    if part == "root":
        shapes = ["{}"] * len(parts)
    return "".join(
        shape.replace("{}", consonants[each[0]]) for shape, each in zip(shapes, parts, strict=True)
    )


@cache
def table() -> _Table:
    """Return what `invented.yaml` says."""
    return _Table.model_validate(yaml.safe_load(table_text()))


def table_text() -> str:
    """Return `invented.yaml` as written, for a fingerprint of what is made from it."""
    return (files(__package__) / "invented.yaml").read_text(encoding="utf-8")
