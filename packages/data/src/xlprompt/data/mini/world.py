"""The closed world of the mini benchmark: its concepts, its rules, and who appears in which split.

Concepts are plain English identifiers. How they are said in a language stands in `languages/<code>.yaml`.
Rules of the world: a city lies in one country, a thing is of one kind, and every event happens once, on one
day, in one place. Entities are divided between the splits here, so that no entity of a test item is ever met
in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal, get_args

Split = Literal["train", "validation", "test", "pretraining"]
SPLITS: tuple[Split, ...] = get_args(Split)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words("anna maria laura sofia elena nina sara clara lina diana emma vera")
MEN = _words("marco hugo leo david omar ivan adam tomas daniel viktor samir paul")
FAMILIES = _words(
    "sato rossi okoro moreno conti duarte kimani ito mori soto romano bello kone ricci navarro suzuki"
)
CITIES: Mapping[str, str] = MappingProxyType(  # city -> country
    {
        "rome": "italy",
        "milan": "italy",
        "paris": "france",
        "lyon": "france",
        "tokyo": "japan",
        "osaka": "japan",
        "nairobi": "kenya",
        "mombasa": "kenya",
        "toronto": "canada",
        "ottawa": "canada",
        "madrid": "spain",
        "seville": "spain",
        "berlin": "germany",
        "hamburg": "germany",
        "cairo": "egypt",
        "giza": "egypt",
        "lima": "peru",
        "cusco": "peru",
        "delhi": "india",
        "mumbai": "india",
    }
)
COUNTRIES = tuple(dict.fromkeys(CITIES.values()))
ORGANIZATION_NAMES = _words("aurora delta orion lotus atlas nova sirius vega omega luna")
ORGANIZATION_TYPES = _words("bank hospital hotel school")
THINGS: Mapping[str, str] = MappingProxyType(  # thing -> kind
    {
        **dict.fromkeys(_words("apple orange lemon pear"), "fruit"),
        **dict.fromkeys(_words("dog cat horse cow"), "animal"),
        **dict.fromkeys(_words("car bicycle boat bus"), "vehicle"),
        **dict.fromkeys(_words("shirt coat hat skirt"), "garment"),
        **dict.fromkeys(_words("guitar piano violin flute"), "instrument"),
    }
)
KINDS = tuple(dict.fromkeys(THINGS.values()))
ACTIONS = _words("buy sell find lose see draw hide clean")
PERSON_ACTIONS = _words("invite help thank visit call greet follow hug")
OPPOSITES: Mapping[str, str] = MappingProxyType(
    {
        "taller": "shorter",
        "shorter": "taller",
        "older": "younger",
        "younger": "older",
        "richer": "poorer",
        "poorer": "richer",
        "faster": "slower",
        "slower": "faster",
    }
)
QUALITIES = tuple(OPPOSITES)
SITES = _words("market park station library restaurant museum airport beach")
DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
DAY_PARTS = ("day", "morning", "evening")  # the whole day, or a part of it
NUMBERS: Mapping[str, int] = MappingProxyType(
    {"five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
)
STATES = _words("tired hungry ill happy sad bored angry thirsty")


@dataclass(frozen=True)
class Person:
    """Somebody, known by a given and a family name."""

    given: str
    family: str

    @property
    def gender(self) -> Literal["f", "m"]:
        """Which words agree with the person."""
        return "f" if self.given in WOMEN else "m"


@dataclass(frozen=True)
class Organization:
    """A named organization such as Aurora Bank; without a name any of its type: a bank."""

    type: str
    name: str | None = None


@dataclass(frozen=True)
class Entities:
    """Who and what a split may speak of.

    Attributes:
        people: Given and family names belong to one split each. People of pretraining have the given name of
            one split and the family name of another: every name is met there, no person of the benchmark is.
        cities: Cities of the countries.
        countries: Each belongs to one split; pretraining knows them all, as it must to know where Lima lies.
        organizations: A name belongs to one split. Of name and type, half of the combinations are
            pretraining's.
    """

    people: tuple[Person, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]
    organizations: tuple[Organization, ...]


def _divide(items: tuple[str, ...], *, train: int, validation: int) -> dict[str, str]:
    """Item -> split: the first `train` items, then `validation`, then the test's."""
    splits = ["train"] * train + ["validation"] * validation
    splits += ["test"] * (len(items) - len(splits))
    return dict(zip(items, splits, strict=True))


_GIVEN_SPLIT = {**_divide(WOMEN, train=7, validation=2), **_divide(MEN, train=7, validation=2)}
_FAMILY_SPLIT = _divide(FAMILIES, train=9, validation=3)
_COUNTRY_SPLIT = _divide(COUNTRIES, train=6, validation=2)
_NAME_SPLIT = _divide(ORGANIZATION_NAMES, train=6, validation=2)


def entities(split: Split) -> Entities:
    """The entities of a split; those of two splits have no person and no organization in common."""
    people = [Person(given, family) for given, family in product(_GIVEN_SPLIT, FAMILIES)]
    organizations = [
        (number, Organization(kind, name))
        for number, (name, kind) in enumerate(product(ORGANIZATION_NAMES, ORGANIZATION_TYPES))
    ]
    even = [one for number, one in organizations if (number + number // len(ORGANIZATION_TYPES)) % 2 == 0]
    if split == "pretraining":
        return Entities(
            people=tuple(one for one in people if _GIVEN_SPLIT[one.given] != _FAMILY_SPLIT[one.family]),
            cities=tuple(CITIES),
            countries=COUNTRIES,
            organizations=tuple(one for _, one in organizations if one not in even),
        )
    countries = tuple(country for country in COUNTRIES if _COUNTRY_SPLIT[country] == split)
    return Entities(
        people=tuple(one for one in people if _GIVEN_SPLIT[one.given] == _FAMILY_SPLIT[one.family] == split),
        cities=tuple(city for city, country in CITIES.items() if country in countries),
        countries=countries,
        organizations=tuple(one for one in even if one.name and _NAME_SPLIT[one.name] == split),
    )


def things_of(action: str, split: Split) -> tuple[str, ...]:
    """What an action may be done to in a split: no two splits combine an action and a thing alike."""
    if split == "pretraining":
        return tuple(THINGS)
    # Of every five things in a row three go to train, one to validation and one to test, shifted by the
    # action.
    share = ("train", "train", "train", "validation", "test")
    shift = ACTIONS.index(action)
    return tuple(thing for place, thing in enumerate(THINGS) if share[(place + shift) % len(share)] == split)
