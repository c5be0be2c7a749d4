"""A trained model in memory that labels new text, with the probability of every label.

Text is encoded and read as an evaluation reads a test set, so that a test set's own rows get the labels that
were scored. Nothing is written to the store. What is loaded once and what belongs to one training run stand
apart: on one `LoadedBackbone` there can be many predictors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from xlprompt.data import DataError, Task
from xlprompt.data import language as language_row
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.languages import code_of
from xlprompt.data.sources.unlabeled import given_rows, unlabeled_dataset
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.evaluation.answers.probabilities import answer_probabilities
from xlprompt.models import (
    ALIGNMENT_KINDS,
    AffineMap,
    AlignmentKind,
    Backbone,
    TaskModel,
    load_backbone,
    load_tokenizer,
)
from xlprompt.training.alignment.files import kept_alignments, load_alignment
from xlprompt.training.alignment.moments import Alignment
from xlprompt.training.errors import CheckpointError, RunError
from xlprompt.training.inputs.checks import at_its_place
from xlprompt.training.inputs.preparation import pad_id_of, require_known_ids
from xlprompt.training.machine.out_of_memory import LOADING, out_of_memory_explained
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict, task_of
from xlprompt.training.runs.predictions import Answer, Predicted, Prediction
from xlprompt.training.runs.restored import open_device, restored_model
from xlprompt.training.store.checkpoint import Checkpoint


@dataclass(frozen=True)
class LoadedBackbone:
    """A backbone that is loaded once, and that several predictors can stand on.

    Attributes:
        backbone: The decoder, frozen.
        tokenizer: Its own.
        precision: What its weights are held in, as a recipe says it.
        device: Where they are.
    """

    backbone: Backbone
    tokenizer: PreTrainedTokenizerFast
    precision: str
    device: torch.device

    def carries(self, checkpoint: Checkpoint) -> bool:
        """Whether what a checkpoint holds can stand on it beside others, as prompts and heads do."""
        return (
            stands_beside_others(checkpoint)
            and _recipe_of(checkpoint).precision == self.precision
            and checkpoint.metadata.backbone_fingerprint == self.backbone.fingerprint
        )


@dataclass(frozen=True)
class Question:
    """Rows of one language, read for one predictor and not yet answered."""

    rows: tuple[Example, ...]
    language: str
    dataset: Dataset
    encoded: Encoded


@dataclass(frozen=True)
class Predictor:
    """A checkpoint on its backbone, in memory, that labels text; see `open_predictor`.

    Attributes:
        checkpoint: What was trained.
        recipe: By which recipe, its backbone where it lies now.
        model: Backbone, prompts or adapters, and head, on the device, in evaluation mode.
        tokenizer: The backbone's.
        device: Where it computes.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    model: TaskModel
    tokenizer: PreTrainedTokenizerFast
    device: torch.device

    @property
    def task(self) -> Task:
        """What it was trained for."""
        return task_of(self.recipe)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it gives; none where answers are parts of a text."""
        return self.task.labels

    @property
    def pad_id(self) -> int:
        """The id that fills up shorter rows."""
        return pad_id_of(self.tokenizer, self.model.backbone.vocab_size)

    def __repr__(self) -> str:
        """The task, method and model, which is what tells predictors apart."""
        recipe = self.recipe
        return f"Predictor(task={recipe.task!r}, method={recipe.method!r}, model={recipe.model!r})"

    def predict(
        self,
        texts: Iterable[str | Sequence[str] | Mapping[str, Any]],
        *,
        language: str | None = None,
        align: AlignmentKind | None = "none",
    ) -> list[Prediction]:
        """Predict the labels of new text.

        Args:
            texts: A list of examples. One is a string where the task takes one text, and a tuple of its texts
                in their order (premise and hypothesis) or a dictionary by the fields' names where it takes
                several. A sentence to tag is a string, with spaces between its words, or a list of words.
            language: Their language, which alignment and the spaces between words depend on; None for the one
                that each dictionary or row of a frame tells as `language`, or else the one trained on.
            align: How hidden states are moved to those of the training language, by the moments beside the
                checkpoint, of which those of most sentences count; None for none.

        Returns:
            One prediction an example, in their order, with `label`, `probability` and `probabilities`.
            `pandas.DataFrame([each.to_dict() for each in predictions])` makes a table of them.

        Raises:
            DataError: An example is not as the task has it, or there is no such language.
            CheckpointError: There are no moments of this language.
            RunError: There is no such alignment, or memory ran out.
        """
        rows = given_rows(self.task, texts)
        return list(self.answer(rows, language=language, align=align).rows) if rows else []

    def answer(
        self, rows: Sequence[Example], *, language: str | None = None, align: AlignmentKind | None = "none"
    ) -> Predicted:
        """The same of rows that are read already, from `xlprompt.data.sources.unlabeled`; at least one."""
        align = "none" if align is None else align
        if align not in ALIGNMENT_KINDS:
            raise RunError(f"align is {align!r}, and has to be one of {', '.join(ALIGNMENT_KINDS)}")
        alignment = None if align == "none" else _kept_alignment(self.checkpoint, self.recipe)
        languages = self.languages(rows, language)
        asked = language is not None or any(row.language for row in rows)
        moves = {
            code: None if alignment is None else _map(self.checkpoint, alignment, code, align, asked=asked)
            for code in languages
        }
        answers: dict[int, Prediction] = {}
        for code, places in languages.items():
            question = self.question([rows[place] for place in places], code)
            with out_of_memory_explained():
                probabilities = answer_probabilities(
                    self.model,
                    question.encoded,
                    align=moves[code],
                    layer=None if alignment is None else alignment.layer,
                    token_budget=self.recipe.evaluation.token_budget,
                    pad_id=self.pad_id,
                    device=self.device,
                )
            answers.update(zip(places, self.predictions(question, probabilities), strict=True))
        return Predicted(
            task=self.task,
            language=", ".join(languages),
            max_length=self.recipe.encoding.max_length,
            alignment=_in_words(align, alignment) if alignment and any(moves.values()) else None,
            rows=tuple(answers[place] for place in range(len(rows))),
        )

    def languages(self, rows: Sequence[Example], language: str | None) -> dict[str, list[int]]:
        """The places of rows by language: the one that a row tells, or else this or the one trained on.

        Raises:
            DataError: There is no such language; or a row tells another or, where none is given, no language.
        """
        default = self.recipe.data.train_language
        if language is not None:
            default = language_row(code_of(language) or language).code
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            told = code_of(row.language or "")
            if language is None and row.language and told is None:
                raise DataError(
                    f"unknown language {row.language[:40]!r} of the text with the id {row.id}",
                    fix="Give its ISO 639 code, such as pl, or leave that column out, or name the language "
                    "of all: --language, or language= in Python.",
                )
            if language is not None and told not in (None, default):
                raise DataError(
                    f"the text with the id {row.id} tells its language, {told}, and {default} is "
                    "given for all",
                    fix="Leave the one that is given out, or the column.",
                )
            places.setdefault(told or default, []).append(place)
        return places

    def question(self, rows: Sequence[Example], language: str) -> Question:
        """Rows, at least one, as the model reads them; those that tell a language are of this one.

        Raises:
            RunError: A text has a token that the backbone does not know.
        """
        dataset = unlabeled_dataset(self.task, rows)
        rows = [row._replace(language=language if row.language else None) for row in rows]
        return Question(tuple(rows), language, dataset, self.encode(dataset, language))

    def predictions(
        self, question: Question, probabilities: Sequence[Sequence[dict[str, float]]]
    ) -> tuple[Prediction, ...]:
        """Answers of a question's rows, by what `answer_probabilities` gives of them."""
        cut = self._cut_rows(question.dataset, question.language, question.encoded)
        return tuple(
            Prediction(self.task, row, tuple(map(_likeliest, of_row)), number in cut)
            for number, (row, of_row) in enumerate(zip(question.rows, probabilities, strict=True))
        )

    def encode(self, dataset: Dataset, language: str) -> Encoded:
        """Rows as the model reads them.

        Raises:
            RunError: A text has a token that the backbone does not know.
        """
        encoded = encode(
            dataset,
            self.task,
            self.tokenizer,
            self.recipe.encoding,
            language=language,
            split="test",
            hashed=False,
        )
        require_known_ids(encoded, self.tokenizer, self.model.backbone.vocab_size, "the text to label")
        return encoded

    def _cut_rows(self, dataset: Dataset, code: str, encoded: Encoded) -> set[int]:
        """Which rows were cut: the ones that alone are cut, too.

        Where an example is one row, only those as long as a row may be are asked. A question is cut to half
        of that, however short its context is.
        """
        if not encoded.truncated:
            return set()
        whole = encoded.lengths == self.recipe.encoding.max_length
        asked = range(len(dataset)) if self.task.kind.compares_readouts else set(encoded.examples[whole])
        return {int(each) for each in asked if self.encode(dataset.select([each]), code).truncated}


def stands_beside_others(checkpoint: Checkpoint) -> bool:
    """Whether it leaves the backbone as it is, so that other models can stand on it, too."""
    return not _recipe_of(checkpoint).method_settings.changes_backbone


@out_of_memory_explained(LOADING)
def load_for_many(
    checkpoint: Checkpoint, *, device: str | None = None, model: str | None = None
) -> LoadedBackbone:
    """The backbone of a checkpoint, for it and others; arguments and errors as of `open_predictor`."""
    recipe, target = at_its_place(_recipe_of(checkpoint), model), open_device(device)
    backbone = load_backbone(recipe.model, dtype=recipe.precision, device=target)
    return LoadedBackbone(backbone, load_tokenizer(recipe.model), recipe.precision, target)


def open_predictor(
    checkpoint: Checkpoint,
    *,
    device: str | None = None,
    model: str | None = None,
    on: LoadedBackbone | None = None,
) -> Predictor:
    """Load what a checkpoint belongs to, and put its weights in.

    Args:
        checkpoint: From `find_checkpoint` or `load_checkpoint`.
        device: As in `train`.
        model: Where the backbone lies now, a folder or a hub id; None for where it lay in training.
        on: A backbone that is loaded already and carries the checkpoint; the device is its device.

    Raises:
        CheckpointError: The backbone is another, or cannot carry this checkpoint beside others.
        ModelError: The backbone is not where it lay, or cannot be loaded.
        RunError: There is no such device.
    """
    recipe = _recipe_of(checkpoint)
    if on is None:
        recipe, target = at_its_place(recipe, model), open_device(device)
        tokenizer, backbone = load_tokenizer(recipe.model), None
    elif on.carries(checkpoint):
        tokenizer, backbone, target = on.tokenizer, on.backbone, on.device
    else:
        raise CheckpointError(
            f"{checkpoint.directory}: cannot stand on {on.backbone.name} in {on.precision} beside others. "
            "Only prompts and heads of this very backbone, in this precision, can: load it by itself"
        )
    task_model = restored_model(checkpoint, recipe, tokenizer, target, backbone).eval()
    return Predictor(checkpoint, recipe, task_model.requires_grad_(False), tokenizer, target)


def predict(
    checkpoint: Checkpoint,
    rows: Sequence[Example],
    *,
    language: str | None = None,
    align: AlignmentKind = "none",
    device: str | None = None,
    model: str | None = None,
) -> Predicted:
    """Predict once; see `open_predictor` and `Predictor.answer` for arguments and errors."""
    return open_predictor(checkpoint, device=device, model=model).answer(rows, language=language, align=align)


def _recipe_of(checkpoint: Checkpoint) -> Recipe:
    return recipe_from_dict(dict(checkpoint.metadata.recipe), origin=str(checkpoint.directory))


def _likeliest(probabilities: dict[str, float]) -> Answer:
    """The answer by the probabilities of all that are possible; of equal ones the first."""
    return Answer(max(probabilities, key=probabilities.__getitem__), probabilities)


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
        "Make them first: xlprompt evaluate RUN --align mean, with --mlruns as here"
    )


def _map(
    checkpoint: Checkpoint, alignment: Alignment, code: str, kind: AlignmentKind, *, asked: bool
) -> AffineMap | None:
    """What moves the language's states; None for the training language's own."""
    move = alignment.maps(code, [kind], alignment.moments)[kind]  # all that is kept
    if move is None and code != alignment.train_language:
        known = ", ".join(sorted(alignment.moments)) or "no other language"
        raise CheckpointError(
            f"{checkpoint.directory}: the moments beside the checkpoint are of {known}, not of '{code}'. "
            f"Make them: xlprompt evaluate RUN --align {kind} --languages {code}, with --data "
            f"<folder> where its text lies elsewhere. That reads a development set of '{code}', which needs "
            "no labels, and scores a test set, which does"
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
