"""The language table: what each language is and how much of it XGLM saw in pre-training.

A language is a row. Nothing here knows which files or tasks exist; those are in `tasks` and `sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from xlprompt.data.errors import DataError


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        code: ISO 639-1 code, as the benchmarks use it.
        name: English name.
        family: Top-level family, or "isolate" or "Creole".
        script: Script the benchmarks write it in.
        tokens: Sub-tokens of it in XGLM's pre-training data (CC100-XL); 0 where XGLM did not see it.
    """

    code: str
    name: str
    family: str
    script: str
    tokens: int

    @property
    def resource_level(self) -> str:
        """How much XGLM saw: "high", "medium", "low", "extremely low" or "unseen".

        The bounds (50, 5 and 0.5 billion tokens) are this project's: the XGLM paper's own classes were not at
        hand.
        """
        if self.tokens == 0:
            return "unseen"
        if self.tokens >= 50_000_000_000:
            return "high"
        if self.tokens >= 5_000_000_000:
            return "medium"
        if self.tokens >= 500_000_000:
            return "low"
        return "extremely low"


# Token counts: model card of facebook/xglm-564M. The rows with 0 are the languages of XTREME that XGLM lacks.
_ROWS = (
    Language("en", "English", "Indo-European", "Latin", 803_526_736_124),
    Language("ru", "Russian", "Indo-European", "Cyrillic", 147_791_898_098),
    Language("zh", "Chinese", "Sino-Tibetan", "Han", 132_770_494_630),
    Language("de", "German", "Indo-European", "Latin", 89_223_707_856),
    Language("es", "Spanish", "Indo-European", "Latin", 87_303_083_105),
    Language("fr", "French", "Indo-European", "Latin", 77_419_639_775),
    Language("ja", "Japanese", "Japonic", "Japanese", 66_054_364_513),
    Language("it", "Italian", "Indo-European", "Latin", 41_930_465_338),
    Language("pt", "Portuguese", "Indo-European", "Latin", 36_586_032_444),
    Language("el", "Greek", "Indo-European", "Greek", 28_762_166_159),
    Language("ko", "Korean", "Koreanic", "Hangul", 20_002_244_535),
    Language("fi", "Finnish", "Uralic", "Latin", 16_804_309_722),
    Language("id", "Indonesian", "Austronesian", "Latin", 15_423_541_953),
    Language("tr", "Turkish", "Turkic", "Latin", 12_413_166_065),
    Language("ar", "Arabic", "Afro-Asiatic", "Arabic", 12_248_607_345),
    Language("vi", "Vietnamese", "Austroasiatic", "Latin", 11_199_121_869),
    Language("th", "Thai", "Tai-Kadai", "Thai", 10_842_172_807),
    Language("bg", "Bulgarian", "Indo-European", "Cyrillic", 9_703_797_869),
    Language("ca", "Catalan", "Indo-European", "Latin", 7_075_834_775),
    Language("hi", "Hindi", "Indo-European", "Devanagari", 3_448_390_110),
    Language("et", "Estonian", "Uralic", "Latin", 3_286_873_851),
    Language("bn", "Bengali", "Indo-European", "Bengali", 1_627_447_450),
    Language("ta", "Tamil", "Dravidian", "Tamil", 1_476_973_397),
    Language("ur", "Urdu", "Indo-European", "Arabic", 1_351_891_969),
    Language("sw", "Swahili", "Niger-Congo", "Latin", 907_516_139),
    Language("te", "Telugu", "Dravidian", "Telugu", 689_316_485),
    Language("eu", "Basque", "isolate", "Latin", 105_304_423),
    Language("my", "Burmese", "Sino-Tibetan", "Myanmar", 101_358_331),
    Language("ht", "Haitian Creole", "Creole", "Latin", 86_584_697),
    Language("qu", "Quechua", "Quechuan", "Latin", 3_236_108),
    Language("af", "Afrikaans", "Indo-European", "Latin", 0),
    Language("fa", "Persian", "Indo-European", "Arabic", 0),
    Language("he", "Hebrew", "Afro-Asiatic", "Hebrew", 0),
    Language("hu", "Hungarian", "Uralic", "Latin", 0),
    Language("jv", "Javanese", "Austronesian", "Latin", 0),
    Language("ka", "Georgian", "Kartvelian", "Georgian", 0),
    Language("kk", "Kazakh", "Turkic", "Cyrillic", 0),
    Language("ml", "Malayalam", "Dravidian", "Malayalam", 0),
    Language("mr", "Marathi", "Indo-European", "Devanagari", 0),
    Language("ms", "Malay", "Austronesian", "Latin", 0),
    Language("nl", "Dutch", "Indo-European", "Latin", 0),
    Language("tl", "Tagalog", "Austronesian", "Latin", 0),
    Language("yo", "Yoruba", "Niger-Congo", "Latin", 0),
)

LANGUAGES: Mapping[str, Language] = MappingProxyType({row.code: row for row in _ROWS})

_STUDY = "en ru zh de es fr ja el ko fi tr ar vi th bg hi ur sw te eu"
STUDY_LANGUAGES: tuple[str, ...] = tuple(_STUDY.split())
"""The study's 20: XNLI's 15, PAWS-X's ja and ko, and fi, te, eu for spread of family and resource level."""


def language(code: str) -> Language:
    """Look a language up by its code.

    Args:
        code: ISO 639-1 code, such as "sw".

    Returns:
        The row of the table.

    Raises:
        DataError: No such row; the message lists codes and names that come near.
    """
    row = LANGUAGES.get(code)
    if row is not None:
        return row
    by_name = {known.name.lower(): known.code for known in _ROWS}
    wanted = code.lower()
    near = [*get_close_matches(wanted, LANGUAGES, n=3, cutoff=0.5)]
    near += [by_name[name] for name in get_close_matches(wanted, by_name, n=3, cutoff=0.8)]
    if near:
        listed = ", ".join(f"{match} ({LANGUAGES[match].name})" for match in dict.fromkeys(near))
        fix = f"Did you mean {listed}?"
    else:
        fix = f"Known languages: {' '.join(LANGUAGES)}."
    raise DataError(f"unknown language {code!r}", fix=fix)


def in_study_order(codes: set[str] | frozenset[str]) -> tuple[str, ...]:
    """Sort language codes: the study's languages in the study's order, then the others alphabetically.

    Args:
        codes: Language codes.

    Returns:
        The same codes in the order every table and loop of the project uses.
    """
    first = tuple(code for code in STUDY_LANGUAGES if code in codes)
    return first + tuple(sorted(codes.difference(first)))
