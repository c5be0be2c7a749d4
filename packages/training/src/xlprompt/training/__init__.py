"""Recipes, the training loop, checkpoints and tracking: from a YAML file to a trained prompt and its scores.

`train`, `evaluate` and `predict` are the ways in. What is measured, and how, is decided in
`xlprompt.evaluation`. The names below are imported when they are first used, so that `xlprompt ui` need not
wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
    from xlprompt.training.errors import RunError
    from xlprompt.training.evaluation_run import evaluate
    from xlprompt.training.loop import FitResult, TrainingDiverged, fit
    from xlprompt.training.prediction import Predicted, predict
    from xlprompt.training.recipe import Recipe, RecipeError, fingerprint, load_recipe
    from xlprompt.training.run import RunResult, train
    from xlprompt.training.search import SearchResult, run_search
    from xlprompt.training.search_space import SearchError
    from xlprompt.training.stored_checkpoint import find_checkpoint
    from xlprompt.training.study import StudyError, StudyResult, run_study
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
    "Predicted",
    "Recipe",
    "RecipeError",
    "RunError",
    "RunResult",
    "SearchError",
    "SearchResult",
    "StudyError",
    "StudyResult",
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
    "run_search",
    "run_study",
    "save_checkpoint",
    "store_uri",
    "train",
]

_HOMES = {
    "checkpoint": ("Checkpoint", "CheckpointError", "load_checkpoint", "save_checkpoint"),
    "errors": ("RunError",),
    "evaluation_run": ("evaluate",),
    "loop": ("FitResult", "TrainingDiverged", "fit"),
    "prediction": ("Predicted", "predict"),
    "recipe": ("Recipe", "RecipeError", "fingerprint", "load_recipe"),
    "run": ("RunResult", "train"),
    "search": ("SearchResult", "run_search"),
    "search_space": ("SearchError",),
    "stored_checkpoint": ("find_checkpoint",),
    "study": ("StudyError", "StudyResult", "run_study"),
    "tracker": ("MlflowTracker", "NullTracker", "Tracker", "TrackingError", "create_store", "store_uri"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
