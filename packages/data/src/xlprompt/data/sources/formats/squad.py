"""SQuAD 1.1 and XQuAD as published: one JSON object a file, of articles, their paragraphs and questions.

- XQuAD: ``xquad.<language>.json``, test rows.
- SQuAD 1.1: ``train-v1.1.json`` and ``dev-v1.1.json``, English rows to train on and to choose by.

Left out: SQuAD 2.0, which asks what its paragraphs do not answer, and MLQA, another benchmark. A file is read
article by article, so that SQuAD's 30 MB are never in memory at once.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.sources.lines import open_binary
from xlprompt.data.sources.parts import Candidate, LeftOut, Part, Recognition, known_language
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.splits import Split
from xlprompt.data.tasks.task_type import Place
from xlprompt.data.tasks.xquad import XQUAD

_XQUAD = re.compile(r"xquad[.](?P<language>[A-Za-z_-]+)[.]json([.]gz)?")
_SQUAD = re.compile(r"(?P<split>train|dev)-v1[.]1[.]json([.]gz)?")
_SQUAD_2 = re.compile(r"(train|dev)-v2[.]0[.]json([.]gz)?")
_MLQA = re.compile(r"(dev|test)-context-[a-z]{2}-question-[a-z]{2}[.]json([.]gz)?")
_SPLITS: dict[str, Split] = {"train": "train", "dev": "validation"}
_FORM = re.compile(r'\s*\{\s*"(data|version)"\s*:')
_DATA = re.compile(r'\s*\{\s*(?:"version"\s*:\s*"[^"]*"\s*,\s*)?"data"\s*:\s*\[')
_BETWEEN = " \t\r\n,"
_BLOCK = 1 << 16
_LONGEST_ARTICLE = 16 << 20  # characters; the longest of SQuAD has 500,000
_AGAIN = "Get the file again."


def recognize(candidate: Candidate) -> Recognition:
    """Return the part that a file is, or None if it is not of this format.

    Raises:
        DataError: A file of this form whose name does not say what it is, or whose language is unknown.
    """
    path = candidate.path
    if _MLQA.fullmatch(path.name):
        return [LeftOut("MLQA, another benchmark than XQuAD")]
    if _SQUAD_2.fullmatch(path.name):
        return [LeftOut("SQuAD 2.0, which asks questions that have no answer")]
    match = _XQUAD.fullmatch(path.name)
    if match is not None:
        return [Part(XQUAD, known_language(match["language"], path), "test", "squad-json", (path,))]
    match = _SQUAD.fullmatch(path.name)
    if match is not None:
        return [Part(XQUAD, "en", _SPLITS[match["split"]], "squad-json", (path,))]
    head = "".join(candidate.head)
    if ".json" in path.suffixes and _FORM.match(head) and '"paragraphs"' in head:
        raise DataError(
            "SQuAD's form, but its name does not say language and split",
            file=path,
            fix="Name it as published: xquad.<language>.json, train-v1.1.json or dev-v1.1.json.",
        )
    return None


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's file question by question; in messages a question's number stands for its line."""
    (path,) = part.files
    position = -1
    try:
        for article in _articles(path):
            for record in _questions(article):
                position += 1
                place = Place(position, path, position + 1, record["id"])
                yield outcome(part.task, record, place)
    except (AttributeError, KeyError, TypeError) as error:
        yield DataError(
            f"not in SQuAD's form behind question {position + 1} ({type(error).__name__}: {error})",
            file=path,
            line=position + 2,
            fix=_AGAIN,
        )
    except DataError as problem:
        yield problem
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        yield DataError(f"cannot be read to its end ({error})", file=path, line=position + 2, fix=_AGAIN)


def _questions(article: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The task's fields of an article's questions."""
    for paragraph in article["paragraphs"]:
        for asked in paragraph["qas"]:
            yield {
                "id": None if asked.get("id") is None else str(asked["id"]),
                "context": paragraph["context"],
                "question": asked["question"],
                "answers": asked["answers"],
            }


def _articles(path: Path) -> Iterator[dict[str, Any]]:
    """Read the articles one by one, with no more of the file in memory than about two of them.

    Raises:
        DataError: The file is not an object with a list under "data", or an article is no JSON.
    """
    decoder = json.JSONDecoder()
    with open_binary(path) as binary, TextIOWrapper(binary, encoding="utf-8") as file:
        text = file.read(_BLOCK)
        found = _DATA.match(text)
        if found is None:
            raise DataError(
                'not in SQuAD\'s form: no list under "data" at its beginning', file=path, fix=_AGAIN
            )
        text = text[found.end() :]
        while not (text := text.lstrip(_BETWEEN)).startswith("]"):
            try:
                article, end = decoder.raw_decode(text)
            except (ValueError, RecursionError) as error:
                more = "" if len(text) > _LONGEST_ARTICLE else file.read(max(_BLOCK, len(text)))
                if not more:
                    raise DataError(f"invalid JSON, or cut off ({error})", file=path, fix=_AGAIN) from None
                text += more
            else:
                yield article
                text = text[end:]
