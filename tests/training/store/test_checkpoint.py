import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xlprompt.training.errors import CheckpointError
from xlprompt.training.store import checkpoint
from xlprompt.training.store.checkpoint import CheckpointMetadata, load_checkpoint, restore, save_checkpoint
from xlprompt.training.store.stored_files import sealed

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


def reseal(folder: Path, **changes: object) -> None:
    """Change a checkpoint's JSON as someone would who makes a new checksum for it."""
    document = {**json.loads((folder / "checkpoint.json").read_text()), **changes}
    del document["checksum"]
    (folder / "checkpoint.json").write_bytes(sealed({k: v for k, v in document.items() if v is not ...}))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
        lambda c: rewrite(c / "checkpoint.json", format_version=4),
        "format 4, .* reads format 3",
    ),
    "missing key": (lambda c: rewrite(c / "checkpoint.json", labels=...), "changed after it was saved"),
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


OF_OTHER_TYPES = [
    {"sha256": None},
    {"sha256": ["model.safetensors"]},
    {"sha256": ""},
    {"sha256": {}},
    {"sha256": {"model.safetensors": 5}},
    {"sha256": {"../model.safetensors": "0"}},
    {"labels": 5},
    {"labels": "yes"},
    {"labels": ["entailment", None]},
    {"labels": ["contradiction", "neutral", "entailment"]},
    {"recipe": 5},
    {"recipe": {}},
    {"recipe": ...},
    {"budget": []},
    {"task": "pos"},
    {"task": {}},
    {"step": "40"},
    {"step": True},
    {"step": -1},
    {"score": float("nan")},
    {"score": 10**400},
    {"backbone": None},
    {"format_version": "3"},
    {"format_version": True},
    {"format_version": [[3]]},
]


@pytest.mark.parametrize("changes", OF_OTHER_TYPES, ids=str)
@pytest.mark.parametrize("version", [2, 3])
def test_json_of_other_types_is_refused_with_its_file(saved, changes, version):
    reseal(saved, **{"format_version": version} | changes)
    if version == 2:
        rewrite(saved / "checkpoint.json", checksum=...)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json: ") as error:
        load_checkpoint(saved)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b'{"task": "\\ud800"}', b"\x80", b"null", b""],
)
def test_what_is_no_json_object_is_refused_with_its_file(saved, content):
    (saved / "checkpoint.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json: "):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["checkpoint.json", "model.safetensors"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_a_folder_or_pipe_in_the_place_of_a_file_is_refused_at_once(saved, name, make):
    (saved / name).unlink()
    make(saved / name)
    with pytest.raises(CheckpointError, match=str(saved)):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("recipe", {"task": "xnli", "seed": 2}),
        ("labels", ["neutral", "entailment", "contradiction"]),
        ("task", "pos"),
        ("step", 41),
        ("more", None),
        ("checksum", ...),
        ("checksum", None),
        ("checksum", {}),
    ],
)
def test_json_that_was_changed_after_it_was_saved_is_refused(saved, key, other):
    rewrite(saved / "checkpoint.json", **{key: other})
    with pytest.raises(CheckpointError, match=r"checkpoint\.json: was changed after it was saved"):
        load_checkpoint(saved)


def test_a_checkpoint_from_before_checksums_is_read(saved):
    rewrite(saved / "checkpoint.json", format_version=2, checksum=...)
    assert load_checkpoint(saved).metadata == METADATA


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.zeros(3, dtype=torch.int8), "is of torch.int8"),
        (torch.zeros(3, dtype=torch.bool), "is of torch.bool"),
        (torch.zeros(3, dtype=torch.float64), "is of torch.float64"),
        (torch.zeros(3, dtype=torch.complex64), "is of torch.complex64"),
        (torch.zeros(3).to(torch.float8_e4m3fn), "is of torch.float8_e4m3fn"),
        (torch.tensor([0.0, float("nan"), 0.0]), "not finite"),
        (torch.tensor([0.0, float("-inf"), 0.0], dtype=torch.bfloat16), "not finite"),
    ],
)
def test_weights_that_no_training_leaves_behind_are_refused_by_name(tmp_path, tensor, problem):
    save_checkpoint(tmp_path / "c", STATE | {"head.bias": tensor}, METADATA)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: head\.bias .*{problem}"):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("changed", [{"more": torch.zeros(1)}, {"head.bias": None}])
def test_tensors_that_the_model_has_not_or_lacks_are_named(tmp_path, fake_model, changed):
    state = {k: v for k, v in (fake_model(3).trainable_state() | changed).items() if v is not None}
    save_checkpoint(tmp_path / "c", state, METADATA)
    with pytest.raises(CheckpointError, match=next(iter(changed))):
        restore(load_checkpoint(tmp_path / "c"), fake_model(3), backbone_fingerprint="abc")


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_checkpoint_has_the_permissions_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        save_checkpoint(
            tmp_path / "c", {"backbone.model.a": torch.zeros(1)}, METADATA, model_files={"x": b""}
        )
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o777 & ~umask
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "c").iterdir()} == {0o666 & ~umask}


def test_weights_that_match_their_checksum_but_are_no_safetensors_are_refused(saved):
    (saved / "model.safetensors").write_bytes(b"not tensors at all")
    reseal(saved, sha256={"model.safetensors": digest(b"not tensors at all")})
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
