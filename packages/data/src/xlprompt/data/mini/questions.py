"""The items of `xquad`: a context of several events, a question about one, and the words that answer it.

An item is language-free, as those of `items` are. A context tells of people who each did something somewhere
some day; a question says one of these events again, in the other style and without the role that it asks for,
and then asks with the language's who, what, where or when. Every context holds an answer of each type in each
of its events: without the question nothing tells which is asked for.

A causal decoder reads the question first and then the context from left to right. So what identifies an event
is told before the role that is asked for, in English and in languages of its order; in some others, as Hindi
and Korean, the answer may come first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from xlprompt.data.mini.items import SIZES
from xlprompt.data.mini.meaning import Meaning, Relation, Thing, Time, relation
from xlprompt.data.mini.realize import Clause, between_sentences, fragment, phrase, sentence
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import DAYS, SITES, THINGS, Person, Split

VERSION = 1
"""Moves when the same split would hold other items."""

Asked = Literal["agent", "object", "site", "place", "time"]
ASKED: tuple[Asked, ...] = ("agent", "object", "site", "place", "time")
"""The roles that are asked for, each as often as the others."""

_PHRASES = {"agent": "who", "object": "what", "site": "where", "place": "where", "time": "when"}
_EVENTS = (4, 5, 6, 7)
"""How many events a context tells of: one of these numbers, and at most one for each day of the week."""
_FEWEST_SENTENCES = 3
_AGAIN = 0.5
"""Probability that the agent of the event that is asked about has done something else, too."""
_SHORTENED = 0.5
"""Probability that a question leaves out a role besides the one that it asks for."""
_JOINED = 0.25
"""Probability that two neighbouring events are told in one sentence."""


@dataclass(frozen=True)
class QuestionItem:
    """A context, a question about it and where its answer is.

    Attributes:
        sentences: The clauses of each sentence of the context, one or two.
        place: Which sentence the answer is in, and which of its clauses, both counted from 0.
        asked: Which role of that clause answers.
        repeated: What the question says before it asks; of a question for the agent the time alone is said.
    """

    sentences: tuple[tuple[Clause, ...], ...]
    place: tuple[int, int]
    asked: Asked
    repeated: Clause


@dataclass(frozen=True)
class Written:
    """An item in one language; `start` counts code points of the context."""

    context: str
    question: str
    answer: str
    start: int


def question_items(split: Split) -> tuple[QuestionItem, ...]:
    """The items of a split, the same at every call."""
    return _question_items(split, SIZES[split])


@cache
def _question_items(split: Split, number: int) -> tuple[QuestionItem, ...]:
    # Seeding with a string hashes it with SHA-512: the same on every machine and in every process.
    drawn = drawn_items(Sampler(split, random.Random(f"xlprompt mini questions {VERSION} {split}")))
    items: dict[QuestionItem, None] = {}
    while len(items) < number:
        items[next(drawn)] = None
    return tuple(items)


def drawn_items(sampler: Sampler) -> Iterator[QuestionItem]:
    """Endlessly: items, of each five in a row one for each role."""
    while True:
        for asked in sampler.rng.sample(ASKED, len(ASKED)):
            item = None
            while item is None:
                item = _item(sampler, asked)
            yield item


def write(item: QuestionItem, language: str) -> Written:
    """Say an item in a language.

    Raises:
        FormError: The language file cannot say it, or says the role that is asked for in two places.
    """
    gap = between_sentences(language)
    context, answer, answer_start = "", "", 0
    at, clause = item.place
    for number, clauses in enumerate(item.sentences):
        said = sentence(language, *clauses, mark=(clause, item.asked) if number == at else None)
        context += gap if context else ""
        if number == at:
            start, end = said.marked
            answer, answer_start = said.text[start:end], len(context) + start
        context += said.text
    if item.asked == "agent":
        repeated = fragment(language, item.repeated[0], "time").text
    else:
        repeated = sentence(language, item.repeated).text
    question = repeated + gap + phrase(language, _PHRASES[item.asked]).text
    return Written(context, question, answer, answer_start)


def _item(sampler: Sampler, asked: Asked) -> QuestionItem | None:
    """An item that asks for a role, or None where what was drawn gives none."""
    events = _events(sampler, sampler.rng.choice(_EVENTS))
    fitting = [number for number, event in enumerate(events) if _may_be_asked(event, asked)]
    if len(fitting) < 2:
        return None  # the type would give the answer
    chosen = sampler.rng.choice(fitting)
    event = events[chosen]
    repeated = _repeated(sampler, event, asked)
    others = events[:chosen] + events[chosen + 1 :]
    if any(relation(other, repeated) is Relation.ENTAILMENT for other in others):
        return None
    # Of the event that is asked about, what identifies it comes before what answers: see above.
    styles = [sampler.rng.choice(("plain", "reworded")) for _ in events]
    if asked in ("agent", "time"):
        styles[chosen] = "reworded" if asked == "agent" else "plain"
    told: list[Clause] = list(zip(events, styles, strict=True))  # type: ignore[arg-type]
    sentences = _joined(sampler, told)
    if len(sentences) < _FEWEST_SENTENCES:
        return None
    place = next(
        (number, clauses.index(told[chosen]))
        for number, clauses in enumerate(sentences)
        if told[chosen] in clauses
    )
    return QuestionItem(
        sentences, place, asked, (repeated, "plain" if styles[chosen] == "reworded" else "reworded")
    )


def _may_be_asked(event: Meaning, asked: Asked) -> bool:
    if asked == "agent":
        return event.frame in ("event", "stay")  # those that can begin with the time
    if asked in ("site", "place") and event.frame == "stay":
        return False  # nothing would be left to say
    return getattr(event, "thing" if asked == "object" else asked) is not None


def _repeated(sampler: Sampler, event: Meaning, asked: Asked) -> Meaning:
    """What a question says of an event; of a thing that it asks for the kind."""
    if asked == "agent":
        return event
    dropped = {asked}
    if sampler.chance(_SHORTENED) and event.frame != "stay":
        dropped.add("time" if asked != "time" else ("site" if event.site else "place"))
    if asked == "object":
        assert event.thing is not None  # it may be asked
        event = replace(event, thing=replace(event.thing, concept=THINGS[event.thing.concept]))
    return replace(event, **{role: None for role in dropped if role != "object"})  # type: ignore[arg-type]


def _events(sampler: Sampler, number: int) -> list[Meaning]:
    """Events of different days and places; two of them may have the same agent."""
    places = sampler.rng.sample(sampler.places(), number // 2)
    sites = sampler.rng.sample(SITES, number - number // 2)
    where = [{"place": place} for place in places] + [{"site": site} for site in sites]
    sampler.rng.shuffle(where)
    events: list[Meaning] = []
    for day, one, agent in zip(
        sampler.rng.sample(DAYS, number), where, _agents(sampler, number), strict=True
    ):
        time = Time(day, sampler.time().part)
        events.append(replace(_event(sampler, agent, events), time=time, **one))  # type: ignore[arg-type]
    return events


def _agents(sampler: Sampler, number: int) -> list[Person]:
    agents: list[Person] = []
    while len(agents) < number:
        (person,) = sampler.people(1)
        if person not in agents:
            agents.append(person)
    if sampler.chance(_AGAIN):
        agents[1] = agents[0]
    sampler.rng.shuffle(agents)
    return agents


def _event(sampler: Sampler, agent: Person, before: Sequence[Meaning]) -> Meaning:
    """Something that an agent did, to nothing that the events before it speak of."""
    things = {event.thing.concept for event in before if event.thing}
    while True:
        event = sampler.meaning(("event", "event", "meet", "give", "stay"), detail=0.0)
        thing: Thing | None = event.thing
        if thing and (thing.concept not in THINGS or thing.concept in things):
            continue
        patient = event.patient
        if patient and {patient.given, patient.family} & {agent.given, agent.family}:
            continue
        return replace(event, agent=agent, site=None, place=None, negated=False)


def _joined(sampler: Sampler, told: Sequence[Clause]) -> tuple[tuple[Clause, ...], ...]:
    """Sentences: plain neighbours are joined here and there."""
    sentences: list[tuple[Clause, ...]] = []
    for clause in told:
        last = sentences[-1] if sentences else ()
        is_plain = len(last) == 1 and last[0][1] == clause[1] == "plain"
        if is_plain and last[0][0].agent != clause[0].agent and sampler.chance(_JOINED):
            sentences[-1] = (*last, clause)
        else:
            sentences.append((clause,))
    return tuple(sentences)
