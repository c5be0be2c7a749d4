from .errors import CheckpointError as CheckpointError
from .errors import RecipeError as RecipeError
from .errors import RunError as RunError
from .fitting.loop import FitResult as FitResult
from .fitting.loop import TrainingDiverged as TrainingDiverged
from .fitting.loop import fit as fit
from .recipes.recipe import Recipe as Recipe
from .recipes.recipe import fingerprint as fingerprint
from .recipes.recipe import load_recipe as load_recipe
from .runs.evaluate import evaluate as evaluate
from .runs.predictions import Predicted as Predicted
from .runs.predictions import Prediction as Prediction
from .runs.predictor import Predictor as Predictor
from .runs.predictor import open_predictor as open_predictor
from .runs.predictor import predict as predict
from .runs.train import RunResult as RunResult
from .runs.train import train as train
from .store.checkpoint import (
    Checkpoint as Checkpoint,
)
from .store.checkpoint import (
    load_checkpoint as load_checkpoint,
)
from .store.checkpoint import (
    read_metadata as read_metadata,
)
from .store.checkpoint import (
    save_checkpoint as save_checkpoint,
)
from .store.database import create_store as create_store
from .store.database import store_uri as store_uri
from .store.find import find_checkpoint as find_checkpoint
from .store.find import find_directory as find_directory
from .store.mlflow_tracker import MlflowTracker as MlflowTracker
from .store.tracker import NullTracker as NullTracker
from .store.tracker import Tracker as Tracker
from .store.tracker import TrackingError as TrackingError
