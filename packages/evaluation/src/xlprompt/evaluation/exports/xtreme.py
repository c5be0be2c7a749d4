"""Files for google-research/xtreme's `evaluate.py`: one folder a task, one file a language, in its layout.

XTREME publishes no labels of its test sets, so the gold answers that a run was scored with are written beside
the predictions; `evaluate.py` reads both. It wants every language of a task that it lists. Rows that our
source leaves out, such as pairs that were never translated, are in neither folder.

XCOPA is in XTREME-R alone. SIB-200 is in neither: there is no format for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.task_type import Task
from xlprompt.evaluation.answers.predictions import SavedPredictions
from xlprompt.evaluation.exports.exported import Exported, require_none_left, require_task, task_name, write

_SHOWN = 12


@dataclass(frozen=True)
class Layout:
    """How `evaluate.py` knows a task.

    Attributes:
        name: Its folder.
        suffix: Of its files.
        languages: Those that `evaluate.py` goes through, all of which have to be there.
        predicted: Text of a file of predictions.
        gold: Text of a file of labels.
        version: `--xtreme_version`.
    """

    name: str
    suffix: str
    languages: str
    predicted: Callable[[Task, SavedPredictions], str]
    gold: Callable[[Task, SavedPredictions], str]
    version: str = "xtreme"


def export(languages: Mapping[str, SavedPredictions], folder: Path) -> Exported:
    """Write `predictions/<task>/test-<language>.<suffix>` and the same under `labels`.

    Args:
        languages: Predictions by language.
        folder: Where the files go.

    Raises:
        DataError: XTREME does not have the task, its labels have changed since, or a question stands there
            twice.
    """
    name = task_name(languages)
    layout = LAYOUTS.get(name)
    if layout is None:
        raise DataError(
            f"XTREME has no format for {name}", fix=f"It has one for {', '.join(sorted(LAYOUTS))}."
        )
    task = BUNDLED[name]
    require_task(languages, task)
    texts = {
        folder / kind / layout.name / f"test-{language}.{layout.suffix}": (text_of, each)
        for kind, text_of in (("predictions", layout.predicted), ("labels", layout.gold))
        for language, each in languages.items()
    }
    require_none_left(texts, f"test-*.{layout.suffix}")
    files = [write(path, text_of(task, each)) for path, (text_of, each) in texts.items()]
    command = (
        f"python evaluate.py --prediction_folder {folder}/predictions --label_folder {folder}/labels "
        f"--output_file scores.json"
    ) + (f" --xtreme_version {layout.version}" if layout.version != "xtreme" else "")
    return Exported(tuple(files), command, tuple(_notes(layout, languages)))


def _notes(layout: Layout, languages: Mapping[str, SavedPredictions]) -> list[str]:
    """What `evaluate.py` will not read, or miss."""
    known = layout.languages.split()
    missing = [code for code in known if code not in languages]
    others = [code for code in languages if code not in known]
    notes = []
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        notes.append(
            f"evaluate.py stops at a language that is not there, and {len(missing)} of its {len(known)} are "
            f"not: {shown}. Score these too, or give it a list without them."
        )
    if others:
        notes.append(f"evaluate.py passes over {', '.join(others)}.")
    if any(each.split != "test" for each in languages.values()):
        notes.append("These are no test sets, though the files are named so.")
    return notes


def _labels(
    answers_of: Callable[[SavedPredictions], Sequence[Any]],
) -> Callable[[Task, SavedPredictions], str]:
    """One label a line, by the name that the publisher of the benchmark has for it."""

    def text(task: Task, each: SavedPredictions) -> str:
        published = {ours: theirs for theirs, ours in task.aliases if theirs.isdecimal()}
        names = [task.labels[index] for (index,) in answers_of(each)]
        return "".join(f"{published.get(name, name)}\n" for name in names)

    return text


def _tags(answers_of: Callable[[SavedPredictions], Sequence[Any]]) -> Callable[[Task, SavedPredictions], str]:
    """One tag a line and a blank line after each sentence."""

    def text(task: Task, each: SavedPredictions) -> str:
        return "".join(
            "".join(f"{task.labels[index]}\n" for index in sentence) + "\n" for sentence in answers_of(each)
        )

    return text


def _choices(
    answers_of: Callable[[SavedPredictions], Sequence[Any]],
) -> Callable[[Task, SavedPredictions], str]:
    """A JSON object a line, whose label is the number of the choice."""

    def text(task: Task, each: SavedPredictions) -> str:
        rows = (
            {"idx": one, "label": index} for one, (index,) in zip(each.ids, answers_of(each), strict=True)
        )
        return "".join(json.dumps(row) + "\n" for row in rows)

    return text


def _answers(task: Task, each: SavedPredictions) -> str:
    """One JSON object of the questions' ids and the texts that answer them, empty ones among them."""
    _require_different_ids(each)
    return _json({one: text for one, (text,) in zip(each.ids, each.predicted, strict=True)})


def _right_answers(task: Task, each: SavedPredictions) -> str:
    """SQuAD's form without its paragraphs: of each question what is right."""
    _require_different_ids(each)
    questions = [
        {"id": one, "answers": [{"text": text} for text in texts]}
        for one, texts in zip(each.ids, each.gold, strict=True)
    ]
    return _json({"version": "1.1", "data": [{"paragraphs": [{"qas": questions}]}]})


def _require_different_ids(each: SavedPredictions) -> None:
    if len(set(each.ids)) < len(each.ids):
        twice = next(one for one in each.ids if each.ids.count(one) > 1)
        raise DataError(
            f"{each.task} {each.language}: the question id {twice!r} stands there twice, and XTREME's file "
            "has one answer for each id",
            fix="Give the rows ids that differ and evaluate again.",
        )


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _gold(each: SavedPredictions) -> Sequence[Any]:
    return each.gold


def _predicted(each: SavedPredictions) -> Sequence[Any]:
    return each.predicted


# Folder, suffix and languages as evaluate.py of google-research/xtreme has them at commit 838c13b.
LAYOUTS: Mapping[str, Layout] = {
    "xnli": Layout(
        "xnli",
        "tsv",
        "ar bg de el en es fr hi ru sw th tr ur vi zh",
        _labels(_predicted),
        _labels(_gold),
    ),
    "pawsx": Layout("pawsx", "tsv", "de en es fr ja ko zh", _labels(_predicted), _labels(_gold)),
    "ner": Layout(
        "panx",
        "tsv",
        "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo "
        "my zh kk tr et fi hu",
        _tags(_predicted),
        _tags(_gold),
    ),
    "pos": Layout(
        "udpos",
        "tsv",
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
        _tags(_predicted),
        _tags(_gold),
    ),
    "xquad": Layout("xquad", "json", "en es de el ru tr ar vi th zh hi", _answers, _right_answers),
    "xcopa": Layout(
        "xcopa",
        "jsonl",
        "et ht id it qu sw ta th tr vi zh",
        _choices(_predicted),
        _choices(_gold),
        version="xtreme-r",
    ),
}
