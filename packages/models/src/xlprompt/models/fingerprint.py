"""What identifies a backbone: the SHA-256 of its configuration and weight files, wherever they came from.

A prompt only means something in front of the weights that it was trained with, so its checkpoint carries
this.
"""

import hashlib
import json
import os
from pathlib import Path

from transformers.utils import cached_file

from xlprompt.models.cache import cache_dir
from xlprompt.models.errors import ModelError

_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def weights_fingerprint(location: str, *, revision: str | None = None) -> str:
    """SHA-256 over `config.json` and the weight files of a model folder or of a hub id's local copy.

    File hashes are remembered by path, size and time, so gigabytes are read once.

    Args:
        location: A folder, or the id of a hub model that has been loaded before.
        revision: Commit of the hub model.

    Raises:
        ModelError: No weight file is there.
    """
    find = lambda name: cached_file(  # noqa: E731 - one use, one line
        location, name, revision=revision, local_files_only=True, _raise_exceptions_for_missing_entries=False
    )
    weights = next((path for path in map(find, _WEIGHT_FILES) if path is not None), None)
    if weights is None:
        raise ModelError(f"{location}: none of {', '.join(_WEIGHT_FILES)} is there")
    files = [weights]
    if weights.endswith(".index.json"):
        shards = sorted(set(json.loads(Path(weights).read_text(encoding="utf-8"))["weight_map"].values()))
        files = [str(path) for path in map(find, shards)]
    digest = hashlib.sha256()
    for path in (find("config.json"), *files):
        digest.update(_file_hash(Path(str(path))).encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    status = path.stat()
    key = hashlib.sha256(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}".encode()).hexdigest()
    remembered = cache_dir() / "file-hashes" / key
    if remembered.is_file():
        return remembered.read_text(encoding="ascii")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    remembered.parent.mkdir(parents=True, exist_ok=True)
    temporary = remembered.with_suffix(f".{os.getpid()}")
    temporary.write_text(digest, encoding="ascii")
    temporary.replace(remembered)
    return digest
