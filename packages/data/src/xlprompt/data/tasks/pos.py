"""POS: the universal parts of speech in Universal Dependencies, in XTREME's 33 languages.

de Marneffe et al. 2021; each treebank has its own licence, most a CC BY-SA.

A score is over one treebank, never over a mixture: treebanks of one language differ in genre, tokenization
and annotation, and a mixture's score moves with whichever of them happen to be there. The choice is made by
treebank code and not by language name, which in other prepared copies (google/xtreme's udpos on the hub) let
Ancient Greek in with Greek and Classical Chinese in with Chinese.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from xlprompt.data.splits import SPLITS, Split
from xlprompt.data.tasks.kinds.tagging import TAGGING
from xlprompt.data.tasks.task_type import HubTable, Task, words

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


def _config(language: str) -> str:
    return hub_treebank(language) or language


def _splits(language: str) -> tuple[Split, ...]:
    return () if hub_treebank(language) is None else _HUB_SPLITS.get(language, SPLITS)


def _syntactic_words(row: dict[str, Any]) -> dict[str, Any] | None:
    """Leave out what is no word of its own: multiword ranges and empty nodes.

    The hub's rows were made from every line of the CoNLL-U files. Ranges and empty nodes have no head,
    which the conversion wrote as "None"; an empty node can have a proper tag, and a word can lack one ("_",
    as ranges have it), so the tag shows it only where there are no heads.
    """
    tokens, tags, heads = row["tokens"], row["upos"], row.get("head") or []
    if not tokens or len(tokens) != len(tags):
        return row
    kept = [
        (token, tag)
        for place, (token, tag) in enumerate(zip(tokens, tags, strict=True))
        if (str(heads[place]).isdigit() if len(heads) == len(tokens) else tag != "_")
    ]
    return {**row, "tokens": [token for token, _ in kept], "upos": [tag for _, tag in kept]} if kept else None


POS = Task(
    name="pos",
    kind=TAGGING,
    version=1,
    fields=("tokens", "tags"),
    labels=words("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"),
    label_words=words(
        "adjective preposition adverb auxiliary conjunction determiner interjection noun number particle "
        "pronoun name punctuation because symbol verb other"
    ),
    metrics=("accuracy", "f1"),
    languages=words(
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
    ),
    hub=HubTable(
        "universal-dependencies/universal_dependencies",
        columns=("tokens", "upos"),
        row_id="idx",
        more_languages=("ca",),
        config=_config,
        splits=_splits,
        row=_syntactic_words,
    ),
    no_label="_",
    symbols=("PUNCT", "SYM"),
)
