"""A checkpoint is a folder with what was trained and what it belongs to: safetensors and JSON, never pickle.

It holds what was trained and no more: with a prompt the prompt and the head (about 3 MB for a 564M backbone),
with LoRA its matrices and the head; and the fingerprint of the backbone they were trained on. After full
fine-tuning it is a model folder as well, which transformers' `from_pretrained` loads, with the head in a file
of its own. A folder is either whole or refused.
"""

from __future__ import annotations

import copy
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from xlprompt.data import Task
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import read_definition
from xlprompt.data.whole_files import flush_folder, previous_folder, replace_folder, write_through
from xlprompt.models.peft_folders.place import CONFIG_FILE
from xlprompt.training.errors import CheckpointError
from xlprompt.training.store.stored_files import (
    digest_of,
    fit,
    read_document,
    read_weights,
    sealed,
    write_tensors,
)

if TYPE_CHECKING:  # whoever only asks which steps are saved need not wait for transformers
    import torch
    from transformers import PreTrainedTokenizerFast

    from xlprompt.models import TaskModel

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointMetadata",
    "checkpoint_fingerprint",
    "load_checkpoint",
    "model_files",
    "read_metadata",
    "restore",
    "save_checkpoint",
]

FORMAT_VERSION = 3  # 2 had no checksum over its JSON
WEIGHTS_FILE = "model.safetensors"
HEAD_FILE = "head.safetensors"  # beside a fine-tuned backbone
METADATA_FILE = "checkpoint.json"

_BACKBONE = "backbone.model."
_RETRAIN = "Copy the checkpoint again from where it was trained, or train it again"


@dataclass(frozen=True)
class CheckpointMetadata:
    """What the weights are: the recipe that trained them and where they stood when they were chosen."""

    recipe: dict[str, Any]
    backbone: str
    backbone_fingerprint: str
    task: str
    labels: tuple[str, ...]
    budget: dict[str, Any]
    step: Annotated[int, Field(ge=0)]
    metric: str
    score: FiniteFloat

    @property
    def known_task(self) -> Task | None:
        """Its task, by name or by the definition that its recipe keeps; None where there is no such task."""
        definition = self.recipe.get("task_definition")
        try:
            return (
                BUNDLED.get(self.task) if definition is None else read_definition(definition).task(self.task)
            )
        except ValueError:
            return None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back: `state` maps parameter names to CPU tensors."""

    directory: Path
    metadata: CheckpointMetadata
    state: dict[str, torch.Tensor]


def save_checkpoint(
    directory: Path,
    state: Mapping[str, torch.Tensor],
    metadata: CheckpointMetadata,
    *,
    model_files: Mapping[str, bytes] | None = None,
) -> None:
    """Write a checkpoint folder; an existing one is replaced only by a complete new one.

    The files are written to a folder beside it and flushed to the disk before anything is renamed. Should the
    machine stop between the two renames of a replacement, the old checkpoint stands beside as
    `.<name>.previous`.

    Args:
        directory: The folder.
        state: What `TaskModel.trainable_state` gave.
        metadata: What it belongs to.
        model_files: Configuration and tokenizer by file name, which make a model folder of a fine-tuned
            backbone's checkpoint.
    """
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Not mkdtemp, whose 0700 would hide a shared store's checkpoints from other users.
    new = directory.with_name(f".{directory.name}.new-{os.getpid()}-{secrets.token_hex(4)}")
    new.mkdir()
    try:
        files = _by_file(state) if model_files else {WEIGHTS_FILE: dict(state)}
        digests = {name: write_tensors(new / name, tensors) for name, tensors in files.items()}
        document = {"format_version": FORMAT_VERSION, "sha256": digests, **asdict(metadata)}
        for name, content in {**(model_files or {}), METADATA_FILE: sealed(document)}.items():
            write_through(new / name, content)
        flush_folder(new)
        replace_folder(new, directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    flush_folder(directory.parent)


def model_files(model: TaskModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, bytes]:
    """Configuration and tokenizer of a fine-tuned backbone, by file name; nothing where it is frozen."""
    if not model.method.trains_backbone:
        return {}
    config = copy.deepcopy(model.backbone.config)
    config.architectures = [type(model.backbone.model).__name__]
    config.dtype = model.backbone.dtype
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def _by_file(state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """A fine-tuned model's tensors by file, the backbone's under the names that transformers gives them."""
    weights = {name: tensor for name, tensor in state.items() if name.startswith(_BACKBONE)}
    rest = {name: tensor for name, tensor in state.items() if name not in weights}
    return {
        WEIGHTS_FILE: {name.removeprefix(_BACKBONE): tensor for name, tensor in weights.items()},
        HEAD_FILE: rest,
    }


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint folder, refusing whatever is not exactly what was saved.

    Raises:
        CheckpointError: The folder or one of its files is missing, truncated or altered, or was written by a
            newer format.
    """
    metadata, digests = _read(directory)
    state: dict[str, torch.Tensor] = {}
    for name, digest in digests.items():
        tensors = read_weights(directory / name, digest, _RETRAIN)
        _refuse_unusable(tensors, directory / name)
        is_backbone = name == WEIGHTS_FILE and HEAD_FILE in digests
        state |= {f"{_BACKBONE}{key}": value for key, value in tensors.items()} if is_backbone else tensors
    return Checkpoint(directory=directory, metadata=metadata, state=state)


def read_metadata(directory: Path) -> CheckpointMetadata:
    """What a checkpoint belongs to, read without its weights.

    Raises:
        CheckpointError: The folder or its document is missing, truncated or altered, or was written by a
            newer format.
    """
    return _read(directory)[0]


def _read(
    directory: Path,
) -> tuple[CheckpointMetadata, dict[Literal["model.safetensors", "head.safetensors"], str]]:
    """What a checkpoint belongs to, and its files of weights with their SHA-256."""
    metadata_path = directory / METADATA_FILE
    if not os.path.lexists(metadata_path):
        previous = previous_folder(directory.absolute())
        if os.path.isdir(previous):  # pathlib's raises where it may not look
            hint = f"An interrupted save left the checkpoint before it in {previous}: rename that folder"
        elif os.path.exists(directory / CONFIG_FILE):
            hint = f"It is an adapter of PEFT, which becomes a run by: xlprompt import {directory}"
        else:
            hint = "Give the folder that a training run saved, or the id of its MLflow run"
        raise CheckpointError(f"{directory}: no checkpoint here ({METADATA_FILE} is missing). {hint}")
    document = read_document(
        metadata_path,
        kind="checkpoint",
        version=FORMAT_VERSION,
        hint=_RETRAIN,
        remedy="Use the version of xlprompt that wrote it",
        before_checksums=(2,),
    )
    metadata = fit(CheckpointMetadata, document, metadata_path, _RETRAIN)
    _refuse_other_labels(metadata, metadata_path)
    return metadata, fit(_Files, document, metadata_path, _RETRAIN).sha256


class _Files(BaseModel):
    """The files of weights, with their SHA-256; other keys are of the metadata."""

    model_config = ConfigDict(strict=True)

    sha256: dict[Literal["model.safetensors", "head.safetensors"], str] = Field(min_length=1)


def _refuse_other_labels(metadata: CheckpointMetadata, path: Path) -> None:
    task = metadata.known_task
    if task is None or metadata.labels != task.labels or metadata.recipe.get("task") != metadata.task:
        raise CheckpointError(
            f"{path}: is of task '{metadata.task}' with the labels {', '.join(metadata.labels)}, which its "
            "recipe or this xlprompt has otherwise. Use the version of xlprompt that wrote it"
        )


def _refuse_unusable(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise for tensors that no training leaves behind: copied into a model, they would count as weights."""
    import torch

    dtypes = (torch.float32, torch.bfloat16)  # those of a recipe's `precision`
    for name, tensor in tensors.items():
        if tensor.dtype not in dtypes:
            problem = f"is of {tensor.dtype}, and weights are of {' or '.join(map(str, dtypes))}"
        elif not torch.isfinite(tensor).all():
            problem = "holds numbers that are not finite"
        else:
            continue
        raise CheckpointError(f"{path}: {name} {problem}. {_RETRAIN}")


def checkpoint_fingerprint(directory: Path) -> str:
    """SHA-256 that tells checkpoints apart: over the file that holds recipe, backbone and digests of weights.

    Raises:
        CheckpointError: There is no checkpoint.
    """
    try:
        return digest_of(directory / METADATA_FILE)
    except OSError as error:
        raise CheckpointError(f"{directory}: no checkpoint here ({error})") from error


def restore(checkpoint: Checkpoint, model: TaskModel, *, backbone_fingerprint: str) -> None:
    """Put a checkpoint's weights into a model built from its recipe.

    Raises:
        CheckpointError: The model stands on another backbone, or its parameters differ in name or shape.
    """
    saved = checkpoint.metadata
    if backbone_fingerprint != saved.backbone_fingerprint:
        raise CheckpointError(
            f"{checkpoint.directory}: belongs to {saved.backbone} with fingerprint "
            f"{saved.backbone_fingerprint}, and the backbone loaded has {backbone_fingerprint}. What was "
            "trained on one means nothing to other weights: load the backbone it was trained on"
        )
    expected = {name: tuple(tensor.shape) for name, tensor in model.trainable_state().items()}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.state.items()}
    if expected != found:
        differing = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        raise CheckpointError(
            f"{checkpoint.directory}: does not fit the model in {', '.join(differing)} "
            f"(saved {found.get(differing[0])}, model {expected.get(differing[0])}). Build the model from "
            "the checkpoint's own recipe"
        )
    model.load_trainable_state(checkpoint.state)
