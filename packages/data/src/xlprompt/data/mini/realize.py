"""From a meaning to the words of a language.

The language's patterns and forms come from `lexicon`; this module fills their slots with the concepts of a
meaning, and writes the resulting words as text.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Literal, get_args

from xlprompt.data.mini.fillers import PersonFiller, expanded, say_pattern, slots_of
from xlprompt.data.mini.lexicon import Filler, FormError, Lexicon, Word, lexicon
from xlprompt.data.mini.meaning import FRAMES_WITH_NEGATION, Meaning

Style = Literal["plain", "reworded"]
STYLES: tuple[Style, ...] = get_args(Style)
Clause = tuple[Meaning, Style]

_REWORDED = {
    "event": "event_fronted",
    "stay": "stay_fronted",
    "meet": "meet_reworded",
    "compare": "compare_reworded",
    "give": "receive",
}


@dataclass(frozen=True)
class Sentence:
    """A sentence in one language."""

    language: str
    words: tuple[Word, ...]

    @property
    def tokens(self) -> list[str]:
        """Its words."""
        return [word.text for word in self.words]

    @property
    def pos(self) -> list[str]:
        """The universal part of speech of each word."""
        return [word.pos for word in self.words]

    @property
    def entities(self) -> list[str]:
        """The entity tag of each word, as in PAN-X: O, or B- or I- and PER, ORG or LOC."""
        return [f"{'B' if word.begins else 'I'}-{word.entity}" if word.entity else "O" for word in self.words]

    @property
    def text(self) -> str:
        """The sentence as it is written."""
        return write(self.words, spaces=lexicon(self.language).spaces)

    @property
    def small(self) -> Sentence:
        """The same without capitals; in scripts that have none the same."""
        words = (replace(word, text=_lowered(self.language, word.text)) for word in self.words)
        return replace(self, words=tuple(words))

    @property
    def marked(self) -> tuple[int, int]:
        """Where in `text` the marked role begins and ends, in code points.

        Raises:
            FormError: No word is marked, or other words stand among those that are.
        """
        places = [place for place, word in enumerate(self.words) if word.marked]
        if not places or places[-1] - places[0] != len(places) - 1:
            raise FormError(f"{self.language}: no one place where the role is said: {self.text}")
        starts = _starts(self.words, spaces=lexicon(self.language).spaces)
        return starts[places[0]], starts[places[-1]] + len(self.words[places[-1]].text)


def sentence(language: str, *clauses: Clause, mark: tuple[int, str] | None = None) -> Sentence:
    """Say one meaning, or several as one sentence.

    Args:
        language: One of the study's languages.
        clauses: Meaning and style of each; they are joined by the language's "and".
        mark: A clause, counted from 0, and the role of it whose words are marked: without adpositions and
            punctuation at either end, and of a person the name alone.

    Raises:
        FormError: The language file cannot say it; the message names the pattern and the form.
    """
    book = lexicon(language)
    at, role = mark or (None, "")
    parts = [
        _clause(book, meaning, style, role if place == at else "")
        for place, (meaning, style) in enumerate(clauses)
    ]
    words = reduce(partial(_joined, book), parts)
    return Sentence(language, _finished(book, words))


def text(language: str, *clauses: Clause) -> str:
    """Say meanings one after the other, as a sentence each."""
    return between_sentences(language).join(sentence(language, clause).text for clause in clauses)


def between_sentences(language: str) -> str:
    """What separates sentences: Chinese and Japanese set a stop and no space, Thai a space and no stop."""
    book = lexicon(language)
    return " " if book.spaces or not book.stop else ""


def phrase(language: str, name: str) -> Sentence:
    """A fixed phrase of a language, such as its "yes" (`agree`)."""
    book = lexicon(language)
    words = expanded(book, f"phrase {name}", book.phrases[name], {})
    if words and words[-1].pos == "PUNCT":  # a question has its mark
        return Sentence(language, _capitalized(book, words))
    return Sentence(language, _finished(book, words))


def fragment(language: str, meaning: Meaning, role: str) -> Sentence:
    """One role of a meaning as the answer to a question: "In Rome."."""
    book = lexicon(language)
    return Sentence(language, _finished(book, _words_of_role(book, meaning, role)))


def elliptical_question(language: str, meaning: Meaning, role: str) -> Sentence:
    """One role of a meaning as a question: "In Rome?"."""
    book = lexicon(language)
    words = _words_of_role(book, meaning, role)
    mark = expanded(book, "phrase where", book.phrases["where"], {})[-1]
    return Sentence(language, (*_capitalized(book, words), mark))


def code_switched(language: str, other: str, meaning: Meaning, style: Style, roles: Set[str]) -> Sentence:
    """A sentence of one language in which some roles are said in another, in their usual form there."""
    book = lexicon(language)
    slots = slots_of(book, meaning)
    foreign = slots_of(lexicon(other), meaning)
    for role in roles:
        own, filler = slots[role], foreign[role]
        if own and filler:
            slots[role] = _Switched(filler.words(None), own)
    return Sentence(language, _finished(book, say_pattern(book, _pattern_name(meaning, style), slots)))


def write(words: tuple[Word, ...], *, spaces: bool) -> str:
    """Join words into text: no space before closing punctuation, none after an apostrophe."""
    text = ""
    for word, start in zip(words, _starts(words, spaces=spaces), strict=True):
        text += " " * (start - len(text)) + word.text
    return text


def _starts(words: tuple[Word, ...], *, spaces: bool) -> list[int]:
    """Where each word begins in the text that they make."""
    starts: list[int] = []
    end, before = 0, ""
    for word in words:
        spaced = word.space
        if spaced is None:
            spaced = spaces and word.pos != "PUNCT" and not before.endswith(("'", "’", "¿", "¡"))
        starts.append(end + bool(end and spaced))
        end, before = starts[-1] + len(word.text), word.text
    return starts


def _words_of_role(book: Lexicon, meaning: Meaning, role: str) -> tuple[Word, ...]:
    filler = slots_of(book, meaning)[role]
    if filler is None:
        raise FormError(f"{role} is empty in {meaning}")
    return filler.words(None)


def _clause(book: Lexicon, meaning: Meaning, style: Style, marked: str) -> tuple[Word, ...]:
    slots = slots_of(book, meaning)
    if filler := slots.get(marked):
        slots[marked] = _Marked(filler)
    return say_pattern(book, _pattern_name(meaning, style), slots)


def _joined(book: Lexicon, first: tuple[Word, ...], second: tuple[Word, ...]) -> tuple[Word, ...]:
    return say_pattern(book, "join", {"first": _Words(first), "second": _Words(second)})


def _pattern_name(meaning: Meaning, style: Style) -> str:
    name: str = meaning.frame
    if meaning.negated:
        if meaning.frame not in FRAMES_WITH_NEGATION:
            raise ValueError(f"{meaning.frame} can't be negated")
        name = f"{name}_not"
    elif style == "reworded" and (meaning.frame not in ("event", "stay") or meaning.time):
        name = _REWORDED.get(name, name)
    return name


def _finished(book: Lexicon, words: tuple[Word, ...]) -> tuple[Word, ...]:
    return _capitalized(book, words) + expanded(book, "stop", book.stop, {})


def _lowered(language: str, text: str) -> str:
    return (text.replace("İ", "i").replace("I", "ı") if language == "tr" else text).lower()


def _capitalized(book: Lexicon, words: tuple[Word, ...]) -> tuple[Word, ...]:
    place = next((number for number, word in enumerate(words) if word.pos != "PUNCT"), None)
    if place is None:
        return words
    first = words[place].text
    initial = "İ" if book.language == "tr" and first[0] == "i" else first[0].upper()
    capital = replace(words[place], text=initial + first[1:])
    return words[:place] + (capital,) + words[place + 1 :]


@dataclass(frozen=True)
class _Words:
    """Words that are what they are: a clause."""

    value: tuple[Word, ...]

    def words(self, form: str | None) -> tuple[Word, ...]:
        return self.value

    def feature(self, name: str) -> str:
        raise FormError(f"a clause has no {name!r}")


@dataclass(frozen=True)
class _Switched:
    """Words of another language in a slot; what agrees with them agrees with the language's own filler."""

    value: tuple[Word, ...]
    own: Filler

    def words(self, form: str | None) -> tuple[Word, ...]:
        # Foreign words stand apart even where the language writes without spaces.
        foreign = (replace(self.value[0], space=True), *self.value[1:])
        if not isinstance(self.own, PersonFiller):
            return foreign
        # A person's forms may hold more than the name, such as a preposition or a verb that agrees with it.
        own = self.own.words(form)
        name = [place for place, word in enumerate(own) if word.entity]
        return own[: name[0]] + foreign + own[name[-1] + 1 :] if name else own

    def feature(self, name: str) -> str:
        return self.own.feature(name)


@dataclass(frozen=True)
class _Marked:
    """The words of a filler, marked but for adpositions and marks at either end; of people the name alone."""

    own: Filler

    def words(self, form: str | None) -> tuple[Word, ...]:
        words = self.own.words(form)
        if isinstance(self.own, PersonFiller):  # whose forms may hold a verb
            inner = [place for place, word in enumerate(words) if word.entity]
        else:
            inner = [place for place, word in enumerate(words) if word.pos not in ("ADP", "PUNCT")]
        return tuple(
            replace(word, marked=bool(inner) and inner[0] <= place <= inner[-1])
            for place, word in enumerate(words)
        )

    def feature(self, name: str) -> str:
        return self.own.feature(name)
