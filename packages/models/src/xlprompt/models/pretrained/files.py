"""The files of a model folder: which hold its weights, and whether each is the whole file that it is named.

A clone without Git LFS, a download that broke off or a full disk leave files that only look like a model's.
They are found before any library stumbles over them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlprompt.models.errors import ModelError, ran_out_of_memory

if TYPE_CHECKING:  # whether files are there is told without torch
    from torch import Tensor

# In transformers' order: the first that is there is loaded.
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_POINTER = b"version https://git-lfs.github.com/spec/"
_AGAIN = "get it again"
_TOKENIZER_FILES = (
    "tokenizer",
    "special_tokens",
    "added_tokens",
    "vocab",
    "merges",
    "spiece",
    "sentencepiece",
)


def require_whole(path: Path) -> None:
    """Refuse a file that cannot be what its name says.

    Raises:
        ModelError: It is not there, no regular file, empty, unreadable, or points to Git LFS.
    """
    try:
        if not path.is_file():  # a pipe or a device would be waited for
            what = "is no file" if path.exists() else "is not there"
            raise ModelError(f"{path} {what}; {_AGAIN}")
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); {_AGAIN}") from error
    if not start:
        raise ModelError(f"{path} is empty; {_AGAIN}")
    if start == _POINTER:
        raise ModelError(
            f"{path} holds {size} bytes that point to Git LFS; fetch the file itself (git lfs pull)"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: It is not whole, or no JSON object.
    """
    require_whole(path)
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} can't be loaded: it is cut off or damaged ({error}); {_AGAIN}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; {_AGAIN}")
    return content


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a model folder that its tokenizer is made of."""
    return sorted(path for path in folder.iterdir() if path.name.startswith(_TOKENIZER_FILES))


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads the weights of a model folder from; each is there and not empty.

    Raises:
        ModelError: There is none, or one is missing or not whole.
    """
    named = read_json(folder / "config.json").get("transformers_weights")
    if named is not None and not _is_plain_name(named):
        raise ModelError(f"{folder / 'config.json'}: transformers_weights is no file name; remove it")
    names = [named] if named else [name for name in _WEIGHT_FILES if (folder / name).exists()]
    if not names:
        raise ModelError(f"{folder}: can't be loaded: none of {', '.join(_WEIGHT_FILES)} is there")
    found = folder / names[0]
    files = [found]
    if found.name.endswith(".index.json"):
        shards = read_json(found).get("weight_map")
        if not isinstance(shards, dict) or not all(map(_is_plain_name, shards.values())) or not shards:
            raise ModelError(f"{found} has no weight_map that names files; {_AGAIN}")
        files = [folder / name for name in sorted(set(shards.values()))]
    for path in files:
        require_whole(path)
    return files


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


@contextmanager
def opened_weights(path: Path) -> Iterator[Weights]:
    """The tensors of a weight file by name, each read when it is asked for.

    Raises:
        ModelError: The file is cut off, damaged or no weight file. Pickled code is never run.
    """
    import torch
    from safetensors import safe_open

    with ExitStack() as stack:
        try:
            if path.suffix == ".safetensors":
                file = stack.enter_context(safe_open(path, "pt"))
                found = Weights(tuple(file.keys()), file.get_tensor)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
                tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
                found = Weights(tuple(tensors), tensors.__getitem__)
        except Exception as error:  # safetensors', pickle's, zip's and torch's each have their own
            if ran_out_of_memory(error):
                raise
            raise ModelError(
                f"{path} can't be loaded: it is cut off or damaged ({first_line(error)}); {_AGAIN}"
            ) from error
        yield found


@dataclass(frozen=True)
class Weights:
    """The tensors of an opened weight file: their names, and how to read one."""

    names: tuple[str, ...]
    read: Callable[[str], Tensor]


def first_line(error: BaseException) -> str:
    """What a library said, for a line of our own."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
