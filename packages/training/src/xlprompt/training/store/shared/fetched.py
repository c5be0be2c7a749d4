"""Files of runs and models as folders of this machine: those beside the database, or copies of a server's.

A copy is made once, of what does not change any more: a model, and the files of a run that has finished.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import LoggedModel

_FOLDER = "fetched"


def local_path(uri: str) -> Path:
    """The path behind a `file:` address of the store; a plain path as it is."""
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else Path(uri)


def is_local(uri: str) -> bool:
    """Whether an address is a path of this machine."""
    return urlparse(uri).scheme in ("", "file")


def run_folder(client: Any, run: Any, mlruns: Path) -> Path:
    """Folder of a run's artifacts."""
    if is_local(run.info.artifact_uri):
        return local_path(run.info.artifact_uri)
    copy = mlruns / _FOLDER / "runs" / run.info.run_id
    if run.info.status != "FINISHED":
        shutil.rmtree(copy, ignore_errors=True)
    if not copy.is_dir():
        with _whole(copy) as folder:
            # A run without any file is no error.
            if client.list_artifacts(run.info.run_id):
                client.download_artifacts(run.info.run_id, "", str(folder))
    return copy


def model_folder(client: Any, model: Any, mlruns: Path) -> Path:
    """Folder of a model's files."""
    if is_local(model.artifact_location):
        return local_path(model.artifact_location)
    copy = mlruns / _FOLDER / "models" / model.model_id
    if not copy.is_dir():
        with _whole(copy) as folder:
            fetch_model(client, model, folder)
    return copy


def keep_model_copy(model: LoggedModel, mlruns: Path, files: Path) -> Path:
    """Folder of the files of a model that was just sent from `files`."""
    if is_local(model.artifact_location):
        return local_path(model.artifact_location)
    copy = mlruns / _FOLDER / "models" / model.model_id
    if not copy.is_dir():
        with _whole(copy) as folder:
            shutil.copytree(files, folder, dirs_exist_ok=True)
    return copy


def fetch_model(client: mlflow.MlflowClient, model: LoggedModel, folder: Path) -> None:
    """Copy a model's files from a server into a folder."""
    import mlflow

    mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{model.model_id}", tracking_uri=client.tracking_uri, dst_path=str(folder)
    )


@contextmanager
def _whole(copy: Path) -> Iterator[Path]:
    """A folder that gets the name of `copy` when all is in it."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".") as place:
        folder = Path(place) / copy.name
        folder.mkdir()
        yield folder
        try:
            folder.replace(copy)
        except OSError:  # another process was faster, and its copy is the same
            if not copy.is_dir():
                raise
