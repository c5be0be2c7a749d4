"""What identifies a backbone: its weights as they are loaded, what changes its forward pass, its tokenizer.

A prompt only means something in front of the model that it was trained with, so its checkpoint carries this.
Weights count by name and value, whatever files they lie in and in whatever precision; of the configuration
all that is not cosmetic; of the tokenizer its vocabulary, its special tokens and the ids of a fixed text in
all languages of the study.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.cache import recall, remember
from xlprompt.models.pretrained.files import opened_weights, tokenizer_files, weight_files
from xlprompt.models.pretrained.known import PACKAGED
from xlprompt.models.pretrained.location import local_folder, locate
from xlprompt.models.pretrained.probe_text import PROBE_PAIR, PROBE_TEXTS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig

_KIND = "backbone-fingerprints-1"
_READ_WHOLE = 64 * 2**20  # bytes; a larger file's content is taken to be known by its size and times
_CHUNK = 2**24  # weights that are turned to float32 at a time
_COSMETIC = frozenset(
    {
        "_name_or_path",
        "_commit_hash",
        "transformers_version",
        "architectures",
        "dtype",
        "torch_dtype",
        "attn_implementation",
        "experts_implementation",
        "use_cache",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "id2label",
        "label2id",
        "problem_type",
        "tokenizer_class",
        "task_specific_params",
        "initializer_range",
        "init_std",
        "bos_token_id",
        "eos_token_id",
    }
)


def backbone_fingerprint(name: str) -> str | None:
    """A backbone's fingerprint without loading it; None where its files are not on this machine yet.

    Raises:
        ModelError: A folder is named, and no model lies there, or it is damaged.
    """
    if name in PACKAGED:
        from xlprompt.models.pretrained.packaged import is_converted

        if not is_converted(name):
            return None
    location = locate(name)
    if os.path.isdir(location):
        return fingerprint_of(Path(location))
    try:
        return fingerprint_of(local_folder(location))
    except ModelError:  # never downloaded, or not all of it
        return None


def fingerprint_of(folder: Path) -> str:
    """SHA-256 of the backbone in a model folder.

    It is computed once for a state of the folder's files, which are told apart by content, the large ones by
    size, times and inode, so gigabytes are read once.

    Raises:
        ModelError: The weights, the configuration or the tokenizer can't be read, the weights are not
            numbers, or it is no model for prompts (see `examine`).
    """
    files = [*weight_files(folder), folder / "config.json", *tokenizer_files(folder)]
    stamps = {path.name: _stamp(path) for path in files}
    key = _digest([stamps, version("transformers"), version("tokenizers")])
    known = recall(_KIND, key)
    if known is None:
        known = _digest(_identity(folder))
        remember(_KIND, key, known)
    return known


def _stamp(path: Path) -> str | list[Any]:
    try:
        status = path.stat()
        if status.st_size > _READ_WHOLE:
            # The time of change, which no program sets, tells of a copy that kept the time of writing.
            times = [status.st_mtime_ns, status.st_ctime_ns]
            return [str(path.resolve()), status.st_size, status.st_ino, *times]
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); get it again") from error


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _identity(folder: Path) -> dict[str, Any]:
    from xlprompt.models.pretrained.examination import (
        examine_config,  # whoever asks for what is known need not wait
    )
    from xlprompt.models.pretrained.reading import load_config

    config = load_config(str(folder))
    model = examine_config(config, name=str(folder)).model
    return {
        "model": type(config).__name__,
        "config": forward_settings(config),
        "weights": _weights_digest(
            weight_files(folder), set(model.state_dict()), f"{model.base_model_prefix}."
        ),
        "tokenizer": _tokenizer_identity(folder),
    }


def forward_settings(config: "PreTrainedConfig") -> dict[str, Any]:
    """What a configuration says of the forward pass, as far as it differs from its class's defaults.

    Defaults are left out so that a file that spells them out, or an added key of a later transformers, makes
    no other model.
    """
    try:
        defaults: Mapping[str, Any] = type(config)().to_dict()
    except (TypeError, ValueError):  # a class without defaults for all
        defaults = {}
    return {
        key: value
        for key, value in config.to_dict().items()
        if key not in _COSMETIC and (key not in defaults or value != defaults[key])
    }


def _weights_digest(files: list[Path], expected: set[str], prefix: str) -> str:
    """SHA-256 over the tensors that are loaded, by name: shape and values as float32."""
    with ExitStack() as stack:
        opened = {path: stack.enter_context(opened_weights(path)) for path in files}
        places = [(path, name) for path, weights in opened.items() for name in weights.names]
        # A file may hold the base model alone, or with the head around it.
        loaded = [(name.removeprefix(prefix) if name not in expected else name) for _, name in places]
        used = [name in expected for name in loaded]
        if len(set(loaded)) < len(loaded) or not expected <= set(loaded):
            # transformers makes weights of others (a mixture's experts, stacked), so every tensor counts.
            loaded, used = [name for _, name in places], [True] * len(places)
        return _digest(
            {
                own: _tensor_digest(path, name, opened[path].read(name))
                for own, (path, name), is_used in zip(loaded, places, used, strict=True)
                if is_used
            }
        )


def _tensor_digest(path: Path, name: str, tensor: "Tensor") -> str:
    import torch

    if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise ModelError(
            f"{path}: {name} is stored as {str(tensor.dtype).removeprefix('torch.')}, and weights are "
            "floating numbers of 16 bits and more; give the model before quantization"
        )
    digest = hashlib.sha256(repr(tuple(tensor.shape)).encode())
    for part in tensor.reshape(-1).split(_CHUNK):
        values = part.float()
        if not torch.isfinite(values).all():
            raise ModelError(
                f"{path}: {name} holds values that are no finite numbers; the model is damaged, get it again"
            )
        digest.update(values.numpy())
    return digest.hexdigest()


def _tokenizer_identity(folder: Path) -> dict[str, Any] | None:
    """Vocabulary, special tokens and the ids of the fixed text; None where no tokenizer is there."""
    from xlprompt.models.pretrained.reading import load_tokenizer

    if not tokenizer_files(folder):
        return None
    tokenizer = load_tokenizer(str(folder))
    return {
        "vocabulary": _digest(tokenizer.get_vocab()),
        "special": {**tokenizer.special_tokens_map, "ids": tokenizer.all_special_ids},
        "texts": tokenizer(list(PROBE_TEXTS)).input_ids,
        "pair": tokenizer(*PROBE_PAIR).input_ids,
    }
