"""What is said: meanings without words, and what follows from what.

A meaning is a frame (who did what) with its roles filled by concepts of `world`. `relation` tells whether one
meaning entails, contradicts or leaves open another, by the rules of the world. Words are the business of
`realize`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Literal

from xlprompt.data.mini.world import CITIES, NUMBERS, OPPOSITES, THINGS, Organization, Person

Frame = Literal["event", "meet", "stay", "compare", "before", "after", "give", "work", "open", "state"]
CountMode = Literal["exact", "more", "fewer"]
FRAMES_WITH_NEGATION = ("event", "meet", "stay", "work")


@dataclass(frozen=True)
class Time:
    """A day of the week, or its morning or evening."""

    day: str
    part: Literal["day", "morning", "evening"] = "day"


@dataclass(frozen=True)
class Count:
    """A number of things: exactly so many, more than so many, or fewer."""

    mode: CountMode
    number: str

    def values(self) -> frozenset[int]:
        """The numbers of things it allows, up to 20."""
        number = NUMBERS[self.number]
        if self.mode == "exact":
            return frozenset({number})
        return frozenset(range(number + 1, 21) if self.mode == "more" else range(number))


@dataclass(frozen=True)
class Thing:
    """A thing or a kind of things, one or counted.

    Attributes:
        concept: A thing, a kind, or an invented one.
        count: How many; None for one.
        colors: Invented words for how it looks, in the order in which they are said.
    """

    concept: str
    count: Count | None = None
    colors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Meaning:
    """One statement about the world; roles that a frame does not use are None.

    Attributes:
        frame: What is stated.
        agent: Who acts, is somewhere, is compared; who gives.
        patient: The other person; who gets.
        action: A row of `actions` (event) or `person_actions` (meet).
        thing: What is bought, given, ...
        organization: Where somebody works; what opened.
        quality: In what the agent exceeds the patient.
        state: How the agent was; in an event, why it happened.
        site: A kind of place, such as the market.
        place: A city or a country.
        time: When.
        negated: It is denied.
    """

    frame: Frame
    agent: Person | None = None
    patient: Person | None = None
    action: str | None = None
    thing: Thing | None = None
    organization: Organization | None = None
    quality: str | None = None
    state: str | None = None
    site: str | None = None
    place: str | None = None
    time: Time | None = None
    negated: bool = field(default=False, kw_only=True)

    def swapped(self) -> Meaning:
        """The same with agent and patient exchanged."""
        return replace(self, agent=self.patient, patient=self.agent)

    def converse(self) -> Meaning | None:
        """The same state of affairs seen from the other person, where the language has words for it."""
        if self.frame == "compare" and self.quality:
            return replace(self.swapped(), quality=OPPOSITES[self.quality])
        if self.frame in ("before", "after"):
            return replace(self.swapped(), frame="after" if self.frame == "before" else "before")
        return None


class Relation(IntEnum):
    """What a premise says of a hypothesis, in the label order of XNLI."""

    ENTAILMENT = 0
    NEUTRAL = 1
    CONTRADICTION = 2


_YES, _OPEN, _NO = Relation.ENTAILMENT, Relation.NEUTRAL, Relation.CONTRADICTION
_REVERSED = {_YES: _NO, _OPEN: _OPEN, _NO: _YES}


def relation(premise: Meaning, hypothesis: Meaning) -> Relation:
    """Tell what follows.

    Rules: a role that both name must agree, the premise's at least as specific (Rome is in Italy, an apple is
    a fruit, Monday morning is on Monday, seven are more than five); a role that only the hypothesis names is
    left open. The same people doing the same to the same thing (or to one of its kind) is the same event, and
    an event happens once: another day, place or number contradicts. So does the exchange of two people. Where
    somebody was is told of the premise's time where the hypothesis names none. Whoever did something
    somewhere was there; whoever did it because they were tired was tired. What is denied with all its details
    denies nothing less specific.
    """
    if premise.negated:
        if _affirmed(hypothesis, replace(premise, negated=False)) is not _YES:
            return _OPEN
        return _YES if hypothesis.negated else _NO
    affirmed = _affirmed(premise, hypothesis)
    return _REVERSED[affirmed] if hypothesis.negated else affirmed


def _affirmed(premise: Meaning, hypothesis: Meaning) -> Relation:
    """The relation when neither is negated."""
    if _canonical(premise).frame != _canonical(hypothesis).frame:
        return _implied(premise, hypothesis)
    premise, hypothesis = _canonical(premise), _canonical(hypothesis)
    # What happened: another action or other people is another event, of which nothing is known.
    same_event = (premise.action, premise.quality) == (hypothesis.action, hypothesis.quality)
    if not same_event:
        return _OPEN
    people = (hypothesis.agent, hypothesis.patient)
    if (premise.agent, premise.patient) != people:
        exchanged = premise.patient is not None and (premise.patient, premise.agent) == people
        return _NO if exchanged and _is_same_thing(premise.thing, hypothesis.thing) else _OPEN
    kept = _things(premise.thing, hypothesis.thing)
    if kept is None or not _is_same_employer(premise.organization, hypothesis.organization):
        return _OPEN
    parts = [
        kept,
        _states(premise, hypothesis),
        *_circumstances(premise, hypothesis),
    ]
    if _is_standing(premise):
        # Where somebody was is another statement on another day; on the same day it can't be elsewhere.
        if parts[-1] is _NO:
            return _OPEN
        if premise.frame == "stay" and _NO in parts and parts[-1] is not _YES:
            return _OPEN
    return max(parts)


def _canonical(meaning: Meaning) -> Meaning:
    """One of the two ways to say a comparison or an order."""
    other = meaning.converse()
    if other is None:
        return meaning
    return min(meaning, other, key=lambda one: (one.quality or "", one.frame))


def _is_standing(meaning: Meaning) -> bool:
    return meaning.frame in ("stay", "state")


def _implied(premise: Meaning, hypothesis: Meaning) -> Relation:
    """What an event says of where its agent was, and of how the agent was."""
    if hypothesis.agent != premise.agent:
        return _OPEN
    if hypothesis.frame == "stay" and premise.frame in ("event", "meet", "before", "after", "give"):
        parts = _circumstances(premise, hypothesis)
        # Being elsewhere contradicts only at the same time.
        return _OPEN if parts[-1] is not _YES else max(parts)
    if hypothesis.frame == "state" and premise.frame == "event" and premise.state == hypothesis.state:
        return _YES
    return _OPEN


def _is_same_thing(one: Thing | None, other: Thing | None) -> bool:
    return (one and one.concept) == (other and other.concept)


def _things(premise: Thing | None, hypothesis: Thing | None) -> Relation | None:
    """None where the two speak of different things, so of different events."""
    if premise is None or hypothesis is None:
        return _YES
    if premise.concept != hypothesis.concept and THINGS.get(premise.concept) != hypothesis.concept:
        return None
    if premise.count is None or hypothesis.count is None:
        # "An apple" and "five apples" may be told of the same event only with the same word for it.
        return _YES if premise.count == hypothesis.count else None
    possible, wanted = premise.count.values(), hypothesis.count.values()
    if possible <= wanted:
        return _YES
    return _OPEN if possible & wanted else _NO


def _is_same_employer(premise: Organization | None, hypothesis: Organization | None) -> bool:
    """Whether the hypothesis names the same organization, or any of its type."""
    if premise is None or hypothesis is None or premise == hypothesis:
        return True
    return premise.type == hypothesis.type and hypothesis.name is None


def _states(premise: Meaning, hypothesis: Meaning) -> Relation:
    return _YES if hypothesis.state in (None, premise.state) else _OPEN


def _circumstances(premise: Meaning, hypothesis: Meaning) -> tuple[Relation, Relation, Relation]:
    """Of site, place and time."""
    return (
        _sites(premise.site, hypothesis.site),
        _places(premise.place, hypothesis.place),
        _times(premise.time, hypothesis.time),
    )


def _sites(premise: str | None, hypothesis: str | None) -> Relation:
    if hypothesis in (None, premise):
        return _YES
    return _OPEN if premise is None else _NO


def _places(premise: str | None, hypothesis: str | None) -> Relation:
    if hypothesis is None or hypothesis in (premise, CITIES.get(premise or "")):
        return _YES
    return _OPEN if premise in (None, CITIES.get(hypothesis)) else _NO


def _times(premise: Time | None, hypothesis: Time | None) -> Relation:
    if hypothesis is None or premise == hypothesis:
        return _YES
    if premise is None:
        return _OPEN
    if premise.day != hypothesis.day:
        return _NO
    if hypothesis.part == "day":
        return _YES
    return _OPEN if premise.part == "day" else _NO
