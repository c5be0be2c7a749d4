import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xlprompt.training import checkpoint
from xlprompt.training.checkpoint import (
    CheckpointError,
    CheckpointMetadata,
    load_checkpoint,
    restore,
    save_checkpoint,
)

METADATA = CheckpointMetadata(
    recipe={"task": "xnli", "seed": 1},
    backbone="gemma-3-270m",
    backbone_fingerprint="abc",
    task="xnli",
    labels=("entailment", "neutral", "contradiction"),
    budget={"trainable_params": 6},
    step=40,
    metric="accuracy",
    score=61.5,
)
STATE = {"prompts.layers": torch.arange(24.0).reshape(2, 3, 4), "head.bias": torch.zeros(3)}


@pytest.fixture
def saved(tmp_path) -> Path:
    folder = tmp_path / "run" / "checkpoint"
    save_checkpoint(folder, STATE, METADATA)
    return folder


def rewrite(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))


def test_a_checkpoint_comes_back_as_it_was_saved(saved):
    loaded = load_checkpoint(saved)
    assert loaded.metadata == METADATA
    assert loaded.state.keys() == STATE.keys()
    for name, tensor in STATE.items():
        assert torch.equal(loaded.state[name], tensor)


def test_a_checkpoint_is_two_files_that_other_tools_can_read(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["checkpoint.json", "model.safetensors"]
    assert torch.equal(load_file(saved / "model.safetensors")["head.bias"], STATE["head.bias"])
    assert json.loads((saved / "checkpoint.json").read_text())["score"] == 61.5


def test_views_and_transposed_tensors_are_saved_by_value(tmp_path):
    save_checkpoint(tmp_path / "c", {"t": torch.arange(6.0).reshape(2, 3).T}, METADATA)
    assert torch.equal(load_checkpoint(tmp_path / "c").state["t"], torch.arange(6.0).reshape(2, 3).T)


def test_saving_again_replaces_the_checkpoint_and_leaves_nothing_beside_it(saved):
    save_checkpoint(saved, {"other": torch.ones(1)}, replace(METADATA, step=80))
    loaded = load_checkpoint(saved)
    assert loaded.metadata.step == 80
    assert list(loaded.state) == ["other"]
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("failing", ["write_through", "flush_folder"])
def test_a_save_that_fails_leaves_the_old_checkpoint_whole(saved, monkeypatch, failing):
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, failing, full)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(saved, STATE, replace(METADATA, step=80))
    assert load_checkpoint(saved).metadata.step == 40
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint"]


def test_a_replacement_that_cannot_be_renamed_puts_the_old_checkpoint_back(saved, monkeypatch):
    rename = Path.rename

    def refuse_the_new_one(self: Path, target: Path) -> Path:
        if ".new-" in self.name:
            raise OSError("device busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    with pytest.raises(OSError, match="device busy"):
        save_checkpoint(saved, STATE, replace(METADATA, step=80))
    assert load_checkpoint(saved).metadata.step == 40


def test_a_crash_between_the_two_renames_is_explained(saved):
    saved.rename(saved.with_name(".checkpoint.previous"))
    with pytest.raises(CheckpointError, match=r"\.checkpoint\.previous: rename that folder"):
        load_checkpoint(saved)


DAMAGES = {
    "no folder": (lambda c: [p.unlink() for p in c.iterdir()] and c.rmdir(), "no checkpoint here"),
    "no metadata": (lambda c: (c / "checkpoint.json").unlink(), r"checkpoint\.json is missing"),
    "no weights": (lambda c: (c / "model.safetensors").unlink(), r"model\.safetensors: cannot be read"),
    "empty metadata": (lambda c: (c / "checkpoint.json").write_text(""), "not readable as JSON"),
    "half metadata": (
        lambda c: (c / "checkpoint.json").write_text((c / "checkpoint.json").read_text()[:80]),
        "not readable as JSON",
    ),
    "metadata of another kind": (
        lambda c: (c / "checkpoint.json").write_text("[]"),
        "checkpoint format None",
    ),
    "binary metadata": (
        lambda c: (c / "checkpoint.json").write_bytes(b"\xff\xfe\x00"),
        "not readable as JSON",
    ),
    "newer format": (
        lambda c: rewrite(c / "checkpoint.json", format_version=3),
        "format 3, .* reads format 2",
    ),
    "missing key": (lambda c: rewrite(c / "checkpoint.json", labels=...), "lacks labels"),
    "truncated weights": (
        lambda c: (c / "model.safetensors").write_bytes((c / "model.safetensors").read_bytes()[:-1]),
        "truncated or changed",
    ),
    "empty weights": (lambda c: (c / "model.safetensors").write_bytes(b""), "0 bytes that are not the ones"),
    "one changed bit": (
        lambda c: (c / "model.safetensors").write_bytes(
            (c / "model.safetensors").read_bytes()[:-1] + b"\x01"
        ),
        "truncated or changed",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_with_the_file_and_a_remedy(saved, damage):
    spoil, expected = DAMAGES[damage]
    spoil(saved)
    with pytest.raises(CheckpointError, match=expected) as error:
        load_checkpoint(saved)
    assert str(saved) in str(error.value)


def test_weights_that_match_their_checksum_but_are_no_safetensors_are_refused(saved):
    (saved / "model.safetensors").write_bytes(b"not tensors at all")
    rewrite(
        saved / "checkpoint.json",
        sha256={"model.safetensors": hashlib.sha256(b"not tensors at all").hexdigest()},
    )
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(saved)


def test_another_backbone_is_refused(saved, fake_model):
    with pytest.raises(CheckpointError, match="belongs to gemma-3-270m with fingerprint abc.*has xyz"):
        restore(load_checkpoint(saved), fake_model(3), backbone_fingerprint="xyz")


def test_parameters_of_another_shape_are_refused_by_name(tmp_path, fake_model):
    save_checkpoint(tmp_path / "c", fake_model(3).trainable_state(), METADATA)
    with pytest.raises(CheckpointError, match=r"head\.bias, head\.weight .*saved \(3,\), model \(4,\)"):
        restore(load_checkpoint(tmp_path / "c"), fake_model(4), backbone_fingerprint="abc")


def test_a_checkpoint_restores_a_fresh_model(tmp_path, fake_model):
    trained = fake_model(3)
    with torch.no_grad():
        trained.prompt.fill_(0.5)
    save_checkpoint(tmp_path / "c", trained.trainable_state(), METADATA)
    fresh = fake_model(3)
    restore(load_checkpoint(tmp_path / "c"), fresh, backbone_fingerprint="abc")
    assert torch.equal(fresh.prompt, trained.prompt)
