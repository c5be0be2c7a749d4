"""Moments beside a checkpoint: a file that is not as it was written is refused with its name."""

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from xlprompt.models import Moments, Target
from xlprompt.training.alignment.files import kept_alignments, load_alignment, save_alignment
from xlprompt.training.alignment.moments import Alignment, Text
from xlprompt.training.errors import CheckpointError


def moments(count: int) -> Moments:
    return Moments(count, torch.zeros(4), torch.ones(4), torch.ones(4))


@pytest.fixture
def kept(tmp_path) -> Path:
    (tmp_path / "checkpoint.json").write_text("{}")
    texts = {code: Text("validation", 10, code) for code in ("en", "de")}
    alignment = Alignment(10, 2, "en", Target(moments(7), torch.eye(4)), {"de": moments(9)}, texts)
    return save_alignment(tmp_path, alignment)


def rewrite(path: Path, about: dict | str | None = None, **tensors: torch.Tensor | None) -> None:
    with safe_open(path, "pt") as file:
        stored = json.loads(file.metadata()["xlprompt"])
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    kept = {name: tensor for name, tensor in (load_file(path) | named).items() if tensor is not None}
    text = about if isinstance(about, str) else json.dumps(stored | (about or {}))
    save_file(kept, path, {"xlprompt": text})


OTHER_ABOUTS = [
    "[" * 100_000,
    "5",
    "",
    {"format_version": "1"},
    {"checkpoint": 5},
    {"sentences": "10"},
    {"sentences": 11},
    {"layer": True},
    {"layer": None},
    {"counts": [7]},
    {"counts": {"en": 7.5, "de": 9}},
    {"counts": {"de": 9}},
    {"counts": {"en": 7, "de": 9, "sw": 9}},
    {"train_language": ["en"]},
    {"train_language": "sw"},
    {"texts": {"en": {"split": 5, "sentences": 10, "fingerprint": ""}}},
    {"texts": None},
    {"more": 1},
]


@pytest.mark.parametrize("about", OTHER_ABOUTS, ids=lambda about: str(about)[:50])
def test_moments_that_say_other_things_of_themselves_are_refused(kept, about):
    rewrite(kept, about)
    with pytest.raises(CheckpointError, match=f"{kept.name}: .*Delete it"):
        load_alignment(kept.parent, 10, 2)


@pytest.mark.parametrize(
    "tensors",
    [
        {"de__mean": None},
        {"more": torch.zeros(4)},
        {"de__mean": torch.zeros(5)},
        {"de__mean": torch.zeros(4, dtype=torch.int8)},
        {"de__mean": torch.full((4,), float("nan"))},
        {"de__deviation": torch.zeros(4)},
        {"directions": torch.eye(3)},
    ],
    ids=str,
)
def test_moments_of_other_tensors_are_refused(kept, tensors):
    rewrite(kept, **tensors)
    with pytest.raises(CheckpointError, match=f"{kept.name}: .*Delete it"):
        load_alignment(kept.parent, 10, 2)


def test_moments_are_as_readable_as_other_files(kept):
    assert kept_alignments(kept.parent) == [(2, 10)]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o666 & ~umask
