"""The items of cause and effect: a premise, what is asked for, and two choices of which one is right.

COPA (Roemmele et al. 2011) asks for what is plausible. This world has no plausibility but rules, and these
stand for it:

- reasons: whoever bought an apple because they were hungry was hungry, and that is the cause;
- consequences: what follows from a premise by `meaning.relation` is its effect, and what it follows from is
  its cause. Whoever had lunch in Rome was in Italy; whoever is taller than another is not the shorter one;
- people: who did something to another, gave it, or had lunch first is the cause, and the other the effect.

Choices tell nothing without their premise: each pair of choices stands under one question with two premises,
and each of the two is right once. Of people, each pair stands with two premises under both questions, and the
question turns the answer. Of reasons and consequences the question could be guessed from the form of premise
and choices: in this world nothing but states are reasons, and what follows from what goes one way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from xlprompt.data.mini.items import CHECKED, SIZES, hypothesis_of, premise_of
from xlprompt.data.mini.meaning import Meaning, Relation, relation
from xlprompt.data.mini.realize import STYLES, Clause
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import STATES, Person, Split

VERSION = 1
"""Moves when the same split would hold other items."""

Question = Literal["cause", "effect"]
Choice = Clause | Person
"""A sentence, or the name of a person."""


@dataclass(frozen=True)
class ChoiceItem:
    """A premise with two choices.

    Attributes:
        premise: What is known.
        question: Whether its cause or its effect is asked for, as XCOPA writes it in every language.
        choices: One of them is right.
        label: The place of the right one.
    """

    premise: Clause
    question: Question
    choices: tuple[Choice, Choice]
    label: int


@dataclass(frozen=True)
class _Answered:
    """A premise and a question with the right choice and the wrong one."""

    premise: Meaning
    question: Question
    right: Meaning | Person
    wrong: Meaning | Person


def choice_items(split: Split) -> tuple[ChoiceItem, ...]:
    """The items of a split, the same at every call."""
    return _choice_items(split, SIZES[split])


@cache
def _choice_items(split: Split, number: int) -> tuple[ChoiceItem, ...]:
    sampler = Sampler(split, random.Random(f"xlprompt mini xcopa {VERSION} {split}"))
    items: dict[ChoiceItem, None] = {}
    for group in groups(sampler):
        made = _items_of(sampler, group)
        # A group is taken whole or not at all, so that each choice is right as often as wrong.
        if len(items) + len(made) <= number and not any(one in items for one in made):
            items.update(dict.fromkeys(made))
        if len(items) == number:
            break
    shuffled = list(items)
    sampler.rng.shuffle(shuffled)
    return tuple(shuffled)


def _items_of(sampler: Sampler, group: list[_Answered]) -> list[ChoiceItem]:
    """The items of a group; which choice is first is drawn for each, how they are said for all of it."""
    said: dict[Meaning | Person, Choice] = {
        one: one if isinstance(one, Person) else (one, sampler.rng.choice(STYLES))
        for one in (group[0].right, group[0].wrong)
    }
    items = []
    for each in group:
        label = sampler.rng.randrange(2)
        right, wrong = said[each.right], said[each.wrong]
        choices = (wrong, right) if label else (right, wrong)
        items.append(ChoiceItem((each.premise, sampler.rng.choice(STYLES)), each.question, choices, label))
    return items


def groups(sampler: Sampler) -> Iterator[list[_Answered]]:
    """Endlessly: premises that share their choices, each choice right as often as the other."""
    kinds, weights = zip(*_KINDS, strict=True)
    while True:
        (kind,) = sampler.rng.choices(kinds, weights)
        yield kind(sampler)


def _reasons(sampler: Sampler) -> list[_Answered]:
    """Two events for different reasons, or of different people for the same; the choices are both reasons."""
    event = replace(sampler.meaning(("event",)), negated=False)
    state = sampler.rng.choice(STATES)
    if sampler.chance(0.7):
        events = [replace(event, state=one) for one in (state, sampler.other(STATES, state))]
    else:
        events = [replace(event, agent=one, state=state) for one in sampler.people(2)]
    one, other = (Meaning("state", each.agent, state=each.state) for each in events)
    return [_Answered(events[0], "cause", one, other), _Answered(events[1], "cause", other, one)]


def _consequences(sampler: Sampler) -> list[_Answered]:
    """Two statements, and two premises of which each is followed by one, or follows from one."""
    question: Question = "effect" if sampler.chance(0.67) else "cause"
    while True:
        one = sampler.meaning(CHECKED, detail=0.35)
        other = hypothesis_of(sampler, one, sampler.rng.choice((Relation.NEUTRAL, Relation.CONTRADICTION)))
        if other is None or other.frame != one.frame or one.negated or other.negated:
            continue
        linked = [_linked(sampler, question, *each) for each in ((one, other), (other, one))]
        if linked[0] and linked[1]:
            return [
                _Answered(linked[0], question, one, other),
                _Answered(linked[1], question, other, one),
            ]


def _linked(sampler: Sampler, question: Question, right: Meaning, wrong: Meaning) -> Meaning | None:
    """A premise with this right and this wrong answer, if chance finds one."""
    draw = premise_of if question == "effect" else hypothesis_of
    premise = draw(sampler, right, Relation.ENTAILMENT)
    if premise is None or premise.negated:
        return None
    effects = {"effect": (premise, wrong), "cause": (wrong, premise)}
    return None if relation(*effects[question]) is Relation.ENTAILMENT else premise


def _people(sampler: Sampler) -> list[_Answered]:
    """What one person did to another and the reverse, each with both questions."""
    told = replace(sampler.meaning(("meet", "give", "before", "after")), negated=False)
    group = []
    for meaning in (told, told.swapped()):
        doer, other = meaning.agent, meaning.patient
        assert doer is not None  # these frames have both
        assert other is not None
        if meaning.frame == "after":
            doer, other = other, doer
        turned = meaning.converse() if sampler.chance(0.5) else None
        group += [
            _Answered(turned or meaning, "cause", doer, other),
            _Answered(turned or meaning, "effect", other, doer),
        ]
    return group


_KINDS: tuple[tuple[Callable[[Sampler], list[_Answered]], int], ...] = (
    (_reasons, 2),
    (_consequences, 4),
    (_people, 2),
)
"""Each kind of group, and how often it is drawn; people come in fours, the others in pairs."""
