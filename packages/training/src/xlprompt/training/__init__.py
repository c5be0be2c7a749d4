"""Recipes, the training loop, checkpoints and tracking: from a YAML file to a trained prompt and its scores.

`train`, `evaluate` and `predict` are the ways in. What is measured, and how, is decided in
`xlprompt.evaluation`. The names below are imported when they are first used, so that `xlprompt ui` need not
wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.training.errors import CheckpointError, RecipeError, RunError
    from xlprompt.training.fitting.loop import FitResult, TrainingDiverged, fit
    from xlprompt.training.recipes.recipe import Recipe, fingerprint, load_recipe
    from xlprompt.training.runs.evaluate import evaluate
    from xlprompt.training.runs.predict import Predicted, predict
    from xlprompt.training.runs.train import RunResult, train
    from xlprompt.training.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from xlprompt.training.store.database import create_store, store_uri
    from xlprompt.training.store.find import find_checkpoint
    from xlprompt.training.store.mlflow_tracker import MlflowTracker
    from xlprompt.training.store.tracker import NullTracker, Tracker, TrackingError

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "FitResult",
    "MlflowTracker",
    "NullTracker",
    "Predicted",
    "Recipe",
    "RecipeError",
    "RunError",
    "RunResult",
    "Tracker",
    "TrackingError",
    "TrainingDiverged",
    "create_store",
    "evaluate",
    "find_checkpoint",
    "fingerprint",
    "fit",
    "load_checkpoint",
    "load_recipe",
    "predict",
    "save_checkpoint",
    "store_uri",
    "train",
]

_HOMES = {
    "errors": (
        "CheckpointError",
        "RecipeError",
        "RunError",
    ),
    "fitting.loop": (
        "FitResult",
        "TrainingDiverged",
        "fit",
    ),
    "recipes.recipe": (
        "Recipe",
        "fingerprint",
        "load_recipe",
    ),
    "runs.evaluate": ("evaluate",),
    "runs.predict": (
        "Predicted",
        "predict",
    ),
    "runs.train": (
        "RunResult",
        "train",
    ),
    "store.checkpoint": (
        "Checkpoint",
        "load_checkpoint",
        "save_checkpoint",
    ),
    "store.database": (
        "create_store",
        "store_uri",
    ),
    "store.find": ("find_checkpoint",),
    "store.mlflow_tracker": ("MlflowTracker",),
    "store.tracker": (
        "NullTracker",
        "Tracker",
        "TrackingError",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
