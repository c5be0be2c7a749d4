"""The language files of the mini world: reading them, and turning a written form into words.

A form is a line of words with their universal part of speech, such as ``at/ADP the/DET market/NOUN``, in
which ``{slot}`` and ``{slot.form}`` stand for other forms. `languages/README.md` explains the notation to
those who write it. What is said is the business of `meaning`, how a meaning fills the slots that of
`realize`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Annotated, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from xlprompt.data.errors import DataError
from xlprompt.data.languages import STUDY_LANGUAGES
from xlprompt.data.mini import world
from xlprompt.data.tasks import task

UPOS = frozenset(task("pos").labels)
PATTERNS = frozenset(
    {
        "event",
        "event_fronted",
        "event_not",
        "meet",
        "meet_reworded",
        "meet_not",
        "stay",
        "stay_fronted",
        "stay_not",
        "compare",
        "compare_reworded",
        "before",
        "after",
        "give",
        "receive",
        "work",
        "work_not",
        "open",
        "state",
        "because_f",
        "because_m",
        "join",
        "exact",
        "more",
        "fewer",
    }
)
PHRASES = frozenset({"right", "agree", "deny", "maybe", "who", "what", "where", "when"})

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_FEATURE = re.compile(r"<([^<>]+)>")
_SPACE, _GLUE = "_", "+"

# As `yaml.safe_load`, by libyaml where it is there: six times as fast, half a second for twenty languages.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Word:
    """A word of a sentence.

    Attributes:
        text: As written.
        pos: Universal part of speech.
        entity: PER, ORG or LOC where the word belongs to a name, else empty.
        begins: It is the first word of that name.
        space: What separates it from the word before it, where that is not the language's custom.
        marked: It says the role that whoever wants to find it again has marked.
    """

    text: str
    pos: str
    entity: str = ""
    begins: bool = False
    space: bool | None = None
    marked: bool = False


class Filler(Protocol):
    """What may stand in a slot."""

    def words(self, form: str | None) -> tuple[Word, ...]:
        """The words of one of its forms, or of its usual one."""
        ...

    def feature(self, name: str) -> str:
        """A property that other words agree with, such as its gender."""
        ...


Form = Annotated[str, StringConstraints(strip_whitespace=True)]
Row = Form | dict[str, Form]
"""One form that serves everywhere, or forms and features by name."""


class Lexicon(BaseModel):
    """A language file: how each concept is said, and the patterns of sentences."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str
    spaces: bool
    stop: Form
    person: dict[str, Form]
    given: dict[str, Row]
    family: dict[str, Row]
    cities: dict[str, Row]
    countries: dict[str, Row]
    organization_names: dict[str, Row]
    organization_types: dict[str, dict[str, Form]]
    things: dict[str, Row]
    kinds: dict[str, Row]
    actions: dict[str, Row]
    person_actions: dict[str, Row]
    qualities: dict[str, Row]
    sites: dict[str, Row]
    days: dict[str, dict[str, Form]]
    numbers: dict[str, Row]
    states: dict[str, Row]
    patterns: dict[str, Form]
    phrases: dict[str, Form]

    @model_validator(mode="after")
    def _says_every_concept(self) -> Lexicon:
        for section, concepts in _CONCEPTS.items():
            written = set(getattr(self, section))
            if missing := sorted(concepts - written):
                raise ValueError(f"{section}: no row for {', '.join(missing)}")
            if unknown := sorted(written - concepts):
                raise ValueError(f"{section}: the mini world has no {', '.join(unknown)}")
        return self


_CONCEPTS: Mapping[str, frozenset[str]] = {
    "given": frozenset(world.WOMEN + world.MEN),
    "family": frozenset(world.FAMILIES),
    "cities": frozenset(world.CITIES),
    "countries": frozenset(world.COUNTRIES),
    "organization_names": frozenset(world.ORGANIZATION_NAMES),
    "organization_types": frozenset(world.ORGANIZATION_TYPES),
    "things": frozenset(world.THINGS),
    "kinds": frozenset(world.KINDS),
    "actions": frozenset(world.ACTIONS),
    "person_actions": frozenset(world.PERSON_ACTIONS),
    "qualities": frozenset(world.QUALITIES),
    "sites": frozenset(world.SITES),
    "days": frozenset(world.DAYS),
    "numbers": frozenset(world.NUMBERS),
    "states": frozenset(world.STATES),
    "patterns": PATTERNS,
    "phrases": PHRASES,
}


class FormError(ValueError):
    """A form that can't be turned into words."""


@cache
def lexicon(language: str) -> Lexicon:
    """Read a language's file.

    Args:
        language: One of the study's languages.

    Raises:
        DataError: There is no such file, or a row of it is missing or malformed.
    """
    name = f"{language}.yaml"
    file = files(__package__) / "languages" / name
    if language not in STUDY_LANGUAGES or not file.is_file():
        raise DataError(
            f"the mini benchmark has no language {language!r}", fix=f"It has {' '.join(STUDY_LANGUAGES)}."
        )
    return parse_lexicon(file.read_text(encoding="utf-8"), file=name)


def parse_lexicon(text: str, *, file: str) -> Lexicon:
    """Read the text of a language file.

    Raises:
        DataError: It is no YAML, or a section or row is missing, unknown or of the wrong type.
    """
    try:
        return Lexicon.model_validate(yaml.load(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise DataError(f"not YAML: {error}", file=file) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: {first['msg']}" if where else first["msg"], file=file) from None


def expand(form: str, slots: Mapping[str, Filler | None], entity: str = "") -> tuple[Word, ...]:
    """Turn a form into words.

    Args:
        form: As in a language file.
        slots: What fills the placeholders; a slot that is None vanishes.
        entity: The kind of entity that the form's proper nouns name.

    Raises:
        FormError: A tag is no universal part of speech, or a placeholder has no such slot or form.
    """
    return _mark_entity(_expand(form, slots), entity) if "{" in form else _plain(form, entity)


@cache
def _plain(form: str, entity: str) -> tuple[Word, ...]:
    """A form without placeholders: the same words every time."""
    return _mark_entity(_expand(form, {}), entity)


def _expand(form: str, slots: Mapping[str, Filler | None]) -> tuple[Word, ...]:
    words: list[Word] = []
    for item in _items(form):
        new = item.words(slots)
        if new and item.space is not None:
            new = (replace(new[0], space=item.space), *new[1:])
        words += new
    return tuple(words)


@dataclass(frozen=True)
class _Item:
    """A word of a form, or a placeholder in the place of words.

    Attributes:
        text: The word, in which placeholders may stand; or the placeholder, without its braces.
        pos: The word's universal part of speech; empty for a placeholder.
        space: What separates it from what is before it, where the form says so.
    """

    text: str
    pos: str
    space: bool | None

    def words(self, slots: Mapping[str, Filler | None]) -> tuple[Word, ...]:
        """What it becomes; a placeholder within a word becomes part of it, as in {name}bank/PROPN."""
        if not self.pos:
            return _fill(self.text, slots)
        text = _PLACEHOLDER.sub(
            lambda match: "".join(word.text for word in _fill(match[1], slots)), self.text
        )
        return (Word(text, self.pos),)


@cache
def _items(form: str) -> tuple[_Item, ...]:
    """The parts of a form. They are kept, since a language says the same forms over and over."""
    items = []
    space: bool | None = None
    for item in form.split():
        if item in (_SPACE, _GLUE):
            space = item == _SPACE
            continue
        items.append(_read_item(item, space))
        space = None
    return tuple(items)


def _read_item(item: str, space: bool | None) -> _Item:
    if whole := _PLACEHOLDER.fullmatch(item):
        return _Item(whole[1], "", space)
    text, slash, pos = item.rpartition("/")
    if not slash or not text or pos not in UPOS:
        raise FormError(f"{item!r} is not word/TAG with a universal part of speech")
    return _Item(text, pos, space)


def _fill(placeholder: str, slots: Mapping[str, Filler | None]) -> tuple[Word, ...]:
    name, _, form = placeholder.partition(".")
    if name not in slots:
        raise FormError(f"no slot {name!r} in {{{placeholder}}}; there are {', '.join(sorted(slots))}")
    filler = slots[name]
    if filler is None:
        return ()
    if "<" in form:
        form = _FEATURE.sub(lambda match: _feature(match[1], slots), form)
    return filler.words(form or None)


def _feature(reference: str, slots: Mapping[str, Filler | None]) -> str:
    name, _, feature = reference.partition(".")
    filler = slots.get(name)
    if filler is None:
        raise FormError(f"<{reference}>: no slot {name!r} to agree with")
    return filler.feature(feature)


@dataclass(frozen=True)
class RowFiller:
    """A row of a language file in a slot.

    Attributes:
        name: What to call it in an error.
        row: Its forms.
        usual: Forms to try, in this order, where the pattern names none.
        slots: What its own placeholders may use.
        entity: The kind of entity that its proper nouns name.
    """

    name: str
    row: str | Mapping[str, str]
    usual: Sequence[str] = ()
    slots: Mapping[str, Filler | None] | None = None
    entity: str = ""

    def words(self, form: str | None) -> tuple[Word, ...]:
        """The words of a form.

        Raises:
            FormError: The row lacks it.
        """
        return expand(self._form(form), self.slots or {}, self.entity)

    def feature(self, name: str) -> str:
        """A value that stands in the row.

        Raises:
            FormError: The row lacks it.
        """
        if isinstance(self.row, str) or name not in self.row:
            raise FormError(f"{self.name} has no {name!r}")
        return self.row[name]

    def _form(self, form: str | None) -> str:
        if isinstance(self.row, str):
            return self.row
        for candidate in [form] if form else self.usual:
            if candidate in self.row:
                return self.row[candidate]
        raise FormError(f"{self.name} has no form {form or ' or '.join(self.usual)!r}")


def _mark_entity(words: tuple[Word, ...], entity: str) -> tuple[Word, ...]:
    """Make one entity of a filler, from its first proper noun to its last; the rest stays outside."""
    proper = [place for place, word in enumerate(words) if word.pos == "PROPN"]
    if not entity or not proper:
        return words
    first, last = proper[0], proper[-1]
    return tuple(
        replace(word, entity=entity, begins=place == first) if first <= place <= last else word
        for place, word in enumerate(words)
    )


def concepts() -> Mapping[str, frozenset[str]]:
    """Section of a language file -> the concepts that it must say."""
    return _CONCEPTS
