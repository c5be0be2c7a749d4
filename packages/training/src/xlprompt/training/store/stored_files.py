"""Tensors and JSON on the disk: written whole, as readable as their folder, and read back or refused.

What the files mean is the business of checkpoints and training states.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError

from xlprompt.data.strict_json import parse
from xlprompt.training.errors import CheckpointError

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

# What reading a file that is no safetensors, or cannot be read, may raise.
SAFETENSORS_ERRORS = (OSError, SafetensorError, ValueError, RuntimeError)

_CHECKSUM = "checksum"


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Write a safetensors file, without a second copy in memory, and wait until it is on the disk.

    Returns:
        Its SHA-256.
    """
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode & 0o777  # by the umask; safetensors would leave it to its owner alone
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, path, {"format": "pt", **(metadata or {})})
    path.chmod(mode)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return digest_of(path)


def read_weights(path: Path, digest: str, hint: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file whose SHA-256 is known.

    Raises:
        CheckpointError: It is missing, truncated or altered; the message ends with `hint`.
    """
    try:
        found, size = digest_of(path), path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}). {hint}") from error
    if found != digest:
        raise CheckpointError(
            f"{path}: {size} bytes that are not the ones that were saved: the file was truncated or changed. "
            f"{hint}"
        )
    return read_tensors(path, hint)


def read_tensors(path: Path, hint: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It cannot be read as one; the message ends with `hint`.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SAFETENSORS_ERRORS as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}). {hint}") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: It cannot be read, or is something else, such as a pipe, which would be waited for.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is not a file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(document: Mapping[str, Any]) -> bytes:
    """A JSON object's text with a checksum over its values, which `read_document` takes."""
    text = json.dumps({_CHECKSUM: _checksum(document), **document}, indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def read_document(
    path: Path,
    *,
    kind: str,
    version: int,
    hint: str,
    remedy: str,
    before_checksums: Collection[int] = (),
) -> dict[str, Any]:
    """Read a JSON object that `sealed` made, and that says in `format_version` how it is laid out.

    Args:
        path: The file.
        kind: What it is, for messages.
        version: Of the layout.
        hint: What to do about a file that is damaged.
        remedy: What to do about one of another version.
        before_checksums: Earlier versions that can be read too, and that need no checksum.

    Raises:
        CheckpointError: It is not readable, of another version, or was changed after it was written.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a file")
        document: Any = parse(object, path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error}). {hint}") from error
    found = document.get("format_version") if isinstance(document, dict) else None
    if type(found) is not int or found not in {version, *before_checksums}:
        raise CheckpointError(
            f"{path}: {kind} format {str(found)[:20]}, and this xlprompt reads format {version}. {remedy}"
        )
    checksum = document.pop(_CHECKSUM, None)
    if checksum != _checksum(document) and not (checksum is None and found in before_checksums):
        raise CheckpointError(f"{path}: was changed after it was saved. {hint}")
    return dict(document)


def fit(kind: type[Value], document: Any, path: Path, hint: str) -> Value:
    """What a document of this type holds; see `xlprompt.data.strict_json`.

    Raises:
        CheckpointError: It is of other types; the message ends with `hint`.
    """
    try:
        return parse(kind, json.dumps(document))
    except ValueError as error:
        raise CheckpointError(f"{path}: not as it is written by xlprompt ({error}). {hint}") from error


def _checksum(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
