"""Files for the UD evaluator (`conll18_ud_eval.py`): gold and predicted parts of speech as CoNLL-U.

The evaluator aligns words by their letters and wants a tree of every sentence. We predict no trees: the first
word is the root and all others hang on it, in both files, so its UPOS figure is ours and no other means
anything. Ranges of multiword tokens are not kept, so the gold file is written here too and stands in the
place of the treebank's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xlprompt.data.errors import DataError
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

_ROOT, _ON_THE_FIRST = ("0", "root"), ("1", "dep")


def export(languages: Mapping[str, SavedPredictions], words: Words, task: Task, folder: Path) -> Exported:
    """Write `gold/<language>.<split>.conllu` and `system/<language>.<split>.conllu` for each language.

    Args:
        languages: Predictions by language, of a task whose tags are parts of speech.
        words: The sentences that they are of.
        task: The task, bundled or a user's own.
        folder: Where the files go.

    Raises:
        DataError: The task's tags are no parts of speech.
        ValueError: Words and tags do not match.
    """
    tagged_task(languages, task, "ud")
    if "NOUN" not in task.labels:
        raise DataError(
            f"format 'ud' holds universal parts of speech, and {task.name} has other tags",
            fix="Take a run of pos, or --format conll.",
        )
    kinds = ("gold", "system")
    for split in {each.split for each in languages.values()}:
        paths = [folder / kind / f"{language}.{split}.conllu" for kind in kinds for language in languages]
        require_none_left(paths, f"*.{split}.conllu")
    files = []
    for language, each in languages.items():
        for kind, answers in (("gold", each.gold), ("system", each.predicted)):
            tagged = zip(each.ids, words[language], named(task, answers), strict=True)
            text = "".join(_sentence(*sentence) for sentence in tagged)
            files.append(write(folder / kind / f"{language}.{each.split}.conllu", text))
    command = (
        f"python conll18_ud_eval.py -v {folder}/gold/LANGUAGE.SPLIT.conllu "
        f"{folder}/system/LANGUAGE.SPLIT.conllu"
    )
    return Exported(tuple(files), command, ("Of its figures only UPOS is about the run: trees are made up.",))


def _sentence(sentence_id: str, words: Sequence[str], tags: Sequence[str]) -> str:
    """A sentence's lines and the blank line that ends it; nothing for one without words."""
    rows = []
    for number, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
        head, relation = _ROOT if number == 1 else _ON_THE_FIRST
        rows.append(
            "\t".join((str(number), without_spaces(word), "_", tag, "_", "_", head, relation, "_", "_"))
        )
    if not rows:
        return ""
    return "\n".join((f"# sent_id = {' '.join(sentence_id.split())}", *rows, "", ""))
