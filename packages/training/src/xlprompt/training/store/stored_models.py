"""The checkpoint that a run keeps in the store: one MLflow LoggedModel, whole, however often it was tried.

A process may be killed while it copies a checkpoint into the store, or before the run knows of the copy. What
it leaves is found here by the run that it belongs to.
"""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlprompt.training.store.reading.reader import Reader
from xlprompt.training.store.reading.sqlite_reader import NotInStore
from xlprompt.training.store.shared.fetched import fetch_model, is_local, local_path

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import LoggedModel


def keep_one_model(
    client: mlflow.MlflowClient, experiment_id: str | None, run_id: str, *, like: Path | None = None
) -> LoggedModel | None:
    """Remove a run's models that are not whole, and where `like` is given, all but one that equals it.

    Args:
        client: Of the store.
        experiment_id: The run's experiment.
        run_id: The run, which no other process is at work on.
        like: The checkpoint's folder.

    Returns:
        The model that equals `like`, if there is one.
    """
    from mlflow.entities import LoggedModelStatus

    kept = None
    for model in client.search_logged_models([str(experiment_id)], f"source_run_id = '{run_id}'"):
        whole = model.status == LoggedModelStatus.READY
        if whole and like is None:
            continue
        if whole and like is not None and kept is None and _equals(client, model, like):
            kept = model
        else:
            remove_model(client, model)
    return kept


def remove_model(client: mlflow.MlflowClient, model: LoggedModel) -> None:
    """Delete a model and its files, which MLflow itself would leave; a server's wait for `mlflow gc`."""
    if is_local(model.artifact_location):
        folder = local_path(model.artifact_location)
        own = folder.parent if folder.parent.name == model.model_id else folder
        shutil.rmtree(own, ignore_errors=True)  # first: a model that is not deleted yet is found again
    client.delete_logged_model(model.model_id)


def models_of(run: Any) -> list[str]:
    """The ids of the models that a run has produced, the newest first, and of those that it has scored."""
    produced = run.outputs.model_outputs if run.outputs else []
    scored = run.inputs.model_inputs if run.inputs else []
    return [each.model_id for each in (*reversed(produced), *scored)]


def model_of(client: Reader, run: Any) -> Any:
    """The model that a run has produced, or as an evaluation has scored; None where there is none."""
    for model_id in models_of(run):
        try:
            return client.get_logged_model(model_id)
        except NotInStore:
            continue
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
                raise
    return None


def _equals(client: mlflow.MlflowClient, model: LoggedModel, directory: Path) -> bool:
    if is_local(model.artifact_location):
        return _has_files_of(directory, local_path(model.artifact_location))
    with tempfile.TemporaryDirectory() as copy:
        fetch_model(client, model, Path(copy))
        return _has_files_of(directory, Path(copy))


def _has_files_of(directory: Path, copy: Path) -> bool:
    """Whether a copy holds a folder's files, byte for byte; beside them it may hold what was made from it."""
    names = [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]
    equal, _, _ = filecmp.cmpfiles(directory, copy, names, shallow=False)
    return len(equal) == len(names)
