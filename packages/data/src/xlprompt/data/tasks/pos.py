"""Which Universal Dependencies treebank stands for a language.

A score is over one treebank, never over a mixture: treebanks of one language differ in genre, tokenization
and annotation, and a mixture's score moves with whichever of them happen to be there. The choice is made by
treebank code and not by language name, which in other prepared copies let Ancient Greek in with Greek and
Classical Chinese in with Chinese.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xlprompt.data.splits import SPLITS, Split

# First choice first. Mostly the Google-originated GSD treebanks and the largest news or web treebank
# otherwise, which is what the published single-treebank scores are on.
TREEBANKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "af": ("afribooms",),
        "ar": ("padt",),
        "bg": ("btb",),
        "bn": ("bru",),
        "ca": ("ancora",),
        "de": ("gsd",),
        "el": ("gdt",),
        "en": ("ewt",),
        "es": ("gsd",),
        "et": ("edt",),
        "eu": ("bdt",),
        "fa": ("seraji",),
        "fi": ("tdt",),
        "fr": ("gsd",),
        "he": ("htb",),
        "hi": ("hdtb",),
        "ht": ("adolphe",),
        "hu": ("szeged",),
        "id": ("gsd",),
        "it": ("isdt",),
        "ja": ("gsd",),
        "kk": ("ktb",),
        "ko": ("gsd",),
        "mr": ("ufal",),
        "nl": ("alpino",),
        "pt": ("bosque",),
        "ru": ("gsd",),
        "ta": ("ttb",),
        "te": ("mtg",),
        "th": ("tud", "pud"),
        "tl": ("trg",),
        "tr": ("imst",),
        "ur": ("udtb",),
        "vi": ("vtb",),
        "yo": ("ytb",),
        "zh": ("gsdsimp", "gsd"),
    }
)

_TEST_ONLY: tuple[Split, ...] = ("test",)
# Of the configs on the hub (UD 2.7, card of universal_dependencies): the splits of those that lack one.
_HUB_SPLITS: Mapping[str, tuple[Split, ...]] = MappingProxyType(
    {"kk": ("train", "test"), "th": _TEST_ONLY, "tl": _TEST_ONLY, "yo": _TEST_ONLY}
)
# Treebanks that UD 2.7 does not have yet.
_NOT_ON_HUB = frozenset({"bn_bru", "ht_adolphe", "th_tud"})


def hub_treebank(language: str) -> str | None:
    """Return the hub config of a language, such as "en_ewt", or None if it has none."""
    for treebank in TREEBANKS.get(language, ()):
        config = f"{language}_{treebank}"
        if config not in _NOT_ON_HUB:
            return config
    return None


def hub_splits(language: str) -> tuple[Split, ...]:
    """Return the splits of a language's treebank on the hub."""
    return () if hub_treebank(language) is None else _HUB_SPLITS.get(language, SPLITS)
