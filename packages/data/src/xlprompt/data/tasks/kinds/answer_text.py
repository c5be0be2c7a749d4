"""How a predicted answer text is compared with the accepted ones: exact match and token F1.

Two published scripts say which differences between texts do not count; each is a set of rules here, quirks
included, so that on the same predictions the values are the scripts' own to the last digit.

- `squad`: SQuAD v1.1's script (Rajpurkar et al., 2016), with which XQuAD (Artetxe et al., 2020) and XTREME
  score (google-research/xtreme, third_party/evaluate_squad.py). It knows English alone and judges every
  language by it: it removes ASCII punctuation and "a", "an", "the", and splits at spaces. Published figures
  of XQuAD are by these rules.
- `mlqa`: MLQA's script (Lewis et al., 2020; facebookresearch/MLQA, mlqa_evaluation_v1.py). It removes
  punctuation of any script and each language's own articles, and counts each Chinese character as a token.
  It covers ar, de, en, es, hi, vi and zh.

What MLQA's script does not cover is this project's own extension of it. Other languages lose punctuation
but no articles, since no list of theirs is published. Of Japanese and Thai, which have no spaces either,
each character (code point) of the language's script is a token.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

Rules = Literal["mlqa", "squad"]
"""The published rules to compare by."""


def _words(listed: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(listed.split())})\b")


_ENGLISH_ARTICLES = _words("a an the")

_ARTICLES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "en": _ENGLISH_ARTICLES,
        "es": _words("un una unos unas el la los las"),
        "vi": _words("của là cái chiếc những"),
        "de": _words("ein eine einen einem eines einer der die das den dem des"),
        # The script's expression has another branch, which can never match (the text's start after a letter).
        # What remains is the article's two letters wherever they stand, inside a word too.
        "ar": re.compile("ال"),
    }
)

_HAN = "\u4e00-\u9fa5"  # MLQA's own range
_CHARACTERS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "zh": re.compile(f"[{_HAN}]"),
        "ja": re.compile(f"[{_HAN}\u3005\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]"),  # with kana
        "th": re.compile("[\u0e00-\u0e7f]"),
    }
)
"""By language without spaces, the characters that are tokens by themselves."""


def normalized(text: str, language: str, rules: Rules = "mlqa") -> str:
    """Return what of an answer counts: its tokens, a space between two.

    Args:
        text: An answer.
        language: Code of its language.
        rules: Whose rules.
    """
    text = text.lower()
    if rules == "squad":
        text = "".join(one for one in text if one not in string.punctuation)
        return " ".join(_ENGLISH_ARTICLES.sub(" ", text).split())
    text = "".join(one for one in text if not _is_punctuation(one))
    if language in _ARTICLES:
        text = _ARTICLES[language].sub(" ", text)
    if language in _CHARACTERS:
        text = _CHARACTERS[language].sub(r" \g<0> ", text)
    return " ".join(text.split())


def exact_match(predicted: str, gold_texts: Sequence[str], language: str, rules: Rules = "mlqa") -> int:
    """Return 1 where the predicted answer is an accepted one, else 0.

    Args:
        predicted: The predicted answer.
        gold_texts: The accepted ones, at least one.
        language: Code of their language.
        rules: Whose rules.
    """
    answer = normalized(predicted, language, rules)
    return max(int(answer == normalized(gold, language, rules)) for gold in gold_texts)


def token_f1(predicted: str, gold_texts: Sequence[str], language: str, rules: Rules = "mlqa") -> float:
    """Return the F1 of the predicted answer's tokens with those of the accepted one that it is closest to.

    An answer of which nothing counts, such as "the", has an F1 of 0 with every text, itself included.

    Args:
        predicted: The predicted answer.
        gold_texts: The accepted ones, at least one.
        language: Code of their language.
        rules: Whose rules.
    """
    answer = normalized(predicted, language, rules).split()
    return max(_f1s(answer, (normalized(gold, language, rules).split() for gold in gold_texts)))


def _f1s(answer: Sequence[str], golds: Iterator[Sequence[str]]) -> Iterator[float]:
    for gold in golds:
        common = (Counter(answer) & Counter(gold)).total()
        if common == 0:
            yield 0.0
            continue
        # Written as the scripts do: 2 * common / (both lengths) differs from it in the last digit.
        precision, recall = common / len(answer), common / len(gold)
        yield (2 * precision * recall) / (precision + recall)


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
