"""The language table: what each language is and how much of it XGLM saw in pre-training.

A language is a row. Any other of ISO 639 has its name and script from langcodes and CLDR; its family and its
resources are unknown. Nothing here knows which files or tasks exist; those are in `tasks` and `sources`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType

from xlprompt.data.errors import DataError

# Languages whose text has no spaces between words. Burmese is not one of them: its words in PAN-X are what
# stands between the spaces of the text.
UNSPACED_LANGUAGES = frozenset({"ja", "th", "zh", "bo", "dz", "km", "lo", "lzh", "wuu", "yue"})

UNKNOWN = "unknown"
"""What is said of a language's family, script or resources where nothing tells it."""


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        code: ISO 639-1 code, as the benchmarks use it; the ISO 639-3 code of a language that has none.
        name: English name.
        family: Top-level family, or "isolate" or "Creole".
        script: Script the benchmarks write it in.
        tokens: Sub-tokens of it in XGLM's pre-training data (CC100-XL); 0 where XGLM did not see it, or where
            nothing is known.
        listed: Whether it has a row in the table.
    """

    code: str
    name: str
    family: str
    script: str
    tokens: int
    listed: bool = True

    @property
    def resource_level(self) -> str:
        """How much XGLM saw: "high", "medium", "low", "extremely low", "unseen" or "unknown".

        The bounds (50, 5 and 0.5 billion tokens) are this project's: the XGLM paper's own classes were not at
        hand.
        """
        if not self.listed:
            return UNKNOWN
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

_SHORTEST_NAME = 4  # letters; what is shorter is a code
_LONGEST_NAME = 40
_OF_A_REGION = re.compile(r"([-_]([a-z]{2}|[a-z]{4}|[0-9]{3}))+$")  # zh-CN, zho_Hans; but zh-yue is another
_DOUBLED = frozenset({"kaa", "ssw"})  # codes of other languages: Karakalpak, Swati
_CODE = re.compile(r"[a-z]{2,3}")
_NO_LANGUAGE = re.compile(r"und|mul|mis|zxx|q[a-t][a-z]")  # undetermined, several, uncoded, none, private use
_HAN = ("Hans", "Hant")

LANGUAGES: Mapping[str, Language] = MappingProxyType({row.code: row for row in _ROWS})

# What else people call them: ISO 639-2 and 639-3 codes, the language's own name, with and without its marks.
# English names and 639-1 codes are in the table above. An underscore stands for a space.
_ALSO_CALLED = {
    "en": "eng anglais englisch",
    "ru": "rus русский russkiy russkij",
    "zh": "zho chi cmn 中文 汉语 漢語 mandarin zhongwen",
    "de": "deu ger deutsch",
    "es": "spa español espanol castellano castilian",
    "fr": "fra fre français francais",
    "ja": "jpn jp 日本語 nihongo",
    "it": "ita italiano",
    "pt": "por português portugues",
    "el": "ell gre gr ελληνικά ελληνικα ellinika",
    "ko": "kor 한국어 hangugeo",
    "fi": "fin suomi",
    "id": "ind in bahasa_indonesia",
    "tr": "tur türkçe turkce",
    "ar": "ara arb العربية عربي",
    "vi": "vie vn tiếng_việt tieng_viet",
    "th": "tha ไทย ภาษาไทย",
    "bg": "bul български balgarski",
    "ca": "cat català catala valencian valencià",
    "hi": "hin हिन्दी हिंदी",
    "et": "est ekk eesti",
    "bn": "ben বাংলা bangla",
    "ta": "tam தமிழ்",
    "ur": "urd اردو",
    "sw": "swa swh kiswahili",
    "te": "tel తెలుగు",
    "eu": "eus baq euskara",
    "my": "mya bur မြန်မာ myanmar",
    "ht": "hat kreyòl kreyol haitian",
    "qu": "que quy quz runasimi",
    "af": "afr",
    "fa": "fas per pes فارسی farsi",
    "he": "heb iw עברית ivrit",
    "hu": "hun magyar",
    "jv": "jav basa_jawa",
    "ka": "kat geo ქართული kartuli",
    "kk": "kaz қазақ қазақша kazak qazaq",
    "ml": "mal മലയാളം",
    "mr": "mar मराठी",
    "ms": "msa may zsm melayu bahasa_melayu",
    "nl": "nld dut nederlands flemish vlaams",
    "tl": "tgl fil filipino pilipino",
    "yo": "yor yorùbá",
}
_OTHER_NAMES = {name: code for code, others in _ALSO_CALLED.items() for name in others.split()}

_STUDY = "en ru zh de es fr ja el ko fi tr ar vi th bg hi ur sw te eu"
STUDY_LANGUAGES: tuple[str, ...] = tuple(_STUDY.split())
"""The study's 20: XNLI's 15, PAWS-X's ja and ko, and fi, te, eu for spread of family and resource level."""


def language(code: str) -> Language:
    """Look a language up by its code.

    Args:
        code: ISO 639-1 code, such as "sw"; of a language without one its ISO 639-3 code, such as "pcm".

    Returns:
        The row of the table, or what is known of another language of ISO 639.

    Raises:
        DataError: No such language; the message names the one that is meant where that is plain.
    """
    found = LANGUAGES.get(code)
    if found is None and code not in _OTHER_NAMES:  # "deu" is German, whatever the library calls it
        found = _of_library(code)
    if found is not None:
        return found
    near = _near(code)
    if not near and (shorter := code_of(code)):
        near = [shorter]
    if near:
        fix = f"Did you mean {', '.join(f'{match} ({language(match).name})' for match in near)}?"
    else:
        fix = f"Known languages: {' '.join(LANGUAGES)}, and every other by its ISO 639 code."
    raise DataError(f"unknown language {code[:_LONGEST_NAME]!r}", fix=fix)


def code_named(name: str) -> str | None:
    """Return the code of the language of the table that has this English name, or None where none has."""
    wanted = name.strip().casefold()
    return next((row.code for row in _ROWS if row.name.casefold() == wanted), None)


def code_of(word: str) -> str | None:
    """Return the code of the language that a code of another kind stands for, or None where it is no code.

    Args:
        word: Such as "pl", "pol", "PL", "pl-PL" or "pol_Latn"; a name is no code.
    """
    code = word.strip().lower()
    if code in LANGUAGES:
        return code
    code = _without_region(code)
    if not _CODE.fullmatch(code):
        return None
    known = LANGUAGES.get(code)
    if known or code in _OTHER_NAMES:
        return known.code if known else _OTHER_NAMES[code]
    if _of_library(code) is not None:
        return code
    from langcodes import Language as Tag

    shorter = Tag.get(code).language or ""  # ISO 639-3 to 639-1, where there is such a code
    return shorter if shorter != code and (shorter in LANGUAGES or _of_library(shorter)) else None


def usual_script(code: str) -> str | None:
    """The code of the script that a language is usually written in, such as ``Cyrl``, by CLDR.

    Args:
        code: Of ISO 639, such as "sr".
    """
    from langcodes import Language as Tag

    return Tag.make(language=code).maximize().script


def _without_region(code: str) -> str:
    """A code without what tells a region or script behind it; a word such as my_data has none.

    Args:
        code: In small letters.
    """
    if not _OF_A_REGION.search(code):
        return code
    from langcodes import Language as Tag

    language, *others = re.split("[-_]", code)
    for part in others:
        made = Tag.make(script=part.title()) if len(part) == 4 else Tag.make(territory=part.upper())
        if not made.is_valid():
            return code
    return language


@lru_cache(maxsize=1024)
def _of_library(code: str) -> Language | None:
    """What langcodes knows of a language that is not in the table, or None where there is no such code.

    Not by `Language.get`, which takes tl for fil and sh for Serbian. Where CLDR says nothing of a language it
    answers with English's script and territory.
    """
    if not _CODE.fullmatch(code) or _NO_LANGUAGE.fullmatch(code):
        return None
    from langcodes import Language as Tag

    tag = Tag.make(language=code)
    name = tag.display_name() if tag.is_valid() else UNKNOWN
    if name.lower().startswith(UNKNOWN):
        return None
    likely = tag.maximize()
    script = Tag.make(script=likely.script).script_name() if likely.territory != "US" else UNKNOWN
    if likely.script in _HAN:
        script = "Han"
    elif code == "grc":
        script = "Greek"  # CLDR's is the Cypriot syllabary
    return Language(code, name, UNKNOWN, script, tokens=0, listed=False)


def _near(word: str) -> list[str]:
    """Return the codes of the languages that a word surely means; none is better than a wrong one.

    A code of three letters is never taken for a similar one: "swe" is Swedish, and no misspelt Swahili.
    """
    wanted = word[:_LONGEST_NAME].casefold().strip()
    names = {known.name.casefold(): known.code for known in _ROWS}
    for code, others in _ALSO_CALLED.items():
        names |= {name.replace("_", " "): code for name in [code, *others.split()]}
    typed_twice = wanted[:-1] if wanted[-2:-1] == wanted[-1:] and wanted not in _DOUBLED else ""
    for known in (wanted, _without_region(wanted), typed_twice):
        if known in names:
            return [names[known]]
    if len(wanted) < _SHORTEST_NAME:
        return []
    spelt = [name for name in names if len(name) >= _SHORTEST_NAME]
    return list(dict.fromkeys(names[name] for name in get_close_matches(wanted, spelt, n=2, cutoff=0.85)))


def resource_order(code: str) -> tuple[int, bool, str]:
    """What languages are sorted by: pre-training tokens, most first; then unseen ones, then unknown ones."""
    row = language(code)
    return -row.tokens, not row.listed, code


def in_study_order(codes: set[str] | frozenset[str]) -> tuple[str, ...]:
    """Sort language codes: the study's languages in the study's order, then the others alphabetically.

    Args:
        codes: Language codes.

    Returns:
        The same codes in the order every table and loop of the project uses.
    """
    first = tuple(code for code in STUDY_LANGUAGES if code in codes)
    return first + tuple(sorted(codes.difference(first)))
