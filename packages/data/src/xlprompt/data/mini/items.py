"""The items of the four tasks: which meanings they are made of, in which order, with which labels.

An item is language-free: clauses to be said and a label. So an item says the same in every language, and its
id is the same everywhere. How many there are and what chance decides is fixed here; the words come from
`realize`.

Inference is built from the hypothesis: each hypothesis stands under three premises, one for each label, so
that nothing can be learned from hypotheses alone. Paraphrases come in twins: two pairs with the same words,
one a rewording, one with two roles exchanged, as in PAWS (Zhang, Baldridge and He 2019).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from xlprompt.data.mini.meaning import (
    FRAMES_WITH_NEGATION,
    Frame,
    Meaning,
    Relation,
    Thing,
    Time,
    relation,
)
from xlprompt.data.mini.realize import STYLES, Clause
from xlprompt.data.mini.sample import Sampler, roles
from xlprompt.data.mini.world import ACTIONS, CITIES, KINDS, THINGS, Split, things_of

SIZES: Mapping[str, int] = MappingProxyType({"train": 4000, "validation": 500, "test": 500})
"""Items of each split; the same for every task and language."""

VERSION = 1
"""Moves when the same split would hold other items."""

CHECKED: tuple[Frame, ...] = ("event", "meet", "stay", "compare", "before", "after", "give", "work")
"""The frames that inference is about."""


_REWORDED: tuple[Frame, ...] = ("meet", "compare", "before", "after", "give", "event", "event")


@dataclass(frozen=True)
class PairItem:
    """Two sentences and a label.

    Attributes:
        first: The clauses of the first sentence, one or two.
        second: Those of the second.
        label: Number of the label in the task's table.
    """

    first: tuple[Clause, ...]
    second: tuple[Clause, ...]
    label: int


@dataclass(frozen=True)
class SentenceItem:
    """A sentence to tag; its tags come with its words.

    Attributes:
        clauses: What it says.
        small: It is written without capitals, as messages often are.
    """

    clauses: tuple[Clause, ...]
    small: bool = False


def pair_items(task: str, split: Split) -> tuple[PairItem, ...]:
    """The items of inference (`xnli`) or paraphrase (`pawsx`), the same at every call."""
    return _pair_items(task, split, SIZES[split])


def sentence_items(task: str, split: Split) -> tuple[SentenceItem, ...]:
    """The sentences of entity (`ner`) or part-of-speech (`pos`) tagging, the same at every call."""
    return _sentence_items(task, split, SIZES[split])


@cache
def _pair_items(task: str, split: Split, number: int) -> tuple[PairItem, ...]:
    sampler = Sampler(split, _generator(task, split))
    groups = inference_triples(sampler) if task == "xnli" else paraphrase_twins(sampler)
    items: list[PairItem] = []
    while len(items) < number:
        items += next(groups)
    # The last group may be cut; all others keep their balance. Neighbours should not tell each other's label.
    items = items[:number]
    sampler.rng.shuffle(items)
    return tuple(items)


@cache
def _sentence_items(task: str, split: Split, number: int) -> tuple[SentenceItem, ...]:
    sampler = Sampler(split, _generator(task, split))
    items: dict[SentenceItem, None] = {}
    while len(items) < number:
        items[SentenceItem(random_clauses(sampler))] = None
    return tuple(items)


def _generator(task: str, split: str) -> random.Random:
    # Seeding with a string hashes it with SHA-512: the same on every machine and in every process.
    return random.Random(f"xlprompt mini {VERSION} {task} {split}")


def random_clauses(sampler: Sampler) -> tuple[Clause, ...]:
    """A sentence about anything: one meaning, or two events joined."""
    if sampler.chance(0.15):
        return tuple((one, "plain") for one in _two_events(sampler))
    return ((sampler.meaning(), sampler.rng.choice(STYLES)),)


def inference_triples(sampler: Sampler) -> Iterator[list[PairItem]]:
    """Endlessly: one hypothesis under premises that entail it, leave it open and contradict it."""
    seen: set[Meaning] = set()
    while True:
        hypothesis = sampler.meaning(CHECKED, detail=0.35)
        if hypothesis in seen:
            continue
        premises = {one: premise_of(sampler, hypothesis, one) for one in Relation}
        style = sampler.rng.choice(STYLES)
        triple = [
            PairItem(
                first=((premise, sampler.rng.choice(STYLES)),),
                second=((hypothesis, style),),
                label=int(one),
            )
            for one, premise in premises.items()
            if premise
        ]
        if len(triple) == len(Relation):
            seen.add(hypothesis)
            yield triple


def premise_of(sampler: Sampler, hypothesis: Meaning, wanted: Relation) -> Meaning | None:
    """A premise that stands in the wanted relation to a hypothesis, but does not just repeat it.

    Returns:
        The premise, or None where some hundred changes of the hypothesis led to none.
    """
    return _varied(sampler, hypothesis, lambda premise: relation(premise, hypothesis) is wanted)


def hypothesis_of(sampler: Sampler, premise: Meaning, wanted: Relation) -> Meaning | None:
    """The reverse of `premise_of`: what a premise entails, leaves open or contradicts."""
    return _varied(sampler, premise, lambda hypothesis: relation(premise, hypothesis) is wanted)


def _varied(sampler: Sampler, meaning: Meaning, accept: Callable[[Meaning], bool]) -> Meaning | None:
    for _ in range(200):
        varied = _changed(sampler, meaning, sampler.rng.choice((1, 2, 2, 3)))
        if varied and varied != meaning and accept(varied):
            return varied
    return None


def _changed(sampler: Sampler, meaning: Meaning, times: int) -> Meaning | None:
    for _ in range(times):
        changed = sampler.rng.choice(_CHANGES)(sampler, meaning)
        if changed is None:
            return None
        meaning = changed
    return meaning


def paraphrase_twins(sampler: Sampler) -> Iterator[list[PairItem]]:
    """Endlessly: a pair that means the same, and one of the same words that does not."""
    seen: set[Meaning | None] = set()
    while True:
        frame = sampler.rng.choice(_REWORDED)
        first: tuple[Clause, ...]
        same: tuple[Clause, ...]
        other: tuple[Clause, ...]
        if frame == "event":
            one, two = _two_events(sampler)
            meaning = one
            crossed = _crossed(sampler, one, two)
            if crossed is None:
                continue
            first = ((one, "plain"), (two, "plain"))
            same = ((two, "plain"), (one, "plain"))
            other = ((crossed[1], "plain"), (crossed[0], "plain"))
        else:
            meaning = sampler.meaning((frame,))
            if meaning.negated:
                continue
            first = ((meaning, "plain"),)
            same, other = _rewordings(sampler, meaning)
        if seen & {meaning, meaning.converse(), meaning.swapped(), meaning.swapped().converse()}:
            continue
        seen.add(meaning)
        if sampler.chance(0.5):
            yield [PairItem(first, other, 0), PairItem(first, same, 1)]
        else:
            yield [PairItem(other, first, 0), PairItem(same, first, 1)]


def _rewordings(sampler: Sampler, meaning: Meaning) -> tuple[tuple[Clause, ...], tuple[Clause, ...]]:
    """The meaning in other words, and in the same other words with the two people exchanged."""
    converse, converse_of_swapped = meaning.converse(), meaning.swapped().converse()
    if converse and converse_of_swapped and (meaning.frame != "compare" or sampler.chance(0.5)):
        return ((converse, "plain"),), ((converse_of_swapped, "plain"),)
    return ((meaning, "reworded"),), ((meaning.swapped(), "reworded"),)


def _two_events(sampler: Sampler) -> tuple[Meaning, Meaning]:
    """Two events of different people."""
    agents = sampler.people(2)
    events = []
    for agent in agents:
        event = sampler.meaning(("event",), detail=0.3)
        # Each has a place or a time of its own only where both fit into a readable sentence.
        events.append(replace(event, agent=agent, negated=False, state=None, site=None))
    return events[0], events[1]


def _crossed(sampler: Sampler, one: Meaning, two: Meaning) -> tuple[Meaning, Meaning] | None:
    """Two events with one role exchanged between them; None where that is nothing new or not allowed."""
    candidates = ["agent"]
    if one.thing != two.thing and _may(sampler.split, one, two) and _may(sampler.split, two, one):
        candidates.append("thing")
    candidates += [role for role in ("place", "time") if getattr(one, role) and getattr(two, role)]
    role = sampler.rng.choice(candidates)
    mine, yours = getattr(one, role), getattr(two, role)
    crossed = replace(one, **{role: yours}), replace(two, **{role: mine})
    return None if set(crossed) == {one, two} else crossed


def _may(split: Split, doer: Meaning, owner: Meaning) -> bool:
    """Whether the split lets one event's action be done to the other's thing."""
    assert doer.action is not None  # both are events
    assert owner.thing is not None
    return owner.thing.concept in KINDS or owner.thing.concept in things_of(doer.action, split)


# Changes of a hypothesis on the way to a premise. Each returns None where it does not apply.


def _fill(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    empty = [role for role in roles(meaning) if getattr(meaning, role) is None]
    return sampler.filled(meaning, sampler.rng.choice(empty)) if empty else None


def _drop(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    full = [role for role in roles(meaning) if getattr(meaning, role) is not None]
    if not full:
        return None
    changed = replace(meaning, **{sampler.rng.choice(full): None})  # type: ignore[arg-type]
    return None if changed.frame == "stay" and not (changed.site or changed.place) else changed


def _change(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    full = [role for role in roles(meaning) if getattr(meaning, role) is not None]
    return sampler.filled(meaning, sampler.rng.choice(full)) if full else None


def _narrow(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    options: list[Meaning] = []
    if meaning.place and meaning.place not in CITIES:
        options.append(replace(meaning, place=sampler.rng.choice(sampler.cities(meaning.place))))
    if meaning.time and meaning.time.part == "day":
        part = sampler.rng.choice(("morning", "evening"))
        options.append(replace(meaning, time=Time(meaning.time.day, part)))  # type: ignore[arg-type]
    if meaning.thing and meaning.action and meaning.thing.concept in KINDS:
        narrower = [
            thing
            for thing in things_of(meaning.action, sampler.split)
            if THINGS[thing] == meaning.thing.concept
        ]
        if narrower:
            thing = Thing(sampler.rng.choice(narrower), meaning.thing.count)
            options.append(replace(meaning, thing=thing))
    if meaning.organization and meaning.organization.name is None:
        named = [sampler.organization() for _ in range(20)]
        named = [one for one in named if one.type == meaning.organization.type]
        options += [replace(meaning, organization=one) for one in named[:1]]
    return sampler.rng.choice(options) if options else None


def _widen(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    options: list[Meaning] = []
    if meaning.place and meaning.place in CITIES:
        options.append(replace(meaning, place=CITIES[meaning.place]))
    if meaning.time and meaning.time.part != "day":
        options.append(replace(meaning, time=Time(meaning.time.day)))
    if meaning.thing and meaning.thing.concept in THINGS:
        options.append(replace(meaning, thing=replace(meaning.thing, concept=THINGS[meaning.thing.concept])))
    return sampler.rng.choice(options) if options else None


def _recount(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    if not (meaning.thing and meaning.thing.count):
        return None
    return replace(meaning, thing=replace(meaning.thing, count=sampler.count()))


def _other_person(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    present = [one for one in (meaning.agent, meaning.patient) if one]
    for _ in range(20):
        (person,) = sampler.people(1)
        if all(person.given != one.given and person.family != one.family for one in present):
            role = sampler.rng.choice(("agent", "patient")) if meaning.patient else "agent"
            return replace(meaning, **{role: person})  # type: ignore[arg-type]
    return None


def _other_action(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    if meaning.frame != "event" or meaning.thing is None:
        return None
    action = sampler.other(ACTIONS, meaning.action)
    concept = meaning.thing.concept
    return (
        replace(meaning, action=action)
        if concept in KINDS or concept in things_of(action, sampler.split)
        else None
    )


def _swap(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    return meaning.swapped() if meaning.patient else None


def _turn(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    return meaning.converse()


def _negate(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    counted = meaning.thing and meaning.thing.count
    if meaning.frame not in FRAMES_WITH_NEGATION or counted or meaning.state:
        return None
    return replace(meaning, negated=not meaning.negated)


def _happening(sampler: Sampler, meaning: Meaning) -> Meaning | None:
    """Something that happened where the hypothesis says somebody was."""
    if meaning.frame != "stay":
        return None
    event = sampler.meaning(("event", "meet", "before", "after", "give"), detail=0.0)
    return replace(
        event, agent=meaning.agent, site=meaning.site, place=meaning.place, time=meaning.time, negated=False
    )


_CHANGES: tuple[Callable[[Sampler, Meaning], Meaning | None], ...] = (
    _fill,
    _fill,
    _drop,
    _change,
    _narrow,
    _narrow,
    _widen,
    _recount,
    _other_person,
    _other_action,
    _swap,
    _turn,
    _negate,
    _happening,
)
