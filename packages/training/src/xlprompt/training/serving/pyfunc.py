"""The module that MLflow loads a checkpoint by; `MLmodel` beside it names this file.

A data frame of examples comes in, a data frame of answers goes out, the same as `Predictor.predict` gives.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from xlprompt.data import DataError
from xlprompt.data.sources.unlabeled import given_rows
from xlprompt.models import ModelError
from xlprompt.training.errors import RunError
from xlprompt.training.runs.predictions import Prediction
from xlprompt.training.runs.predictor import Predictor, open_predictor
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.pyfunc_files import LANGUAGE

_SETTINGS = ("device", "model")


class PredictorForMlflow:
    """A predictor with MLflow's interface; one request is answered at a time."""

    def __init__(self, predictor: Predictor) -> None:
        """Wrap a predictor."""
        self.predictor = predictor
        # MLflow's server calls from several threads, and some prompts act by hooks of the shared backbone.
        self._lock = threading.Lock()

    def predict(self, data: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer examples.

        Args:
            data: A column for each text of the task; words as lists, or with spaces between them; and, if
                wanted, `language`, as in `Predictor.predict`, in which a row may have nothing.
            params: None are known.

        Returns:
            A row for each example, with its index in `data`: `label`, `probability`, `probabilities`, `cut`.

        Raises:
            MlflowException: A row is not as the task has it, which MLflow's server answers with status 400.
        """
        try:
            with self._lock:
                answers = self._answers(data)
        except (DataError, RunError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        columns = ("label", "probability", "probabilities", "cut")
        rows = [{name: getattr(each, name) for name in columns} for each in answers]
        return pd.DataFrame(rows, columns=columns, index=data.index)

    def _answers(self, data: pd.DataFrame) -> list[Prediction]:
        fields = self.predictor.task.text_fields
        missing = [name for name in fields if name not in data.columns]
        if missing:
            raise DataError(f"missing column {missing[0]!r}", fix=f"Give the columns {', '.join(fields)}.")
        for name in fields:
            for value in data[name]:
                _require_value(value, name)
        known = [*fields, *(name for name in (LANGUAGE,) if name in data.columns)]
        rows = given_rows(self.predictor.task, data[known])
        return list(self.predictor.answer(rows).rows) if rows else []


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> PredictorForMlflow:
    """Load the checkpoint of an MLflow model's folder; MLflow calls this.

    Args:
        path: The folder.
        model_config: `device` and `model` as of `open_predictor`, where they are not the training's.

    Raises:
        MlflowException: The checkpoint or its backbone cannot be loaded, or another setting is given.
    """
    settings = dict(model_config or {})
    other = sorted(settings.keys() - set(_SETTINGS))
    if other:
        raise MlflowException.invalid_parameter_value(
            f"model_config has {', '.join(other)}, and xlprompt takes {' and '.join(_SETTINGS)}"
        )
    try:
        return PredictorForMlflow(open_predictor(load_checkpoint(Path(path)), **settings))
    except (RunError, ModelError) as error:
        raise MlflowException.invalid_parameter_value(str(error)) from error


def _require_value(value: Any, name: str) -> None:
    """Refuse a cell with nothing in it, or with a list that has nothing in it.

    Raises:
        DataError: It is one; pandas would make a text of that.
    """
    parts = value if isinstance(value, list | tuple | np.ndarray) else [value]
    if any(_is_null(each) for each in parts):
        raise DataError(
            f"a row has nothing (null) in {name!r}",
            fix="Give a text. pandas reads NA and null in CSV as nothing: send JSON where they are words.",
        )


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and bool(np.isnan(value)))
