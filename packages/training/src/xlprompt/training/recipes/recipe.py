"""A recipe is one YAML file that says everything about one run: data, model, prompt, optimizer, schedule.

This module says what a recipe may hold, and loads one from the files it consists of. `recipe_files` reads
them, `recipe_errors` says what is wrong with them. It starts nothing: see `xlprompt.training.runs.train`.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from xlprompt.data import Task
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import OWN, TaskDefinition, name_problem
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.models import (
    METHODS,
    REGISTRY,
    AlignmentLossSettings,
    AlignmentSettings,
    HeadSettings,
    Method,
    absolute_name,
    method_of,
)
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.data_settings import DataSettings
from xlprompt.training.recipes.errors import NOT_GIVEN, explain
from xlprompt.training.recipes.files import merge, read_chain, unflatten
from xlprompt.training.recipes.method_rules import why_not
from xlprompt.training.recipes.own_task import own_task_values
from xlprompt.training.recipes.settings import Settings, flat_pairs, validated


class OptimizerSettings(Settings):
    """AdamW on the float32 trainables, with linear warm-up and decay."""

    learning_rate: float = Field(
        gt=0,
        description="Peak rate of the prompt, the adapters or the fine-tuned weights. The knob that matters "
        "most: too low underfits in the same time, too high diverges or collapses onto one label.",
    )
    head_learning_rate: float | None = Field(
        default=None, gt=0, description="Peak rate of the head; null for learning_rate."
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=1000,
        description="Decoupled decay of weight matrices: the head's, LoRA's and adapters', and the "
        "backbone's where they train. Prompts are never decayed: a zero prompt still takes attention, so "
        "zero is no neutral point to shrink towards. Nor are biases, nor the scales of ia3, whose neutral "
        "point is one.",
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="AdamW's averaging factors.")
    warmup_share: float = Field(
        default=0.06, ge=0, le=1, description="Share of the steps over which the rate rises from zero."
    )
    clip_norm: float | None = Field(
        default=1.0,
        gt=0,
        description="Largest norm of a step's gradient over all trainables; null to leave it as it is.",
    )

    @field_validator("betas")
    @classmethod
    def _betas_are_below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("both must lie in [0, 1)")
        return value


class ScheduleSettings(Settings):
    """How long training runs, in which pieces, and when it looks at the development set."""

    steps: int = Field(ge=1, description="Optimizer steps. Time grows in proportion.")
    batch_size: int = Field(
        ge=1,
        le=10**6,
        description="Sequences a step. Time grows in proportion; memory does not (see token_budget).",
    )
    token_budget: int = Field(
        ge=1,
        description="Most padded tokens in one forward pass. A step is split into micro-batches of at most "
        "this size with the same gradient: lower it when memory runs out, raise it for speed.",
    )
    evaluate_every: int = Field(
        ge=1, description="Steps between evaluations on the development set; each costs one pass over it."
    )
    checkpoint_every: int = Field(
        default=100,
        ge=1,
        description="Steps between two writes of the training state, from which `--resume` goes on. A write "
        "holds 12 bytes for each trained parameter: nothing with a prompt, 3 GB for Gemma 3 270M fine-tuned.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after this many evaluations in a row without a better score; null never stops.",
    )


class EvaluationSettings(Settings):
    """How the development and test sets are scored."""

    token_budget: int = Field(
        default=8192,
        ge=1,
        description="Most padded tokens in one forward pass without gradients. Memory and speed only: the "
        "scores do not depend on it.",
    )
    language_model_rows: int = Field(
        default=50,
        ge=0,
        description="Test rows of each language whose next tokens are predicted before and after training, "
        "to see what it made the model forget. Costs two forward passes over them with the logits of the "
        "whole vocabulary; 0 skips it, as does a backbone whose head is not its input embedding.",
    )
    curve_every: int | None = Field(
        default=None,
        ge=1,
        description="Steps between two scores of a fixed sample of every test language while the run trains, "
        "to see how fast and how steadily each is learned; null for none. Before the first of them it is "
        "halved down to step 1, as learning is fastest there. Nothing is chosen by them: the "
        "checkpoint is still chosen on the training language's development set, and training comes out bit "
        "for bit the same. Each costs one pass over the samples.",
    )
    curve_examples: int = Field(
        default=100,
        ge=1,
        description="Test examples of each language in that sample; the same ones in every language where "
        "test sets are translations of each other. With 100 a score has a standard error of up to 5 points.",
    )
    alignment: AlignmentSettings = Field(default_factory=AlignmentSettings)


AnyRecipe = TypeVar("AnyRecipe", bound=Settings)


def _with_methods(kind: type[AnyRecipe]) -> type[AnyRecipe]:
    """A recipe class with a section for each method that has settings, and with the names of all."""
    fields: dict[str, Any] = {
        method.name: (method, Field(default_factory=method)) for method in REGISTRY if method.model_fields
    }
    fields["method"] = (cast(Any, Literal)[METHODS], kind.model_fields["method"])
    return create_model(
        kind.__name__, __base__=kind, __module__=kind.__module__, __doc__=kind.__doc__, **fields
    )


@_with_methods
class Recipe(Settings):
    """Everything that decides the result of one run, apart from the machine."""

    task_definition: TaskDefinition | None = Field(
        default=None,
        json_schema_extra=NOT_GIVEN,
        description="What a task of your own is; null for the bundled ones. Found out from the data folder, "
        "and kept with the run, which can be read without the folder.",
    )
    task: str = Field(
        description=f"Any of {', '.join(BUNDLED)}; or '{OWN}', the task that the data folder is, which a "
        "recipe without a task means, too."
    )
    method: str = Field(
        default="prompt",
        description="What trains beside the head: "
        + ", ".join(f"'{method.name}' ({method.trains})" for method in REGISTRY)
        + ". Fine-tuning takes 18 bytes of memory for each trained parameter; a head alone needs no backward "
        "pass through the backbone, and reads its training set only once where the states have room.",
    )
    model: str = Field(
        description="Backbone: a known name, a hub id or a folder. Time and memory grow with its size."
    )
    seed: int = Field(default=0, ge=0, description="Initialization, data order and dropout.")
    data: DataSettings = Field(default_factory=DataSettings)
    encoding: EncodingSettings = Field(default_factory=EncodingSettings)
    head: HeadSettings = Field(default_factory=HeadSettings)
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    alignment_loss: AlignmentLossSettings = Field(default_factory=AlignmentLossSettings)
    precision: Literal["bfloat16", "float32"] = Field(
        default="bfloat16",
        description="The backbone's weights and activations. float32 doubles their memory and is slower "
        "where the device computes bfloat16. Prompt, adapters, head, optimizer state and the masters of "
        "fine-tuned weights are float32 either way. DeepSpeed holds the head as it does the backbone, "
        "beside a master.",
    )
    backbone_dropout: Literal["off", "pretrained"] = Field(
        default="off",
        description="Dropout inside the backbone while training. 'pretrained' adds a few percent to the time "
        "of a step on a CPU; with it a head's training set is read anew for each epoch.",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, a third slower."
    )
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)

    @property
    def method_settings(self) -> Method:
        """The section of the recipe's method, or that method where it has no settings."""
        kind = method_of(self.method)
        return cast(Method, getattr(self, self.method)) if kind.model_fields else kind()

    @field_validator("model")
    @classmethod
    def _folder_is_named_from_the_root(cls, value: str) -> str:
        return absolute_name(value)

    @field_validator("task")
    @classmethod
    def _task_is_known(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("task_definition") is not None:
            if problem := name_problem(value, BUNDLED):
                raise ValueError(problem)
        elif value not in BUNDLED:
            raise ValueError(f"unknown task {reprlib.repr(value)}; the tasks are {', '.join(BUNDLED)}")
        return value

    @model_serializer(mode="wrap")
    def _without_what_only_own_tasks_have(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A bundled task's recipe is stored, and known by its fingerprint, as if there were no others."""
        values: dict[str, Any] = handler(self)
        if self.task_definition is None:
            values.pop("task_definition", None)
        return values

    @model_validator(mode="after")
    def _method_fits_head_and_task(self) -> Recipe:
        kinds = self.evaluation.alignment.kinds
        if problem := why_not(method_of(self.method), self.head, task_of(self), kinds):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _something_can_be_aligned(self) -> Recipe:
        loss = self.alignment_loss
        if not loss.weight:
            return self
        if not method_of(self.method).needs_backward:
            raise ValueError(
                f"alignment_loss.weight: method '{self.method}' trains nothing that moves hidden states. "
                "Take another method, or align the trained model (evaluation.alignment.kinds)"
            )
        if trained := [code for code in loss.languages or () if code in self.data.train_languages]:
            raise ValueError(f"alignment_loss.languages: '{trained[0]}' is trained on. Remove it")
        if self.schedule.token_budget < 2 * self.encoding.max_length:
            raise ValueError(
                f"alignment_loss.weight: two of the longest rows ({self.encoding.max_length} tokens each) "
                f"must fit into schedule.token_budget ({self.schedule.token_budget}). Raise it"
            )
        return self

    @model_validator(mode="after")
    def _longest_rows_fit_into_batches(self) -> Recipe:
        for name, budget in (
            ("schedule.token_budget", self.schedule.token_budget),
            ("evaluation.token_budget", self.evaluation.token_budget),
        ):
            if budget < self.encoding.max_length:
                raise ValueError(
                    f"{name} ({budget}) is less than encoding.max_length ({self.encoding.max_length}): "
                    "the longest row would fit into no batch. Raise the first or lower the second"
                )
        return self


def load_recipe(
    path: str | Path | Sequence[str | Path], overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe: a file or several of which later ones win, what they extend, and values given on top.

    A name such as `xnli-prompt.yaml` without a file of its own stands for `xnli.yaml` and `prompt.yaml`. What
    a file has under `by_task` counts for the recipe's task alone. See `load_settings` for the rest.
    """
    paths = [path] if isinstance(path, str | Path) else path
    layers = [layer for each in paths for layer in read_chain(Path(each))]
    own = own_task_values(layers, overrides or {})
    layers = _for_task(layers, OWN if own else None)
    return validated(layers, Recipe, {**(overrides or {}), **own}, origin=" ".join(map(str, paths)))


def _for_task(layers: list[tuple[str, dict[str, Any]]], task: str | None) -> list[tuple[str, dict[str, Any]]]:
    """The layers, each followed by what its `by_task` has for the recipe's task, None for that of the files.

    Raises:
        RecipeError: `by_task` holds something else than settings by the names of tasks.
    """
    task = task or next((values["task"] for _, values in reversed(layers) if "task" in values), None)
    spread: list[tuple[str, dict[str, Any]]] = []
    for file, values in layers:
        by_task = values.pop("by_task", {})
        if not isinstance(by_task, dict) or not all(isinstance(each, dict) for each in by_task.values()):
            raise RecipeError(f"{file}: by_task: give settings under the name of each task")
        if unknown := sorted(by_task.keys() - {*BUNDLED, OWN}):
            raise RecipeError(f"{file}: by_task: no task {unknown[0]!r}; the tasks are {', '.join(BUNDLED)}")
        spread += [(file, values), (f"{file}: by_task: {task}", by_task.get(task, {}))]
    return spread


def task_of(recipe: Recipe) -> Task:
    """The task of a recipe: a bundled one, or the user's own that the recipe defines."""
    definition = recipe.task_definition
    return BUNDLED[recipe.task] if definition is None else definition.task(recipe.task)


def recipe_from_dict(values: Mapping[str, Any], *, origin: str) -> Recipe:
    """Validate a recipe that was stored as plain data, as in a checkpoint; `origin` is named in errors."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"{origin}: expected a recipe's keys and values, found {type(values).__name__}")
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        raise RecipeError(explain(error, [(origin, dict(values))], Recipe, default_origin=origin)) from error


def override(recipe: Mapping[str, Any], values: Mapping[str, Any], *, origin: str) -> Recipe:
    """A recipe as plain data with other values by dotted key; `origin` is named in errors."""
    return recipe_from_dict(merge(recipe, unflatten(values)), origin=origin)


def recipe_to_dict(recipe: Settings) -> dict[str, Any]:
    """The recipe as JSON-compatible data that `recipe_from_dict` takes back."""
    return recipe.model_dump(mode="json")


def flatten(recipe: Settings) -> dict[str, Any]:
    """The recipe by dotted key, as it is logged: `{"schedule.steps": 600, ...}`."""
    return dict(flat_pairs(recipe_to_dict(recipe)))


def fingerprint(recipe: Settings) -> str:
    """Sixteen hex digits of the SHA-256 over all of the recipe's values, defaults included."""
    canonical = json.dumps(recipe_to_dict(recipe), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
