"""What a task is: one row of the task table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Short name, as in recipes, file names and Make targets.
        kind: "pair" (two texts, one label) or "tagging" (one label a word).
        labels: Label names; a label's number is its place here.
        metric: Main metric, "accuracy" or "entity_f1".
        languages: The benchmark's own languages. A source may hold more, or fewer.
        text_columns: Names of the text columns in the benchmark's JSON Lines and hub tables; for tagging, the
            column of words and that of tags.
        label_words: One word for each label, for heads that read the language model's vocabulary.
        version: Moves when a change here, or in how the task's files are read, could move a score.
        no_label: What publishers write where a row or word has no label; such a row is left out.
        untranslated: What they write for a text that was not translated; such a row is left out.
        symbols: Tags of what is no word: an underscore under another tag stands for a word that is withheld.
    """

    name: str
    kind: Literal["pair", "tagging"]
    labels: tuple[str, ...]
    metric: Literal["accuracy", "entity_f1"]
    languages: tuple[str, ...]
    text_columns: tuple[str, str]
    label_words: tuple[str, ...]
    version: int
    no_label: str = ""
    untranslated: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
