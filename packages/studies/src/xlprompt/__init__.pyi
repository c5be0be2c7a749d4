from .studies.api import compare as compare
from .studies.api import evaluate as evaluate
from .studies.api import import_peft as import_peft
from .studies.api import load as load
from .studies.api import runs as runs
from .studies.api import train as train
from .training.runs.predictions import Prediction as Prediction
from .training.runs.predictor import Predictor as Predictor
