"""A first folder for a task of one's own: a commented `task.yaml` and three languages of small CSV files.

It trains as it is. The sentences are made of a few patterns and words, and measure nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.sources import NAMED
from xlprompt.data.sources.own.task_file import TASK_FILE
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import name_problem
from xlprompt.data.whole_files import write_whole

# By label and language, patterns and the words that go into each of them; languages are parallel.
_PATTERNS = {
    "food": {
        "en": "For dinner there is {}.|My favorite food is {}.|On the plate there is {}.|The shop has {}.",
        "de": "Am Abend gibt es {}.|Mein Lieblingsessen ist {}.|Auf dem Teller ist {}.|Im Laden ist {}.",
        "pl": "Na kolację jest {}.|Moje ulubione danie to {}.|Na talerzu jest {}.|W sklepie znowu jest {}.",
    },
    "sport": {
        "en": "Tonight they show {}.|My favorite sport is {}.|The club has {}.|A first sport: {}.",
        "de": "Heute zeigen sie {}.|Mein Lieblingssport ist {}.|Der Verein hat {}.|Erster Sport: {}.",
        "pl": "W telewizji jest {}.|Mój ulubiony sport to {}.|W klubie jest {}.|Pierwszy sport: {}.",
    },
    "weather": {
        "en": "Tomorrow there will be {}.|In the north there is {}.|Then {} comes again.|On the coast: {}.",
        "de": "Morgen gibt es {}.|Im Norden gibt es {}.|Dann kommt wieder {}.|An der Küste: {}.",
        "pl": "Jutro będzie {}.|Na północy jest {}.|Potem znowu będzie {}.|Na wybrzeżu: {}.",
    },
}
_WORDS = {
    "food": {
        "en": "soup|fish|bread|cheese|rice|pasta|salad|meat",
        "de": "Suppe|Fisch|Brot|Käse|Reis|Pasta|Salat|Fleisch",
        "pl": "zupa|ryba|chleb|ser|ryż|makaron|sałatka|mięso",
    },
    "sport": {
        "en": "football|tennis|hockey|basketball|volleyball|boxing|rowing|judo",
        "de": "Fußball|Tennis|Hockey|Basketball|Volleyball|Boxen|Rudern|Judo",
        "pl": "piłka nożna|tenis|hokej|koszykówka|siatkówka|boks|wioślarstwo|judo",
    },
    "weather": {
        "en": "rain|snow|wind|sun|fog|thunder|hail|frost",
        "de": "Regen|Schnee|Wind|Sonne|Nebel|Gewitter|Hagel|Frost",
        "pl": "deszcz|śnieg|wiatr|słońce|mgła|burza|grad|mróz",
    },
}
_FILES = ("en.train", "en.dev", "en.test", "de.test", "pl.test")
_SPLITS = ("train", "train", "dev", "test")  # of each pattern's words in turn

_TASK = """\
# What this folder is, as a task. Everything may be left out: it is then found out from the files, which are
# <language>.<train, dev or test>.csv here. They may also be .tsv, .jsonl, .parquet or words in columns, in
# folders named after languages. Without a development set one training row in ten of a label is kept.
#
# xlprompt data check {folder}
# xlprompt train experiments/mini/own-prompt.yaml --data {folder}

name: "{name}" # in the store and in reports; not the name of a bundled task
kind: classification # one to four texts with a label; or tagging (a tag a word), choice, span
texts: [text] # columns with the texts, at most four; of tagging the one with the words
label: label # column with the answer
labels: [food, sport, weather] # in the order of their numbers; left out, those of the training files

# metrics: [accuracy] # the first judges; of tagging f1, precision, recall and accuracy
# language: pl # of files whose names do not say it; or a column 'language'
# label_words: [food, sport, weather] # for head.kind=verbalizer: a word of the model's vocabulary each
# version: 1 # raise it where a change could move a score
"""


def write_example(folder: Path) -> tuple[Path, ...]:
    """Write the files into a folder, which is made; returns them.

    Raises:
        DataError: The folder's name is that of a source, there is something in it, or it cannot be written.
    """
    if folder.as_posix() in NAMED:
        raise DataError(
            f"{folder.as_posix()!r} is the name of a source, and --data {folder.as_posix()} would mean that",
            file=folder,
            fix="Name another folder.",
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError("there is something here already", file=folder, fix="Name a new folder.")
        name = re.sub(r"[^\w.-]+", "-", folder.absolute().name).strip("-.")
        if problem := name_problem(name, BUNDLED):
            raise DataError(f"the folder's name {problem}", file=folder, fix="Name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        texts = {f"{file}.csv": _table(*file.split(".")) for file in _FILES}
        texts[TASK_FILE] = _TASK.format(folder=folder.as_posix(), name=name)
        for file, text in texts.items():
            write_whole(folder / file, text.encode())
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror})", file=folder, fix="Name another folder."
        ) from error
    return tuple(folder / file for file in texts)


def _table(language: str, split: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("text", "label"))
    rows.writerows(_rows(language, split))
    return text.getvalue()


def _rows(language: str, split: str) -> Iterator[tuple[str, str]]:
    for label in _PATTERNS:
        for first, pattern in enumerate(_PATTERNS[label][language].split("|")):
            for place, word in enumerate(_WORDS[label][language].split("|")):
                if _SPLITS[(first + place) % len(_SPLITS)] == split:
                    yield pattern.format(word), label
