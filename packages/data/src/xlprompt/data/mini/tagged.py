"""The sentences of the two tagging tasks, version 2: longer, and partly of words that nobody has met.

Half of the names and most things and actions are invented words, and things have up to two colors that are.
One such word is a person here and a bank there, a thing here and a color or an action elsewhere; most of the
test's are in no training sentence. So their tags follow from where they stand and how they end. Version 1,
which has the world's own words alone, is `items.sentence_items`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from xlprompt.data.mini.invented import invented
from xlprompt.data.mini.items import SIZES, SentenceItem
from xlprompt.data.mini.meaning import Frame, Meaning, Thing
from xlprompt.data.mini.realize import STYLES, Clause
from xlprompt.data.mini.sample import FRAME_WEIGHTS, Sampler
from xlprompt.data.mini.world import KINDS, WOMEN, Organization, Person, Split

VERSION = 2
"""Moves when the same split would hold other sentences."""

NAMES, WORDS = 0.5, 0.7
"""Probability that a name is an invented word, and that a thing or an action is one."""

COMMON = 0.4
"""Probability that an invented word is one of those that all splits have."""

CLAUSES = (0.3, 0.4, 0.3)
"""Probability of one, two and three clauses in a sentence."""

COLORS = (0.2, 0.4, 0.4)
"""Probability of no, one and two colors of a thing that can have them."""

COLOR_ENDING = 0.4
"""Probability that a color ends in i, as no other word does."""


@dataclass(frozen=True)
class Register:
    """How sentences of a task are.

    Attributes:
        frames: What they tell of. One that stands twice comes twice as often.
        detail: Probability that an optional role is filled.
        small: Probability that a sentence is written without capitals.
    """

    frames: tuple[Frame, ...] = tuple(FRAME_WEIGHTS)
    detail: float = 0.5
    small: float = 0.0


REGISTERS: Mapping[str, Register] = MappingProxyType(
    {
        "ner": Register(),
        # Capitals would tell proper nouns from all else; times and places are said in words that all know.
        "pos": Register((*FRAME_WEIGHTS, "event", "event"), detail=0.3, small=0.5),
    }
)
"""Task -> its register: entities as in an encyclopedia, parts of speech as in messages too."""


def tagged_items(task: str, split: Split) -> tuple[SentenceItem, ...]:
    """The sentences of entity (`ner`) or part-of-speech (`pos`) tagging, the same at every call."""
    return _tagged_items(task, split, SIZES[split])


@cache
def _tagged_items(task: str, split: Split, number: int) -> tuple[SentenceItem, ...]:
    # Seeding with a string hashes it with SHA-512: the same on every machine and in every process.
    writer = _Writer(REGISTERS[task], split, random.Random(f"xlprompt mini {VERSION} {task} {split}"))
    items: dict[SentenceItem, None] = {}
    while len(items) < number:
        items[writer.item()] = None
    return tuple(items)


class _Writer:
    """Draws sentences of one task and split."""

    def __init__(self, register: Register, split: Split, rng: random.Random) -> None:
        self.register, self.rng = register, rng
        self.sampler = Sampler(split, rng)
        self._common, self._own = invented("common"), invented(split)
        self._used: set[str] = set()

    def item(self) -> SentenceItem:
        """A sentence of one to three clauses; no invented word is in it twice."""
        self._used.clear()
        number = self.rng.choices((1, 2, 3), CLAUSES)[0]
        meanings = [self._meaning() for _ in range(number)]
        clauses: tuple[Clause, ...] = ((meanings[0], self.rng.choice(STYLES)),)
        if number > 1:
            # A cause would be read as that of the clauses after it, too.
            causeless = [replace(one, state=None) if one.frame == "event" else one for one in meanings]
            clauses = tuple((one, "plain") for one in causeless)
        return SentenceItem(clauses, small=self.sampler.chance(self.register.small))

    def _meaning(self) -> Meaning:
        drawn = self.sampler.meaning(self.register.frames, detail=self.register.detail)
        return self._with_invented(drawn)

    def _with_invented(self, meaning: Meaning) -> Meaning:
        if meaning.agent:
            meaning = replace(meaning, agent=self._person(meaning.agent))
        if meaning.patient:
            meaning = replace(meaning, patient=self._person(meaning.patient))
        if meaning.place and self.sampler.chance(NAMES):
            meaning = replace(meaning, place=self._word())
        if meaning.organization and self.sampler.chance(NAMES):
            meaning = replace(meaning, organization=Organization(meaning.organization.type, self._word()))
        if meaning.frame == "event" and self.sampler.chance(WORDS):
            meaning = replace(meaning, action=self._word())
        return replace(meaning, thing=self._thing(meaning.thing, meaning)) if meaning.thing else meaning

    def _person(self, person: Person) -> Person:
        # Women keep their given names: what agrees with a woman's name differs, and invented ones end in o.
        given = self._word() if person.given not in WOMEN and self.sampler.chance(NAMES) else person.given
        return Person(given, self._word() if self.sampler.chance(NAMES) else person.family)

    def _thing(self, thing: Thing, meaning: Meaning) -> Thing:
        if self.sampler.chance(WORDS):
            thing = replace(thing, concept=self._word())
        # No colors under negation, for which some languages inflect the noun, nor of kinds.
        if meaning.negated or thing.concept in KINDS:
            return thing
        number = self.rng.choices((0, 1, 2), COLORS)[0]
        return replace(thing, colors=tuple(self._color() for _ in range(number)))

    def _color(self) -> str:
        word = self._word()
        ends_in_i = self.sampler.chance(COLOR_ENDING)
        # Of i alone Finnish would make a word of front vowels, with other endings.
        return word[:-1] + "i" if ends_in_i and not set("ao").isdisjoint(word[:-1]) else word

    def _word(self) -> str:
        while True:
            word = self.rng.choice(self._common if self.sampler.chance(COMMON) else self._own)
            if word not in self._used:
                self._used.add(word)
                return word
