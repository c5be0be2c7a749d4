"""What makes an MLflow model of a checkpoint's folder: the file `MLmodel`, its requirements and an example.

Any tool that takes an MLflow model then takes a run's: `mlflow models serve`, `mlflow.pyfunc.load_model`. It
is loaded by a module of xlprompt, so that no pickled code lies in the folder. The files are the same for the
same task and versions, so that a copy of them can be told from another.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import yaml
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array, Map

from xlprompt.data import Task

MODEL_NAME = "model"
"""What a run's model is called in the store, so that `runs:/<run id>/model` names it."""
LANGUAGE = "language"
"""The column of an example's language, which may be missing."""

_LOADER = "xlprompt.training.serving.pyfunc"
_REQUIRED = ("mlflow", "torch", "transformers", "xlprompt-training")
_EXAMPLE = "input_example.json"
_SERVING_EXAMPLE = "serving_input_example.json"
_TIMELESS = "1970-01-01 00:00:00"  # MLflow asks for one; the store has the model's time of its own


def write_pyfunc_files(folder: Path, task: Task) -> None:
    """Write an MLflow model's files beside a checkpoint's.

    Args:
        folder: The checkpoint's.
        task: What it was trained for, whose text fields are the model's columns.
    """
    row = [_example(task, name) for name in task.text_fields]
    example = {"columns": list(task.text_fields), "data": [row]}
    model = Model(
        artifact_path=MODEL_NAME,
        signature=signature(task),
        saved_input_example_info={
            "artifact_path": _EXAMPLE,
            "serving_input_path": _SERVING_EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        },
        model_uuid=None,
        utc_time_created=_TIMELESS,
    )
    pyfunc.add_to_model(model, loader_module=_LOADER, python_env="python_env.yaml")
    requirements = [f"{name}=={_version(name)}" for name in _REQUIRED]
    python = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    texts = {
        "MLmodel": model.to_yaml(),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "python_env.yaml": yaml.safe_dump(python),
        _EXAMPLE: json.dumps(example),
        _SERVING_EXAMPLE: json.dumps({"dataframe_split": example}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def signature(task: Task) -> ModelSignature:
    """What the model takes and gives: a column for each text of the task, and one for its language.

    The words of a sentence are of type string too, with spaces between them, because MLflow reads CSV only
    where every column is of a plain type. It lets lists of words through, and the loader takes them.
    """
    given = [ColSpec(DataType.string, name) for name in task.text_fields]
    answer: tuple[Any, Any, Any] = (DataType.string, DataType.double, Map(DataType.double))
    if task.kind.by_word:
        answer = (Array(DataType.string), Array(DataType.double), Array(Map(DataType.double)))
    names = ("label", "probability", "probabilities")
    outputs = [ColSpec(kind, name) for kind, name in zip(answer, names, strict=True)]
    return ModelSignature(
        inputs=Schema([*given, ColSpec(DataType.string, LANGUAGE, required=False)]),
        outputs=Schema([*outputs, ColSpec(DataType.boolean, "cut")]),
    )


def _example(task: Task, field: str) -> str:
    """A text for a field: none of the data's, which are not to travel with a model."""
    return next(iter(task.values_of(field)), f"This is the {field} of an example.")


def _version(package: str) -> str:
    """The installed version, without the label of a local build, which no registry has."""
    return importlib.metadata.version(package).partition("+")[0]
