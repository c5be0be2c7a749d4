"""Files for conlleval, the scorer of CoNLL-2000 to 2003: a word a line with its gold and predicted tag.

The columns are divided by one space, which is conlleval's own delimiter, and a blank line ends a sentence.
Tags of NER are read as chunks; those of POS are no chunks, and conlleval takes them with `-r`, where its
accuracy is over words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xlprompt.data.tasks.task_type import Task
from xlprompt.evaluation.answers.predictions import SavedPredictions
from xlprompt.evaluation.exports.exported import (
    Exported,
    Words,
    named,
    require_none_left,
    tagged_task,
    without_spaces,
    write,
)

_BOUNDARY = "-X-"  # conlleval takes a line with this word for a blank one
_NO_BOUNDARY = "_X_"
_CHUNKED = "O"


def export(languages: Mapping[str, SavedPredictions], words: Words, task: Task, folder: Path) -> Exported:
    """Write `<language>.<split>.txt` for each language.

    Args:
        languages: Predictions by language, of a task with tags.
        words: The sentences that they are of.
        task: The task, bundled or a user's own.
        folder: Where the files go.

    Raises:
        DataError: The task has no tags, or is another than the predictions'.
        ValueError: Words and tags do not match.
    """
    tagged_task(languages, task, "conll")
    paths = {language: folder / f"{language}.{each.split}.txt" for language, each in languages.items()}
    for split in {each.split for each in languages.values()}:
        require_none_left(paths.values(), f"*.{split}.txt")
    files = []
    for language, each in languages.items():
        columns = zip(words[language], named(task, each.gold), named(task, each.predicted), strict=True)
        blocks = [
            "".join(f"{_column(word)} {right} {tag}\n" for word, right, tag in zip(*sentence, strict=True))
            for sentence in columns
        ]
        files.append(write(paths[language], "".join(f"{block}\n" for block in blocks)))
    raw = () if _CHUNKED in task.labels else ("-r",)
    command = " ".join(("conlleval", *raw, "<", str(folder / "LANGUAGE.SPLIT.txt")))
    notes = ("With -r its accuracy is ours; its F1 takes every word for a chunk.",) if raw else ()
    return Exported(tuple(files), command, notes)


def _column(word: str) -> str:
    word = without_spaces(word)
    return _NO_BOUNDARY if word == _BOUNDARY else word
