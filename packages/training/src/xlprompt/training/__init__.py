"""Recipes, the training loop, checkpoints and tracking: from a YAML file to a trained prompt and its scores.

`train` and `evaluate` are the two ways in. What is measured, and how, is decided in `xlprompt.evaluation`.
"""

from xlprompt.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from xlprompt.training.loop import FitResult, TrainingDiverged, fit
from xlprompt.training.recipe import Recipe, RecipeError, fingerprint, load_recipe
from xlprompt.training.run import RunError, RunResult, evaluate, train
from xlprompt.training.tracker import (
    MlflowTracker,
    NullTracker,
    Tracker,
    TrackingError,
    create_store,
    store_uri,
)

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "FitResult",
    "MlflowTracker",
    "NullTracker",
    "Recipe",
    "RecipeError",
    "RunError",
    "RunResult",
    "Tracker",
    "TrackingError",
    "TrainingDiverged",
    "create_store",
    "evaluate",
    "fingerprint",
    "fit",
    "load_checkpoint",
    "load_recipe",
    "save_checkpoint",
    "store_uri",
    "train",
]
