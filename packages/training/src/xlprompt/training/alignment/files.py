"""Moments beside a checkpoint: one light safetensors file for each layer and number of sentences.

A file belongs to the checkpoint whose fingerprint it bears, and is refused beside any other. What it holds is
a mean and two deviations for each language, and one matrix: 1.7 MB for 25 languages of Gemma 3 270M.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from pydantic import PositiveInt
from safetensors import safe_open
from torch import Tensor

from xlprompt.data.strict_json import Strict, parse
from xlprompt.data.whole_files import in_place_of
from xlprompt.models import Moments, Target
from xlprompt.training.alignment.moments import Alignment, Text
from xlprompt.training.errors import CheckpointError
from xlprompt.training.store.checkpoint import checkpoint_fingerprint
from xlprompt.training.store.stored_files import SAFETENSORS_ERRORS, write_tensors

FORMAT_VERSION = 1
_PARTS = ("mean", "deviation", "along")
_DIRECTIONS = "directions"
_NAME = re.compile(r"alignment(?:-layer([0-9]{1,9}))?-([0-9]{1,9})\.safetensors")


class _About(Strict):
    """What the file says of its tensors."""

    format_version: Literal[1]
    checkpoint: str
    sentences: PositiveInt
    layer: PositiveInt | None
    train_language: str
    counts: dict[str, PositiveInt]
    texts: dict[str, Text]


def alignment_path(checkpoint: Path, sentences: int, layer: int | None) -> Path:
    """Where the moments of a checkpoint folder lie."""
    where = "" if layer is None else f"-layer{layer}"
    return checkpoint / f"alignment{where}-{sentences}.safetensors"


def save_alignment(checkpoint: Path, alignment: Alignment) -> Path:
    """Write moments beside the checkpoint that they were measured with, whole or not at all."""
    by_language = {**alignment.moments, alignment.train_language: alignment.target.moments}
    tensors: dict[str, Tensor] = {_DIRECTIONS: alignment.target.directions.contiguous()}
    for code, moments in by_language.items():
        tensors |= {f"{code}.{part}": getattr(moments, part).contiguous() for part in _PARTS}
    about = {
        "format_version": FORMAT_VERSION,
        "checkpoint": checkpoint_fingerprint(checkpoint),
        "sentences": alignment.sentences,
        "layer": alignment.layer,
        "train_language": alignment.train_language,
        "counts": {code: moments.count for code, moments in by_language.items()},
        "texts": {code: asdict(text) for code, text in alignment.texts.items()},
    }
    path = alignment_path(checkpoint, alignment.sentences, alignment.layer)
    with in_place_of(path) as temporary:
        write_tensors(temporary, tensors, {"xlprompt": json.dumps(about)})
    return path


def kept_alignments(checkpoint: Path) -> list[tuple[int | None, int]]:
    """Layer and number of sentences of the moments that lie beside a checkpoint; None is the head's."""
    names = (_NAME.fullmatch(path.name) for path in checkpoint.glob("alignment*.safetensors"))
    return [(int(each[1]) if each[1] else None, int(each[2])) for each in names if each]


def load_alignment(checkpoint: Path, sentences: int, layer: int | None) -> Alignment | None:
    """Read the moments beside a checkpoint; None where none were kept.

    Raises:
        CheckpointError: The file is damaged, of another format, or belongs to another checkpoint.
    """
    path = alignment_path(checkpoint, sentences, layer)
    if not path.is_file():
        return None
    remedy = "Delete it: it is made again from unlabelled text"
    try:
        with safe_open(path, "pt") as file:
            about = parse(_About, (file.metadata() or {}).get("xlprompt", ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if (about.sentences, about.layer) != (sentences, layer):
            raise ValueError(f"it is of {about.sentences} sentences in layer {about.layer}")
        _check(about, tensors)
    except SAFETENSORS_ERRORS as error:
        raise CheckpointError(
            f"{path}: not readable as moments of an alignment in format {FORMAT_VERSION} ({error}). {remedy}"
        ) from error
    own = checkpoint_fingerprint(checkpoint)
    if about.checkpoint != own:
        raise CheckpointError(
            f"{path}: belongs to the checkpoint with fingerprint {about.checkpoint[:16]}, and this one "
            f"has {own[:16]}. Moments mean nothing to other weights. {remedy}"
        )
    moments = {
        code: Moments(count, *(tensors[f"{code}.{part}"] for part in _PARTS))
        for code, count in about.counts.items()
    }
    return Alignment(
        sentences=about.sentences,
        layer=about.layer,
        train_language=about.train_language,
        target=Target(moments.pop(about.train_language), tensors[_DIRECTIONS]),
        moments=moments,
        texts=about.texts,
    )


def _check(about: _About, tensors: Mapping[str, Tensor]) -> None:
    """Raise a ValueError for tensors other than those that the file says it holds."""
    parts = {f"{code}.{part}" for code in about.counts for part in _PARTS}
    if about.train_language not in about.counts:
        raise ValueError(f"no moments of '{about.train_language}', which was trained on")
    if odd := sorted(tensors.keys() ^ {_DIRECTIONS, *parts}):
        raise ValueError(f"{odd[0]} is missing, or should not be there")
    hidden = tensors[f"{about.train_language}.mean"].numel()
    for name, tensor in tensors.items():
        shape = (hidden, hidden) if name == _DIRECTIONS else (hidden,)
        if tensor.shape != shape or tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise ValueError(f"{name} is no float32 tensor of {shape} finite numbers")
        if name.endswith(".deviation") and not (tensor > 0).all():
            raise ValueError(f"{name} is not above zero")
