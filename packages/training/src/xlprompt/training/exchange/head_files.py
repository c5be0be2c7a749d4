"""The head beside an adapter of PEFT, which has no place for it: safetensors, and JSON that says what it is.

The JSON holds what a checkpoint's does (recipe, task, labels, backbone), so that an exported folder comes
back as the run that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from xlprompt.data.whole_files import write_through
from xlprompt.training.store.checkpoint import CheckpointMetadata
from xlprompt.training.store.stored_files import (
    fit,
    read_document,
    read_weights,
    sealed,
    write_tensors,
)

FORMAT_VERSION = 1
HEAD_FILE = "head.safetensors"
ABOUT_FILE = "xlprompt.json"
_AGAIN = "Export it again"


class _Files(BaseModel):
    """The head's file, with its SHA-256; other keys are of the metadata."""

    model_config = ConfigDict(strict=True)

    sha256: dict[Annotated[str, Field(pattern="^head.safetensors$")], str] = Field(min_length=1)


def write_head(folder: Path, head: Mapping[str, Tensor], metadata: CheckpointMetadata) -> None:
    """Write the head's tensors (`weight`, and `bias` where it has one) and what they are."""
    digest = write_tensors(folder / HEAD_FILE, head)
    document = {"format_version": FORMAT_VERSION, "sha256": {HEAD_FILE: digest}, **asdict(metadata)}
    write_through(folder / ABOUT_FILE, sealed(document))


def read_head(folder: Path) -> tuple[CheckpointMetadata, dict[str, Tensor]] | None:
    """What `write_head` wrote; None where nothing is.

    Raises:
        CheckpointError: It is damaged or was changed.
    """
    path = folder / ABOUT_FILE
    if not path.exists():
        return None
    document = read_document(
        path,
        kind="head",
        version=FORMAT_VERSION,
        hint=_AGAIN,
        remedy="Use the version of xlprompt that wrote it",
    )
    metadata = fit(CheckpointMetadata, document, path, _AGAIN)
    digest = fit(_Files, document, path, _AGAIN).sha256[HEAD_FILE]
    return metadata, read_weights(folder / HEAD_FILE, digest, _AGAIN)
