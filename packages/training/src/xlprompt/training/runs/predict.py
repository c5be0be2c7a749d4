"""Labels for new text by a trained checkpoint, with the probability of every label.

Text is encoded and read as an evaluation reads a test set, so that a test set's own rows get the labels that
were scored. Nothing is written to the store.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from xlprompt.data import Task
from xlprompt.data import language as language_row
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.sources.unlabeled import unlabeled_dataset
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.whole_files import write_whole
from xlprompt.evaluation.answers.probabilities import answer_probabilities
from xlprompt.models import AffineMap, AlignmentKind, load_tokenizer
from xlprompt.training.alignment.files import kept_alignments, load_alignment
from xlprompt.training.alignment.moments import Alignment
from xlprompt.training.errors import CheckpointError, RunError
from xlprompt.training.inputs.preparation import (
    at_its_place,
    out_of_memory_explained,
    pad_id_of,
    require_known_ids,
)
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict, task_of
from xlprompt.training.runs.opened import open_device, restored_model
from xlprompt.training.store.checkpoint import Checkpoint


@dataclass(frozen=True)
class Answer:
    """What a model says of one example or word: the likeliest label, and every label's probability by name.

    Of a part of a text, that part, and its probability alone.
    """

    label: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """The likeliest label's, from 0 to 1."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class PredictedRow:
    """One text with its answers.

    Attributes:
        row: The text.
        answers: One for texts, one a word for a sentence.
        cut: Whether it was longer than the model was trained to read, and its surplus was left away.
    """

    row: Example
    answers: tuple[Answer, ...]
    cut: bool


@dataclass(frozen=True)
class Predicted:
    """The answers to all texts.

    Attributes:
        task: The task of the checkpoint.
        language: What the text was taken for.
        max_length: Most tokens of a row, beyond which text is cut.
        alignment: How hidden states were moved, in words; None where they were not.
        rows: In the order in which they were given.
    """

    task: Task
    language: str
    max_length: int
    alignment: str | None
    rows: tuple[PredictedRow, ...]


def predict(
    checkpoint: Checkpoint,
    rows: Sequence[Example],
    *,
    language: str | None = None,
    align: AlignmentKind = "none",
    device: str | None = None,
    model: str | None = None,
) -> Predicted:
    """Predict the labels of new text.

    Args:
        checkpoint: From `find_checkpoint` or `load_checkpoint`.
        rows: The text, from `xlprompt.data.sources.unlabeled`.
        language: Its language, which alignment and the spaces between words depend on; None for the one that
            the model was trained on.
        align: How hidden states are moved to those of the training language, by the moments beside the
            checkpoint.
        device: As in `train`.
        model: Where the backbone lies now, a folder or a hub id; None for where it lay in training.

    Raises:
        CheckpointError: There are no such moments of this language, or the backbone is another.
        ModelError: The backbone is not where it lay, or cannot be loaded.
        DataError: There is no such language.
        RunError: There is no such device, or memory ran out.
    """
    recipe = recipe_from_dict(dict(checkpoint.metadata.recipe), origin=str(checkpoint.directory))
    recipe = at_its_place(recipe, model)
    task = task_of(recipe)
    code = recipe.data.train_language if language is None else language_row(language).code
    alignment = None if align == "none" else _kept_alignment(checkpoint, recipe)
    move = None if alignment is None else _map(checkpoint, alignment, code, align, asked=language is not None)
    target = open_device(device)
    tokenizer = load_tokenizer(recipe.model)
    dataset = unlabeled_dataset(task, rows)
    encoded = _encode(recipe, tokenizer, dataset, code)
    built = restored_model(checkpoint, recipe, tokenizer, target)
    embedding_rows = built.backbone.vocab_size
    require_known_ids(encoded, tokenizer, embedding_rows, "the text to label")
    with out_of_memory_explained():
        probabilities = answer_probabilities(
            built,
            encoded,
            align=move,
            layer=None if alignment is None else alignment.layer,
            token_budget=recipe.evaluation.token_budget,
            pad_id=pad_id_of(tokenizer, embedding_rows),
            device=target,
        )
    cut = _cut_rows(recipe, tokenizer, dataset, code, encoded)
    return Predicted(
        task=task,
        language=code,
        max_length=recipe.encoding.max_length,
        alignment=None if alignment is None or move is None else _in_words(align, alignment),
        rows=tuple(
            PredictedRow(row, tuple(map(_likeliest, of_row)), number in cut)
            for number, (row, of_row) in enumerate(zip(rows, probabilities, strict=True))
        ),
    )


def as_record(task: Task, predicted: PredictedRow) -> dict[str, Any]:
    """A row as JSON holds it: a line of a data folder's file, with what the model says of it."""
    row, kind = predicted.row, task.kind
    by_label = [
        {name: round(value, 6) for name, value in answer.probabilities.items()}
        for answer in predicted.answers
    ]
    return {
        "id": row.id,
        **dict(
            zip(task.fields, (*row.texts, kind.to_json([a.label for a in predicted.answers])), strict=True)
        ),
        "probabilities": kind.to_json(by_label),
        "cut": predicted.cut,
    }


def write_predicted(path: Path, predicted: Predicted) -> None:
    """Write JSON Lines, gzipped where the name ends in `.gz`, whole or not at all.

    Raises:
        RunError: The file cannot be written.
    """
    lines = (json.dumps(as_record(predicted.task, row), ensure_ascii=False) for row in predicted.rows)
    content = "".join(f"{line}\n" for line in lines).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error}). Name another file with --out") from error


def _likeliest(probabilities: dict[str, float]) -> Answer:
    """The answer by the probabilities of all that are possible; of equal ones the first."""
    return Answer(max(probabilities, key=probabilities.__getitem__), probabilities)


def _encode(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, dataset: Dataset, code: str) -> Encoded:
    return encode(
        dataset, task_of(recipe), tokenizer, recipe.encoding, language=code, split="test", cache_dir=None
    )


def _cut_rows(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, dataset: Dataset, code: str, encoded: Encoded
) -> set[int]:
    """Which rows were cut: of those that are as long as a row may be, the ones that alone are cut, too."""
    if not encoded.truncated:
        return set()
    full = {int(each) for each in encoded.examples[encoded.lengths == recipe.encoding.max_length]}
    return {each for each in full if _encode(recipe, tokenizer, dataset.select([each]), code).truncated}


def _kept_alignment(checkpoint: Checkpoint, recipe: Recipe) -> Alignment:
    """The moments beside a checkpoint; of several those at the recipe's layer, and of most sentences."""
    kept = kept_alignments(checkpoint.directory)
    if kept:
        wanted = recipe.evaluation.alignment.layer
        layer, sentences = max(kept, key=lambda each: (each[0] == wanted, each[1]))
        found = load_alignment(checkpoint.directory, sentences, layer)
        if found is not None:
            return found
    raise CheckpointError(
        f"{checkpoint.directory}: no moments lie beside the checkpoint, and an alignment needs them. "
        "Make them first: xlprompt evaluate CHECKPOINT --align mean"
    )


def _map(
    checkpoint: Checkpoint, alignment: Alignment, code: str, kind: AlignmentKind, *, asked: bool
) -> AffineMap | None:
    """What moves the language's states; None for the training language's own."""
    move = alignment.maps(code, [kind])[kind]
    if move is None and code != alignment.train_language:
        known = ", ".join(sorted(alignment.moments)) or "no other language"
        raise CheckpointError(
            f"{checkpoint.directory}: the moments beside the checkpoint are of {known}, not of '{code}'. "
            "Make them from its unlabelled text: xlprompt evaluate CHECKPOINT --align "
            f"{kind} --languages {code}, with --data <folder> where that text lies elsewhere"
        )
    if move is None and not asked:
        raise CheckpointError(
            f"the text counts as '{code}', which the model was trained on, so there is nothing to align. "
            "Name its language, as in --language de"
        )
    return move


def _in_words(kind: AlignmentKind, alignment: Alignment) -> str:
    where = "at the head" if alignment.layer is None else f"at layer {alignment.layer}"
    return f"{kind} of up to {alignment.sentences} sentences, {where}"
