"""The items of topic classification: which statements count for which topic, and texts made of them.

The topics are SIB-200's seven (Adelani et al. 2024). The world is small, so each is what of it a reader would
file there; the nearest it comes to politics are money and banks:

- science/technology: animals, as in zoology; who works at a school, or that one opened;
- travel: vehicles; who was at the airport or the station; hotels;
- politics: who is richer or poorer; banks;
- sports: who is faster or slower, taller or shorter;
- health: who was tired, ill, hungry or thirsty; fruit, as food; hospitals;
- entertainment: musical instruments; who was in the museum or the restaurant;
- geography: in which city or country somebody was.

Meetings, lunches, garments, ages, the other sites and the other states have no topic. A statement has the
topic of what it is about, not of its circumstances: a horse that was seen at the airport in Rome is an
animal. So people, sites, places, days and causes stand in the texts of all topics. A text has the topic that
most of its statements with a topic have.

Things and qualities are divided between the splits, and only training has the kinds' own words: to know that
a boat is a vehicle is left to what pretraining told. Sites, states and types of organizations can't be
divided, as nothing in the world makes a station more like an airport than like a beach; half as many
statements are about each of them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Literal

from xlprompt.data.mini.items import SIZES
from xlprompt.data.mini.meaning import Meaning
from xlprompt.data.mini.realize import STYLES, Clause
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import THINGS, Split

VERSION = 1
"""Moves when the same split would hold other items."""


@dataclass(frozen=True)
class Subject:
    """What a statement may be about.

    Attributes:
        role: The role of a meaning that it is in; "people" for statements about what people did together.
        concepts: What may fill the role; of things, their kind. Empty for all.
    """

    role: Literal["thing", "quality", "place", "site", "state", "organization", "people"]
    concepts: tuple[str, ...] = ()

    @property
    def weight(self) -> int:
        """How often it is chosen: twice as often where the words are divided between the splits."""
        return 2 if self.role in ("thing", "quality", "place") else 1


SUBJECTS: Mapping[str, tuple[Subject, ...]] = MappingProxyType(
    {
        "science/technology": (Subject("thing", ("animal",)), Subject("organization", ("school",))),
        "travel": (
            Subject("thing", ("vehicle",)),
            Subject("site", ("airport", "station")),
            Subject("organization", ("hotel",)),
        ),
        "politics": (Subject("quality", ("richer", "poorer")), Subject("organization", ("bank",))),
        "sports": (Subject("quality", ("faster", "taller", "slower", "shorter")),),
        "health": (
            Subject("thing", ("fruit",)),
            Subject("state", ("tired", "ill", "hungry", "thirsty")),
            Subject("organization", ("hospital",)),
        ),
        "entertainment": (Subject("thing", ("instrument",)), Subject("site", ("museum", "restaurant"))),
        "geography": (Subject("place"),),
    }
)
"""Topic -> what it is about, in the order of SIB-200's labels."""

TOPICS = tuple(SUBJECTS)

_NO_TOPIC = (
    Subject("people"),
    Subject("thing", ("garment",)),
    Subject("quality", ("older", "younger")),
    Subject("site", ("market", "park", "beach", "library")),
    Subject("state", ("happy", "sad", "bored", "angry")),
)


@dataclass(frozen=True)
class _Shape:
    """How many statements a text has: on its topic, on another, on none."""

    topic: int
    other: int
    none: int


_SHAPES = (_Shape(1, 0, 0), _Shape(1, 0, 1), _Shape(2, 0, 1), _Shape(2, 0, 1), _Shape(2, 1, 0))


@dataclass(frozen=True)
class TextItem:
    """A text and its topic.

    Attributes:
        sentences: What it says, one to three sentences.
        label: Number of the topic in `TOPICS`.
    """

    sentences: tuple[Clause, ...]
    label: int


def text_items(split: Split) -> tuple[TextItem, ...]:
    """The texts of a split, the same at every call; no item twice, every topic equally often."""
    return _text_items(split, SIZES[split])


@cache
def _text_items(split: Split, number: int) -> tuple[TextItem, ...]:
    sampler = Sampler(split, random.Random(f"xlprompt mini sib200 {VERSION} {split}"))
    items: dict[TextItem, None] = {}
    while len(items) < number:
        label = len(items) % len(TOPICS)
        items[TextItem(_text(sampler, TOPICS[label]), label)] = None
    shuffled = list(items)
    sampler.rng.shuffle(shuffled)
    return tuple(shuffled)


def _text(sampler: Sampler, topic: str) -> tuple[Clause, ...]:
    shape = sampler.rng.choice(_SHAPES)
    subjects = [_drawn(sampler, SUBJECTS[topic]) for _ in range(shape.topic)]
    subjects += [_drawn(sampler, SUBJECTS[sampler.other(TOPICS, topic)]) for _ in range(shape.other)]
    subjects += [_drawn(sampler, _NO_TOPIC) for _ in range(shape.none)]
    sampler.rng.shuffle(subjects)
    return tuple((statement(sampler, one), sampler.rng.choice(STYLES)) for one in subjects)


def _drawn(sampler: Sampler, subjects: tuple[Subject, ...]) -> Subject:
    return sampler.rng.choices(subjects, [one.weight for one in subjects])[0]


def statement(sampler: Sampler, subject: Subject) -> Meaning:
    """Draw a statement about a subject, with any circumstances."""
    match subject.role:
        case "people":
            return sampler.meaning(("meet", "before", "after"))
        case "thing":
            meaning = sampler.meaning(("event", "give"))
            assert meaning.thing is not None
            concept = sampler.rng.choice(words_of(subject, sampler.split))
            return replace(meaning, thing=replace(meaning.thing, concept=concept))
        case "quality":
            meaning = sampler.meaning(("compare",))
            return replace(meaning, quality=sampler.rng.choice(words_of(subject, sampler.split)))
        case "place":
            stay = replace(sampler.meaning(("stay",)), site=None)
            return stay if stay.place else sampler.filled(stay, "place")
        case "site":
            return replace(sampler.meaning(("stay",)), site=sampler.rng.choice(subject.concepts))
        case "state":
            return replace(sampler.meaning(("state",)), state=sampler.rng.choice(subject.concepts))
        case "organization":
            while True:
                meaning = sampler.meaning(("work", "open"))
                if meaning.organization and meaning.organization.type in subject.concepts:
                    return meaning


def words_of(subject: Subject, split: Split) -> tuple[str, ...]:
    """The concepts of a subject of things or qualities that belong to a split.

    Training has half of them, and the kind itself. Of the other half the first is validation's and the last
    is the test's; of two concepts that is the same one.
    """
    concepts = subject.concepts
    if subject.role == "thing":
        concepts = tuple(thing for thing, kind in THINGS.items() if kind in subject.concepts)
    half = len(concepts) // 2
    if split == "train":
        return concepts[:half] + (subject.concepts if subject.role == "thing" else ())
    return concepts[half : half + 1] if split == "validation" else concepts[-1:]
