"""Drawing meanings at random from what a split may speak of.

Everything comes from the generator that is handed in: the same seed draws the same meanings on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from xlprompt.data.mini.meaning import (
    FRAMES_WITH_NEGATION,
    Count,
    CountMode,
    Frame,
    Meaning,
    Thing,
    Time,
)
from xlprompt.data.mini.world import (
    ACTIONS,
    CITIES,
    DAY_PARTS,
    DAYS,
    KINDS,
    NUMBERS,
    PERSON_ACTIONS,
    QUALITIES,
    SITES,
    STATES,
    THINGS,
    Organization,
    Person,
    Split,
    entities,
    things_of,
)

T = TypeVar("T")

FRAME_WEIGHTS: dict[Frame, int] = {
    "event": 35,
    "meet": 15,
    "stay": 12,
    "compare": 9,
    "before": 5,
    "after": 5,
    "give": 7,
    "work": 7,
    "open": 3,
    "state": 2,
}


class Sampler:
    """Draws meanings of one split."""

    def __init__(self, split: Split, rng: random.Random) -> None:
        """Take the split whose entities may appear, and the source of chance."""
        self.split = split
        self.rng = rng
        self._entities = entities(split)

    def meaning(self, frames: Sequence[Frame] | None = None, *, detail: float = 0.45) -> Meaning:
        """Draw a meaning.

        Args:
            frames: Frames to choose from; all by default.
            detail: Probability that an optional role is filled.
        """
        choices = list(frames or FRAME_WEIGHTS)
        frame = self.rng.choices(choices, [FRAME_WEIGHTS[one] for one in choices])[0]
        agent, patient = self.people(2)
        match frame:
            case "event":
                meaning = self._event(agent)
            case "meet":
                action = self.rng.choice(PERSON_ACTIONS)
                meaning = Meaning("meet", agent, patient, action=action)
            case "compare":
                return Meaning("compare", agent, patient, quality=self.rng.choice(QUALITIES))
            case "give":
                thing = Thing(self.rng.choice(tuple(THINGS)), self.count() if self.chance(0.3) else None)
                meaning = Meaning("give", agent, patient, thing=thing)
            case "work":
                meaning = Meaning("work", agent, organization=self.organization())
            case "open":
                meaning = Meaning("open", organization=self.organization())
            case "state":
                return Meaning("state", agent, state=self.rng.choice(STATES))
            case _:
                meaning = Meaning(frame, agent, None if frame == "stay" else patient)
        return self._detailed(meaning, detail)

    def _event(self, agent: Person) -> Meaning:
        action = self.rng.choice(ACTIONS)
        thing = self.thing(action)
        return Meaning("event", agent, action=action, thing=thing)

    def _detailed(self, meaning: Meaning, detail: float) -> Meaning:
        if meaning.frame in FRAMES_WITH_NEGATION and self.chance(0.2):
            meaning = replace(meaning, negated=True)
            if meaning.thing:
                meaning = replace(meaning, thing=replace(meaning.thing, count=None))
        for role in roles(meaning):
            if self.chance(detail):
                meaning = self.filled(meaning, role)
        if meaning.frame == "stay" and not (meaning.site or meaning.place):
            meaning = self.filled(meaning, self.rng.choice(("site", "place")))
        if meaning.frame == "open" and not (meaning.place or meaning.time):
            meaning = self.filled(meaning, "place")
        return meaning

    def filled(self, meaning: Meaning, role: str) -> Meaning:
        """The meaning with another value in an optional role."""
        match role:
            case "site":
                return replace(meaning, site=self.other(SITES, meaning.site))
            case "place":
                return replace(meaning, place=self.other(self.places(), meaning.place))
            case "time":
                return replace(meaning, time=self.time(meaning.time))
            case "state":
                return replace(meaning, state=self.other(STATES, meaning.state))
        raise ValueError(role)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.rng.random() < probability

    def other(self, values: Sequence[T], value: object) -> T:
        """One of the values, not the given one."""
        return self.rng.choice([one for one in values if one != value])

    def people(self, number: int) -> list[Person]:
        """Different people, no two with a name in common."""
        while True:
            chosen = self.rng.sample(self._entities.people, number)
            names = {name for one in chosen for name in (one.given, one.family)}
            if len(names) == 2 * number:
                return chosen

    def places(self) -> tuple[str, ...]:
        """Cities and countries; a country as often as one of its cities."""
        return self._entities.cities + self._entities.countries

    def cities(self, country: str) -> list[str]:
        """The cities of a country."""
        return [city for city in self._entities.cities if CITIES[city] == country]

    def organization(self) -> Organization:
        """A named organization."""
        return self.rng.choice(self._entities.organizations)

    def thing(self, action: str) -> Thing:
        """What an action is done to: a thing or a kind, one or counted."""
        concept = self.rng.choice(things_of(action, self.split) if self.chance(0.75) else KINDS)
        return Thing(concept, self.count() if self.chance(0.35) else None)

    def count(self) -> Count:
        """A number of things, exact as often as more and fewer together."""
        modes: tuple[CountMode, ...] = ("exact", "exact", "more", "fewer")
        mode = self.rng.choice(modes)
        return Count(mode, self.rng.choice(tuple(NUMBERS)))

    def time(self, current: Time | None = None) -> Time:
        """A day, or a part of one; not the given day."""
        day = self.other(DAYS, current.day if current else None)
        return Time(day, self.rng.choices(DAY_PARTS, (2, 1, 1))[0])  # type: ignore[arg-type]


def roles(meaning: Meaning) -> tuple[str, ...]:
    """The optional roles of a meaning's frame."""
    match meaning.frame:
        case "event":
            return ("site", "place", "time") if meaning.negated else ("site", "place", "time", "state")
        case "work":
            return ("place",)
        case "open":
            return ("place", "time")
        case "compare" | "state":
            return ()
        case _:
            return ("site", "place", "time")
