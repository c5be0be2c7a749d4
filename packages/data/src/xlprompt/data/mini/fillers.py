"""What fills the slots of a language's patterns: the people, things and places of a meaning.

The rows come from `lexicon`, those of invented words from `invented`. Which pattern is said, and how words
become text, is the business of `realize`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xlprompt.data.mini.invented import colored, row_of
from xlprompt.data.mini.lexicon import Filler, FormError, Lexicon, RowFiller, Word, expand
from xlprompt.data.mini.meaning import Meaning, Thing
from xlprompt.data.mini.world import COUNTRIES, KINDS, Organization, Person

_SLOTS = (
    "agent",
    "patient",
    "action",
    "object",
    "organization",
    "quality",
    "state",
    "site",
    "place",
    "time",
    "cause",
)


def say_pattern(book: Lexicon, name: str, slots: Mapping[str, Filler | None]) -> tuple[Word, ...]:
    """The words of a pattern of a language.

    Raises:
        FormError: A slot has not the form that it asks for; the message names the pattern.
    """
    return expanded(book, f"pattern {name}", book.patterns[name], slots)


def expanded(book: Lexicon, where: str, form: str, slots: Mapping[str, Filler | None]) -> tuple[Word, ...]:
    """The words of a form, as `lexicon.expand` gives them.

    Raises:
        FormError: As there; the message names the language's file and the place in it.
    """
    try:
        return expand(form, slots)
    except FormError as error:
        raise FormError(f"{book.language}.yaml: {where}: {error}") from None


@dataclass(frozen=True)
class PersonFiller:
    """A person in a slot.

    Attributes:
        book: The language.
        person: Who.
    """

    book: Lexicon
    person: Person

    def words(self, form: str | None) -> tuple[Word, ...]:
        """Both names in a form, as one entity."""
        form = form or "subj"
        if form not in self.book.person:
            raise FormError(f"person has no form {form!r}")
        given, family = self.person.given, self.person.family
        slots: dict[str, Filler | None] = {
            "given": RowFiller(f"given.{given}", row_of(self.book, "given", given), (form,)),
            "family": RowFiller(f"family.{family}", row_of(self.book, "family", family), (form,)),
        }
        return expand(self.book.person[form], slots, "PER")

    def feature(self, name: str) -> str:
        """The gender, or what stands in the given name's row."""
        if name == "gender":
            return self.person.gender
        given = row_of(self.book, "given", self.person.given)
        if isinstance(given, str) or name not in given:
            raise FormError(f"given.{self.person.given} has no {name!r}")
        return given[name]


@dataclass(frozen=True)
class _ThingFiller:
    book: Lexicon
    thing: Thing

    @property
    def _row(self) -> RowFiller:
        section = "kinds" if self.thing.concept in KINDS else "things"
        row = row_of(self.book, section, self.thing.concept)
        if self.thing.colors:
            row = colored(self.book.language, row, self.thing.colors)
        return RowFiller(f"{section}.{self.thing.concept}", row, ("obj",))

    def words(self, form: str | None) -> tuple[Word, ...]:
        if self.thing.count is None:
            return self._row.words(form)
        number = self.thing.count.number
        slots: dict[str, Filler | None] = {
            "number": RowFiller(f"numbers.{number}", self.book.numbers[number], ("form", "obj")),
            "thing": self._row,
        }
        return say_pattern(self.book, self.thing.count.mode, slots)

    def feature(self, name: str) -> str:
        if name == "number":
            return "pl" if self.thing.count else "sg"
        return self._row.feature(name)


def slots_of(book: Lexicon, meaning: Meaning) -> dict[str, Filler | None]:
    """By name of the slot what fills it; None where the meaning leaves it open."""
    slots: dict[str, Filler | None] = dict.fromkeys(_SLOTS)
    gender = meaning.agent.gender if meaning.agent else ""
    if meaning.agent:
        slots["agent"] = PersonFiller(book, meaning.agent)
    if meaning.patient:
        slots["patient"] = PersonFiller(book, meaning.patient)
    if meaning.action:
        section = "actions" if meaning.frame == "event" else "person_actions"
        row = row_of(book, section, meaning.action)
        slots["action"] = RowFiller(f"{section}.{meaning.action}", row, ("past", f"past_{gender}"), slots)
    if meaning.thing:
        slots["object"] = _ThingFiller(book, meaning.thing)
    if meaning.organization:
        slots["organization"] = _organization(book, meaning.organization)
    if meaning.quality:
        slots["quality"] = RowFiller(
            f"qualities.{meaning.quality}", book.qualities[meaning.quality], (gender,), slots
        )
    if meaning.state:
        state = RowFiller(f"states.{meaning.state}", book.states[meaning.state], (gender,), slots)
        slots["state"] = state
        if meaning.frame == "event":
            because = book.patterns[f"because_{gender}"]
            slots["cause"] = RowFiller("cause", because, (), {"state": state, "agent": slots["agent"]})
    if meaning.site:
        slots["site"] = RowFiller(f"sites.{meaning.site}", book.sites[meaning.site], ("at",))
    if meaning.place:
        section = "countries" if meaning.place in COUNTRIES else "cities"
        row = row_of(book, section, meaning.place)
        slots["place"] = RowFiller(f"{section}.{meaning.place}", row, ("in",), entity="LOC")
    if meaning.time:
        row = book.days[meaning.time.day]
        slots["time"] = RowFiller(f"days.{meaning.time.day}", row, (meaning.time.part,))
    return slots


def _organization(book: Lexicon, organization: Organization) -> RowFiller:
    row = book.organization_types[organization.type]
    name = f"organization_types.{organization.type}"
    if organization.name is None:
        return RowFiller(name, {"at": row["a_at"]}, ("at",))
    own = row_of(book, "organization_names", organization.name)
    proper = RowFiller(f"organization_names.{organization.name}", own, ("form",))
    return RowFiller(name, row, ("at",), {"name": proper}, entity="ORG")
