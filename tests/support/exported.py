"""Small predictions of every task for the evaluators' formats, the same on every machine.

`python tests/support/exported.py FOLDER` writes them in all formats, for the public evaluators to be run on.
"""

import random
import sys
from pathlib import Path

from xlprompt.data.tasks import TASKS
from xlprompt.evaluation import SavedPredictions
from xlprompt.evaluation.exports import conll, ud, xtreme

TAGGERS = ("en", "vi")
_WORDS = ("Anna", "went", "to", "Hà Nội", "-X-", "10\u00a0000", "\u3000", ".", "#", "O", "東京")
_TEXTS = ("the Broncos", "Broncos", "308", "in 1998", "", "La Liga.", "a red, red car", "Нью-Йорк", "北京市")


def _draw(*names: str) -> random.Random:
    return random.Random(" ".join(names))


def _saved(task_name: str, language: str, answers: tuple[list, list]) -> SavedPredictions:
    task, (gold, predicted) = TASKS[task_name], answers
    ids = [f"{language}-{number}" for number in range(len(gold))]
    header = (task.name, task.version, task.kind.name, language, "test", task.labels)
    return SavedPredictions(*header, ids, gold, predicted)


def labelled(task: str, language: str) -> SavedPredictions:
    """Nine texts with labels; two of three answers are right."""
    draw, labels = _draw(task, language), range(len(TASKS[task].labels))
    gold = [[draw.choice(labels)] for _ in range(9)]
    return _saved(task, language, (gold, [each if draw.random() < 2 / 3 else [0] for each in gold]))


def tagged(task: str, language: str) -> SavedPredictions:
    """Twelve sentences of 1 to 7 words; four of five tags are right, and I- may begin an entity."""
    draw, labels = _draw(task, language), range(len(TASKS[task].labels))
    gold = [[draw.choice(labels) for _ in range(draw.randint(1, 7))] for _ in range(12)]
    predicted = [[tag if draw.random() < 0.8 else draw.choice(labels) for tag in each] for each in gold]
    return _saved(task, language, (gold, predicted))


def words_of(predictions: SavedPredictions) -> list[list[str]]:
    """Sentences to go with tags, of words that are awkward in columns."""
    draw = _draw("words", predictions.language)
    return [[draw.choice(_WORDS) for _ in each] for each in predictions.gold]


def answered(language: str) -> SavedPredictions:
    """Ten questions with one or two right texts; an answer may be empty, or a part of a right one."""
    draw = _draw("answers", language)
    gold = [[draw.choice(_TEXTS[:4]), draw.choice(_TEXTS[5:])][: draw.randint(1, 2)] for _ in range(10)]
    answers = [[draw.choice((*each, draw.choice(_TEXTS), each[0] + " too"))] for each in gold]
    return _saved("xquad", language, (gold, answers))


def of_task(task: str, languages: list[str]) -> dict[str, SavedPredictions]:
    """Predictions of a task by language."""
    kind = TASKS[task].kind
    if kind.by_word:
        return {code: tagged(task, code) for code in languages}
    if not kind.labeled:
        return {code: answered(code) for code in languages}
    return {code: labelled(task, code) for code in languages}


XTREME = {name: layout.languages.split() for name, layout in xtreme.LAYOUTS.items()}


def main(folder: Path) -> None:
    """Write all."""
    for task, languages in XTREME.items():
        print(xtreme.export(of_task(task, languages), folder / "xtreme").command)
    for task in ("ner", "pos"):
        made = of_task(task, TAGGERS)
        words = {code: words_of(each) for code, each in made.items()}
        print(conll.export(made, words, TASKS[task], folder / "conll" / task).command)
    print(ud.export(made, words, TASKS["pos"], folder / "ud").command)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
