"""A checkpoint is a folder with what was trained and what it belongs to: safetensors and JSON, never pickle.

It holds what was trained and no more: with a prompt the prompt and the head (about 3 MB for a 564M backbone),
with LoRA its matrices and the head; and the fingerprint of the backbone they were trained on. After full
fine-tuning it is a model folder as well, which transformers' `from_pretrained` loads, with the head in a file
of its own. A folder is either whole or refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:  # whoever only asks which steps are saved need not wait for transformers
    from transformers import PreTrainedTokenizerFast

    from xlprompt.models import TaskModel

FORMAT_VERSION = 2
WEIGHTS_FILE = "model.safetensors"
HEAD_FILE = "head.safetensors"  # beside a fine-tuned backbone
METADATA_FILE = "checkpoint.json"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used: missing, damaged, too new, or of another backbone."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """What the weights are: the recipe that trained them and where they stood when they were chosen."""

    recipe: dict[str, Any]
    backbone: str
    backbone_fingerprint: str
    task: str
    labels: tuple[str, ...]
    budget: dict[str, Any]
    step: int
    metric: str
    score: float


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
    new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.new-", dir=directory.parent))
    try:
        new.chmod(0o755)  # mkdtemp's 0700 would hide a shared store's checkpoints from other users
        files = _by_file(state) if model_files else {WEIGHTS_FILE: dict(state)}
        digests = {name: write_tensors(new / name, tensors) for name, tensors in files.items()}
        document = {"format_version": FORMAT_VERSION, "sha256": digests, **asdict(metadata)}
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, content in {**(model_files or {}), METADATA_FILE: text.encode()}.items():
            write_through(new / name, content)
        flush_folder(new)
        replace_folder(new, directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    flush_folder(directory.parent)


def model_files(model: TaskModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, bytes]:
    """Configuration and tokenizer of a fine-tuned backbone, by file name; nothing where it is frozen."""
    if model.method != "finetune":
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
    metadata_path = directory / METADATA_FILE
    if not metadata_path.is_file():
        previous = previous_folder(directory.absolute())
        hint = (
            f"An interrupted save left the checkpoint before it in {previous}: rename that folder"
            if previous.is_dir()
            else "Give the folder that a training run saved, or the id of its MLflow run"
        )
        raise CheckpointError(f"{directory}: no checkpoint here ({METADATA_FILE} is missing). {hint}")
    document = _read_document(metadata_path)
    digests = document["sha256"]
    state: dict[str, torch.Tensor] = {}
    for name, digest in digests.items():
        tensors = read_weights(directory / name, digest, _RETRAIN)
        is_backbone = name == WEIGHTS_FILE and HEAD_FILE in digests
        state |= {f"{_BACKBONE}{key}": value for key, value in tensors.items()} if is_backbone else tensors
    values = {field.name: document[field.name] for field in fields(CheckpointMetadata)}
    metadata = CheckpointMetadata(**{**values, "labels": tuple(values["labels"])})
    return Checkpoint(directory=directory, metadata=metadata, state=state)


def checkpoint_fingerprint(directory: Path) -> str:
    """SHA-256 that tells checkpoints apart: over the file that holds recipe, backbone and digests of weights.

    Raises:
        CheckpointError: There is no checkpoint.
    """
    try:
        return _digest(directory / METADATA_FILE)
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


_BACKBONE = "backbone.model."
_RETRAIN = "Copy the checkpoint again from where it was trained, or train it again"


def read_weights(path: Path, digest: str, hint: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file whose SHA-256 is known.

    Raises:
        CheckpointError: It is missing, truncated or altered; the message ends with `hint`.
    """
    try:
        found, size = _digest(path), path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}). {hint}") from error
    if found != digest:
        raise CheckpointError(
            f"{path}: {size} bytes that are not the ones that were saved: the file was truncated or changed. "
            f"{hint}"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}). {hint}") from error


def read_versioned(path: Path, *, kind: str, version: int, hint: str, remedy: str) -> dict[str, Any]:
    """Read a JSON object that says in `format_version` how it is laid out.

    Raises:
        CheckpointError: It is not readable (the message ends with `hint`), or of another version (`remedy`).
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error}). {hint}") from error
    found = document.get("format_version") if isinstance(document, dict) else None
    if found != version:
        raise CheckpointError(
            f"{path}: {kind} format {found}, and this xlprompt reads format {version}. {remedy}"
        )
    return dict(document)


def _read_document(path: Path) -> dict[str, Any]:
    document = read_versioned(
        path,
        kind="checkpoint",
        version=FORMAT_VERSION,
        hint=_RETRAIN,
        remedy="Use the version of xlprompt that wrote it",
    )
    needed = {"sha256", *(field.name for field in fields(CheckpointMetadata))}
    if not set(document.get("sha256", {})) <= {WEIGHTS_FILE, HEAD_FILE}:
        raise CheckpointError(f"{path}: names files that no checkpoint has. {_RETRAIN}")
    if absent := sorted(needed - document.keys()):
        raise CheckpointError(f"{path}: lacks {', '.join(absent)}. {_RETRAIN}")
    return document


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write a safetensors file, without a second copy in memory, and wait until it is on the disk.

    Returns:
        Its SHA-256.
    """
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    if os.name == "nt":  # Windows cannot open a folder to flush it
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def previous_folder(directory: Path) -> Path:
    """Where `replace_folder` puts the old folder while it renames."""
    return directory.with_name(f".{directory.name}.previous")


def replace_folder(new: Path, directory: Path) -> None:
    """Rename `new` to `directory`; POSIX renames onto an empty folder only, so an old one is moved aside."""
    if not directory.exists():
        new.rename(directory)
        return
    previous = previous_folder(directory)
    shutil.rmtree(previous, ignore_errors=True)
    directory.rename(previous)
    try:
        new.rename(directory)
    except OSError:
        previous.rename(directory)
        raise
    shutil.rmtree(previous)
