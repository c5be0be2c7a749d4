"""Text of the mini world to pretrain on: stories, questions, checks, translations, code-switching.

Passages speak of the people of the pretraining split, so no meaning of the benchmark is among them. Which
language a passage is in follows the shares that are handed in. There is no end to the text; the same
generator gives the same one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from xlprompt.data.languages import STUDY_LANGUAGES, language
from xlprompt.data.mini.items import CHECKED, hypothesis_of, paraphrase_twins, random_clauses
from xlprompt.data.mini.meaning import Frame, Meaning, Relation, relation
from xlprompt.data.mini.realize import (
    Clause,
    Style,
    code_switched,
    elliptical_question,
    fragment,
    phrase,
    sentence,
)
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import CITIES, THINGS

_ANSWERS = {Relation.ENTAILMENT: "agree", Relation.NEUTRAL: "maybe", Relation.CONTRADICTION: "deny"}
_QUESTIONS = {"who": "agent", "what": "object", "where": "place", "when": "time"}
_ROLE_OF = {"object": "thing"}  # of a meaning, by the slot's name in a language file
_TOLD: tuple[Frame, ...] = ("event", "meet", "stay", "give", "before", "after")


@dataclass(frozen=True)
class Line:
    """A line of a passage; an empty text is a blank line.

    Attributes:
        language: Its language, or the one it is mostly in.
        text: As written.
        is_verdict: It says whether the line before it is right.
    """

    language: str
    text: str
    is_verdict: bool = False


Passage = tuple[Line, ...]


def language_shares(exponent: float) -> dict[str, float]:
    """Each study language's share of the text, from the tokens that XGLM was pretrained on.

    Args:
        exponent: The share is proportional to tokens to this power: 1 follows XGLM's corpus, 0 is balanced.
            Smaller exponents upsample low-resource languages, as multilingual models commonly do (Conneau et
            al. 2020).

    Returns:
        Language code -> share; they sum to 1.
    """
    weights = {code: language(code).tokens ** exponent for code in STUDY_LANGUAGES}
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()}


def passages(shares: Mapping[str, float], *, seed: int | str) -> Iterator[Passage]:
    """Endlessly, passages of all kinds.

    Args:
        shares: Language code -> probability.
        seed: The same seed gives the same passages.
    """
    rng = random.Random(f"xlprompt mini corpus {seed}")
    writer = _Writer(rng)
    codes = [code for code, share in shares.items() if share > 0]
    weights = [shares[code] for code in codes]
    kind_weights = [weight for _, _, weight in _KINDS]
    while True:
        (first,) = rng.choices(codes, weights)
        (second,) = rng.choices(codes, weights)
        while second == first and len(codes) > 1:
            (second,) = rng.choices(codes, weights)
        ((kind, in_two_languages, _),) = rng.choices(_KINDS, kind_weights)
        yield tuple(kind(writer, first, second if in_two_languages else first))


class _Writer:
    """What the kinds of passages share: a sampler, and endless paraphrases."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sampler = Sampler("pretraining", rng)
        self._paraphrases = paraphrase_twins(self.sampler)

    def style(self) -> Style:
        return self.rng.choice(("plain", "reworded"))

    def story(self, language: str, _: str) -> Iterator[Line]:
        """What happened to one person, day after day."""
        (hero,) = self.sampler.people(1)
        for _number in range(self.rng.randint(2, 5)):
            meaning = self.sampler.meaning()
            # Two people in a sentence have no name in common; where they would, somebody else's day is told.
            named = {meaning.patient.given, meaning.patient.family} if meaning.patient else set()
            if meaning.agent and not named & {hero.given, hero.family}:
                meaning = replace(meaning, agent=hero)
            yield Line(language, sentence(language, (meaning, self.style())).text)

    def questions(self, language: str, other: str) -> Iterator[Line]:
        """A statement, then questions about its roles."""
        meaning = self._told()
        yield Line(language, sentence(language, (meaning, self.style())).text)
        yield from self._asked(other, meaning)

    def translation(self, language: str, other: str) -> Iterator[Line]:
        """Sentences, each in two languages."""
        for _number in range(self.rng.randint(1, 3)):
            clauses = random_clauses(self.sampler)
            yield Line(language, sentence(language, *clauses).text)
            yield Line(other, sentence(other, *clauses).text)

    def code_switching(self, language: str, other: str) -> Iterator[Line]:
        """Sentences in which some phrases are another language's, and what they say in the first language."""
        for _number in range(self.rng.randint(1, 3)):
            meaning = self.sampler.meaning(detail=0.6)
            style = self.style()
            present = [role for role in _SWITCHED if getattr(meaning, _ROLE_OF.get(role, role))]
            chosen = {role for role in present if self.sampler.chance(0.6)}
            yield Line(language, code_switched(language, other, meaning, style, chosen).text)
            yield Line(language, sentence(language, (meaning, style)).text)

    def _told(self) -> Meaning:
        return self.sampler.meaning(_TOLD, detail=0.6)

    def _asked(self, language: str, meaning: Meaning) -> Iterator[Line]:
        present = [
            (question, role)
            for question, role in _QUESTIONS.items()
            if getattr(meaning, _ROLE_OF.get(role, role)) and not meaning.negated
        ]
        self.rng.shuffle(present)
        for question, role in present[: self.rng.randint(1, 3)]:
            yield Line(language, phrase(language, question).text)
            yield Line(language, fragment(language, meaning, role).text)

    def check(self, language: str, other: str) -> Iterator[Line]:
        """Two statements, and whether the second is right given the first."""
        if self.sampler.chance(0.2):
            item = self.rng.choice(next(self._paraphrases))
            yield Line(language, sentence(language, *item.first).text)
            yield from self._answered(other, item.second, "agree" if item.label else "deny")
            return
        premise = self.sampler.meaning(CHECKED, detail=self.rng.choice((0.15, 0.45)))
        yield Line(language, sentence(language, (premise, self.style())).text)
        for _number in range(self.rng.randint(2, 6)):
            wanted = self.rng.choice(tuple(Relation))
            hypothesis = hypothesis_of(self.sampler, premise, wanted)
            if hypothesis:
                yield from self._answered(other, ((hypothesis, self.style()),), _ANSWERS[wanted])

    def quick_check(self, language: str, other: str) -> Iterator[Line]:
        """A statement, and elliptical questions whether this or that is right about it."""
        premise = self._told()
        while premise.negated:
            premise = self._told()
        yield Line(language, sentence(language, (premise, self.style())).text)
        for _number in range(self.rng.randint(3, 7)):
            wanted = self.rng.choice(tuple(Relation))
            asked = self._asked_about(premise, wanted)
            if asked:
                meaning, role = asked
                yield Line(other, "")
                yield Line(other, elliptical_question(other, meaning, role).text)
                yield Line(other, phrase(other, _ANSWERS[wanted]).text, is_verdict=True)

    def _asked_about(self, premise: Meaning, wanted: Relation) -> tuple[Meaning, str] | None:
        """A value of one role that the premise entails, leaves open or contradicts, if one was found."""
        for _try in range(30):
            role = self.rng.choice(("agent", "thing", "site", "place", "time"))
            if role == "thing" and premise.thing is None:
                continue
            other = self.sampler.meaning((premise.frame,), detail=1.0)
            value = getattr(premise if self.sampler.chance(0.3) else other, role)
            if role == "place" and premise.place and premise.place in CITIES and self.sampler.chance(0.3):
                value = CITIES[premise.place]
            if role == "thing" and value and self.sampler.chance(0.2):
                value = replace(value, concept=THINGS.get(value.concept, value.concept))
            # All else as in the premise, so that the one role decides.
            asked = replace(premise, **{role: value})
            if value is not None and self._verdict(premise, asked, role) is wanted:
                return asked, "object" if role == "thing" else role
        return None

    @staticmethod
    def _verdict(premise: Meaning, asked: Meaning, role: str) -> Relation:
        # Another agent or thing than the one told of is no other event here, but a wrong answer.
        found = relation(premise, asked)
        named = getattr(premise, role) is not None
        is_narrower = found is not Relation.ENTAILMENT and relation(asked, premise) is Relation.ENTAILMENT
        if role in ("agent", "thing") and named and found is Relation.NEUTRAL and not is_narrower:
            return Relation.CONTRADICTION
        return found

    def _answered(self, language: str, clauses: tuple[Clause, ...], answer: str) -> Iterator[Line]:
        yield Line(language, "")
        yield Line(language, sentence(language, *clauses).text)
        if self.sampler.chance(0.25):
            yield Line(language, phrase(language, "right").text)
        yield Line(language, phrase(language, answer).text, is_verdict=True)


_SWITCHED = ("agent", "patient", "object", "organization", "site", "place", "time")

# Each kind of passage, whether it goes on in a second language, and how often it is chosen.
_KINDS: tuple[tuple[Callable[[_Writer, str, str], Iterator[Line]], bool, int], ...] = (
    (_Writer.story, False, 4),
    (_Writer.questions, False, 4),
    (_Writer.questions, True, 4),
    (_Writer.quick_check, False, 28),
    (_Writer.quick_check, True, 10),
    (_Writer.check, False, 28),
    (_Writer.check, True, 10),
    (_Writer.translation, True, 6),
    (_Writer.code_switching, True, 6),
)
