"""An adapter that PEFT has trained becomes a run with a checkpoint, scored as any other.

Before anything is written, hidden states are compared with those of PEFT's own model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from xlprompt.data import Task
from xlprompt.evaluation import main_metric
from xlprompt.evaluation.answers.inference import predict
from xlprompt.evaluation.processes import Processes
from xlprompt.evaluation.scores.metrics import has_main_metric, main_value
from xlprompt.models import Method, TaskModel, examine, load_tokenizer
from xlprompt.models.peft_folders.applied import (
    plain_base,
    probe_rows,
    require_equal,
    states_here,
    states_of_peft,
    text_in_sight,
)
from xlprompt.models.peft_folders.reading import PeftFolder, read_peft_folder
from xlprompt.models.peft_folders.taken_over import TakenOver, take_over
from xlprompt.training.errors import CheckpointError, RunError
from xlprompt.training.exchange.head_files import read_head
from xlprompt.training.exchange.imported_recipe import imported_recipe
from xlprompt.training.inputs.chosen_data import languages_to_score, open_data
from xlprompt.training.inputs.preparation import Setup, build_model, load_split
from xlprompt.training.machine.environment import read_environment
from xlprompt.training.recipes.recipe import Recipe, recipe_to_dict, task_of
from xlprompt.training.runs.opened import Run
from xlprompt.training.runs.restored import open_device
from xlprompt.training.runs.scoring import Scores, score_languages
from xlprompt.training.store.checkpoint import CheckpointMetadata, save_checkpoint
from xlprompt.training.store.labels import run_name, run_params, run_tags
from xlprompt.training.store.metric_names import best_score
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.pyfunc_files import MODEL_NAME, write_pyfunc_files
from xlprompt.training.store.recipe_file import log_recipe
from xlprompt.training.store.tracker import StoredModel, Tracker, true_end_state

ORIGIN_TAG, ORIGIN = "origin", "peft"
_CPU = torch.device("cpu")
_CLASSIFIERS = ("SEQ_CLS", "TOKEN_CLS")  # PEFT's names of what has a head of its own
_PADDING = (
    "PEFT reads a classifier behind a soft prompt at the last column of a batch, which is padding in shorter "
    "rows; here it is read at a row's last token. Scores can differ from those of padded batches."
)


@dataclass(frozen=True)
class Imported:
    """What an import leaves behind.

    Attributes:
        run_id: The MLflow run.
        run_name: Its name.
        checkpoint: Folder of the checkpoint, inside the store.
        recipe: What is known of the training.
        difference: Largest difference of hidden states between PEFT's model and this one, in float32.
        notes: What has to be known of it, in sentences.
        scores: Test scores by language; None where no data were given.
    """

    run_id: str
    run_name: str
    checkpoint: Path
    recipe: Recipe
    difference: float
    notes: tuple[str, ...]
    scores: Scores | None


def import_from_peft(
    folder: Path,
    *,
    store: Path,
    console: Console,
    recipe_paths: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
    model: str | None = None,
    device: str | None = None,
) -> Imported:
    """Make a run of an adapter's folder; with data, score it on every test language.

    Args:
        folder: What PEFT's `save_pretrained` wrote, or `export_to_peft`.
        store: Folder of the MLflow store.
        console: Where progress and the score table go.
        recipe_paths: Recipe files that say what the adapter does not.
        overrides: Values of the recipe by dotted key, such as `task` and `data.source`.
        labels: The classifier's labels in its own order; the task's order where none are given.
        model: The backbone, a folder or a hub id; None for the one that the adapter names.
        device: As in `train`.

    Raises:
        ModelError: The adapter can't be read, has no counterpart here, or is another backbone's.
        RecipeError: The task is not known, or a value is wrong.
        RunError: No backbone is named; the head does not fit the task; the data lack a language.
        CheckpointError: The head's file is damaged.
    """
    if isinstance(labels, str):
        labels = (labels,)
    found, own = read_peft_folder(folder), read_head(folder)
    about, head = own if own is not None else (None, _classifier(found))
    name = model or (str(about.recipe["model"]) if about else None) or found.base
    if not name:
        raise RunError(f"{folder}: does not name the model that it was trained on. Name it: --model")
    tokenizer, shape = load_tokenizer(name), examine(name).shape
    taken = take_over(found, plain_base(name), shape)
    kind = _head_kind(found, about)
    recipe = imported_recipe(
        taken.method,
        head=kind,
        model=name,
        tokenizer=tokenizer,
        about=about,
        paths=recipe_paths,
        overrides=overrides or {},
    )
    task = task_of(recipe)
    target = open_device(device)
    built = build_model(recipe.model_copy(update={"precision": "float32"}), tokenizer, _CPU)
    state = {**taken.state, **_head_state(folder, built, task, head, labels)}
    built.load_trainable_state(state)
    _require_backbone(folder, built, about)
    difference, notes = _compared(folder, built, taken, tokenizer, recipe)
    notes += _about_head(kind, about, task, labels)
    if found.kind in ("PROMPT_TUNING", "P_TUNING") and found.head:
        notes.append(_PADDING)
    if recipe.precision != "float32" or target != _CPU:
        built = build_model(recipe, tokenizer, target)
        built.load_trainable_state(state)
    return _stored(folder, store, console, recipe, built, (difference, notes))


def _classifier(found: PeftFolder) -> Mapping[str, Tensor]:
    """The head that was trained along; empty where the adapter was trained to predict tokens.

    Raises:
        RunError: It was trained to classify, and its classifier is not in the folder.
    """
    task_type = found.config.task_type
    if not found.head and task_type in _CLASSIFIERS:
        raise RunError(
            f"{found.folder}: its task_type is {task_type}, and it holds no classifier. PEFT saves one that "
            "the model's class has as score or classifier, and does not say when a class has none (XGLM's "
            "own). Train with a class that has one. If it was trained to predict label words, make task_type "
            "CAUSAL_LM in adapter_config.json"
        )
    return found.head


def _head_kind(found: PeftFolder, about: CheckpointMetadata | None) -> str:
    """A classifier of transformers reads states as they are; without one label words are predicted."""
    if about is not None:
        return str(about.recipe.get("head", {}).get("kind", "linear"))
    return "plain" if found.head else "verbalizer"


def _head_state(
    folder: Path, model: TaskModel, task: Task, head: Mapping[str, Tensor], labels: Sequence[str]
) -> dict[str, Tensor]:
    """The head's parameters in the order of the task's labels.

    Raises:
        RunError: The head has other rows than the task has labels, or the labels named are others.
    """
    expected = {name: tuple(one.shape) for name, one in model.head.named_parameters()}
    if not expected:  # the backbone's own embedding
        if labels:
            raise RunError(f"{folder}: has no head whose labels could be in an order. Leave --labels out")
        return {}
    width = expected["weight"][0]
    given = {"bias": torch.zeros(len(head["weight"])), **head}
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    if shapes != expected:
        raise RunError(
            f"{folder}: its head has {len(head['weight'])} labels of {head['weight'].shape[-1]} numbers, and "
            f"task {task.name} takes {width} of {expected['weight'][1]}. Name the task and model that it was "
            "trained for"
        )
    if not labels:
        order = list(range(width))
    elif task.kind.labeled and sorted(labels) == sorted(task.labels) and len(labels) == width:
        order = [list(labels).index(label) for label in task.labels]
    else:
        raise RunError(
            f"--labels {','.join(labels)}: name each label of {task.name} once ({', '.join(task.labels)}), "
            "in the order of the adapter's logits"
        )
    return {f"head.{name}": value[order].float() for name, value in given.items()}


def _require_backbone(folder: Path, model: TaskModel, about: CheckpointMetadata | None) -> None:
    if about is not None and about.backbone_fingerprint != model.backbone.fingerprint:
        raise CheckpointError(
            f"{folder}: was exported for {about.backbone} with fingerprint {about.backbone_fingerprint}, and "
            f"{model.backbone.name} has {model.backbone.fingerprint}. Name the one it was trained on: --model"
        )


def _compared(
    folder: Path, model: TaskModel, taken: TakenOver, tokenizer: Any, recipe: Recipe
) -> tuple[float, list[str]]:
    notes, sight = [], None
    if _is_prefix(taken.method):
        sight = text_in_sight(model.backbone, recipe.method_settings.shift)
        if sight is not None and sight < 1:
            raise RunError(
                f"{folder}: {recipe.model} has a sliding window no longer than the prefix "
                f"({recipe.method_settings.shift} slots), which PEFT keeps out of every text's sight. There "
                "is nothing to compare; train a shorter one"
            )
        if sight is not None and recipe.encoding.max_length > sight:
            notes.append(
                f"Rows of more than {sight} tokens are scored otherwise than by PEFT, whose prefix leaves "
                "the model's sliding window there; here every token sees the whole prompt."
            )
    rows = probe_rows(tokenizer, vocabulary=model.backbone.vocab_size, longest=sight)
    ours, theirs = states_here(model.backbone, model.prompts, rows), states_of_peft(taken.model, rows)
    return require_equal(ours, theirs, str(folder)), notes


def _is_prefix(method: Method) -> bool:
    return bool(getattr(method, "trains_layers", False))


def _about_head(kind: str, about: CheckpointMetadata | None, task: Task, labels: Sequence[str]) -> list[str]:
    if about is not None:
        return []
    if kind == "verbalizer":
        words = ", ".join(task.label_words or ())
        return [f"The adapter has no classifier: labels are read as the next token, out of {words}."]
    if labels or not task.kind.labeled:
        return []
    return [f"Its logits are taken for {', '.join(task.labels)}, in this order; --labels gives another one."]


def _stored(
    folder: Path,
    store: Path,
    console: Console,
    recipe: Recipe,
    model: TaskModel,
    compared: tuple[float, Sequence[str]],
) -> Imported:
    """Write the run and its checkpoint, and score it where there are data."""
    environment = read_environment(repository_of=None, device=model.backbone.device)
    run = None
    tracker: Tracker
    if recipe.data.source is None:
        tracker = MlflowTracker(store)
    else:
        run = _opened(recipe, model, store, console, environment)
        tracker = run.tracker
    with true_end_state(tracker):
        score = _development_score(run) if run else None
        metadata = _metadata(recipe, model, score)
        run_id = tracker.start(
            experiment=recipe.task,
            run_name=run_name(recipe),
            params={
                **model.budget().to_dict(),
                **run_params(recipe),
                "backbone_fingerprint": model.backbone.fingerprint,
            },
            tags={
                **run_tags(recipe, environment),
                "job": "train",
                ORIGIN_TAG: ORIGIN,
                "imported_from": str(folder.absolute()),
            },
        )
        log_recipe(tracker, recipe)
        stored = _kept(tracker, model, metadata, task_of(recipe))
        scores = None
        if run:
            wanted = [recipe.evaluation.alignment]
            scores = score_languages(
                run, "test", wanted, model_id=stored.model_id, checkpoint=stored.directory
            )
            if score is not None:
                tracker.log_metrics({best_score(run.metric): score})
    assert run_id is not None
    difference, notes = compared
    return Imported(run_id, run_name(recipe), stored.directory, recipe, difference, tuple(notes), scores)


def _opened(recipe: Recipe, model: TaskModel, store: Path, console: Console, environment: Any) -> Run:
    task, source, device = task_of(recipe), open_data(recipe), model.backbone.device
    languages = languages_to_score(source, task, recipe.data)
    setup = Setup(recipe, task, source, load_tokenizer(recipe.model), device, Processes(device=device))
    return Run(setup, languages, model, MlflowTracker(store), console, store, environment)


def _development_score(run: Run) -> float | None:
    """The main metric on the training language's development set; None where there is none."""
    setup, language = run.setup, run.recipe.data.train_language
    if language not in setup.source.languages(setup.task, "validation"):
        return None
    part = load_split(setup, language, "validation")
    answers = predict(
        run.model,
        part.encoded,
        token_budget=run.recipe.evaluation.token_budget,
        pad_id=setup.pad_id,
        device=setup.device,
    )
    gold = part.encoded.gold()
    if not has_main_metric(setup.task, gold):
        return None
    return main_value(setup.task, gold, answers.labels, language=language)


def _metadata(recipe: Recipe, model: TaskModel, score: float | None) -> CheckpointMetadata:
    task = task_of(recipe)
    return CheckpointMetadata(
        recipe=recipe_to_dict(recipe),
        backbone=model.backbone.name,
        backbone_fingerprint=model.backbone.fingerprint,
        task=task.name,
        labels=task.labels,
        budget=model.budget().to_dict(),
        step=0,
        metric=main_metric(task),
        score=0.0 if score is None else score,
    )


def _kept(tracker: Tracker, model: TaskModel, metadata: CheckpointMetadata, task: Task) -> StoredModel:
    name = f"{metadata.recipe['method']}-imported"
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / name
        save_checkpoint(directory, model.trainable_state(), metadata)
        write_pyfunc_files(directory, task)
        stored = tracker.log_model(directory, name=MODEL_NAME, params={"origin": ORIGIN}, step=0)
    assert stored is not None  # as the tracker is MLflow's
    return stored
