"""Moments beside a checkpoint: one light safetensors file for each layer and number of sentences.

A file belongs to the checkpoint whose fingerprint it bears, and is refused beside any other. What it holds is
a mean and two deviations for each language, and one matrix: 1.7 MB for 25 languages of Gemma 3 270M.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xlprompt.models import Moments, Target
from xlprompt.training.alignment import Alignment, Text
from xlprompt.training.checkpoint import CheckpointError, checkpoint_fingerprint

FORMAT_VERSION = 1
_PARTS = ("mean", "deviation", "along")
_DIRECTIONS = "directions"
_NAME = re.compile(r"alignment(?:-layer(\d+))?-(\d+)\.safetensors")


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, {"xlprompt": json.dumps(about)})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
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
            about = json.loads((file.metadata() or {})["xlprompt"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not readable as moments of an alignment ({error}). {remedy}"
        ) from error
    if about.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: alignment format {about.get('format_version')}, and this xlprompt reads format "
            f"{FORMAT_VERSION}. {remedy}"
        )
    own = checkpoint_fingerprint(checkpoint)
    if about["checkpoint"] != own:
        raise CheckpointError(
            f"{path}: belongs to the checkpoint with fingerprint {about['checkpoint'][:16]}, and this one "
            f"has {own[:16]}. Moments mean nothing to other weights. {remedy}"
        )
    moments = {
        code: Moments(count, *(tensors[f"{code}.{part}"] for part in _PARTS))
        for code, count in about["counts"].items()
    }
    train_language = about["train_language"]
    return Alignment(
        sentences=about["sentences"],
        layer=about["layer"],
        train_language=train_language,
        target=Target(moments.pop(train_language), tensors[_DIRECTIONS]),
        moments=moments,
        texts={code: Text(**text) for code, text in about["texts"].items()},
    )
