"""A backbone is what was in the files: whatever is missing, damaged or another's is refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, LlamaForCausalLM
from transformers.utils import logging

from xlprompt.models import ModelError, backbone_fingerprint, load_backbone, load_tokenizer
from xlprompt.models.pretrained.location import absolute_name, locate

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    """A model folder to damage."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def renamed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


def with_value(part: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: make(each) if part in name else each for name, each in tensors.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            renamed("_orig_mod."),
            r"29 of 29 weights .* not in model\.safetensors, for instance embed_tokens\.weight; the file has "
            r"_orig_mod\.model\.embed_tokens\.weight",
        ),
        (renamed("module."), r"29 of 29 weights .* module\.model\.embed_tokens\.weight"),
        (renamed("base_model.model."), r"29 of 29 weights"),
        (without(".layers.1."), r"9 of 29 weights .* for instance layers\.1\."),
        (without("model.norm"), r"1 of 29 weights .* for instance norm\.weight"),
        (with_value("layers.2.mlp.up_proj", lambda each: each[:-1]), r"1 of 29 .* another shape .*up_proj"),
        (with_value("layers.0.mlp", lambda each: each * float("nan")), "no finite numbers"),
        (with_value("embed", lambda each: each / 0), "no finite numbers"),
        (with_value("q_proj", lambda each: each.to(torch.int8)), "stored as int8"),
    ],
)
def test_a_weight_that_is_not_loaded_as_it_was_saved_is_counted_and_named(
    copy: Path, change: Callable[[Tensors], Tensors], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rewrite(copy, change)
    with pytest.raises(ModelError, match=said) as caught:
        load_backbone(str(copy))
    assert "\n" not in str(caught.value)
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_a_head_that_is_not_needed_is_passed_over_without_a_word(
    tiny_llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.set_verbosity_warning()
    assert "lm_head.weight" in load_file(tiny_llama / "model.safetensors")
    load_backbone(str(tiny_llama))
    assert capfd.readouterr() == ("", "")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7822072\n"


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _: POINTER, "holds 69 bytes that point to Git LFS; fetch the file itself"),
        (lambda whole: whole[: len(whole) // 2], "cut off or damaged"),
        (lambda _: b"", "is empty"),
        (lambda whole: b"\xff\xfe" + whole[2:], "cut off or damaged"),
    ],
)
def test_a_file_that_only_looks_like_a_models_is_named(
    copy: Path, name: str, damage: Callable[[bytes], bytes], said: str
) -> None:
    path = copy / name
    path.write_bytes(damage(path.read_bytes()))
    load = load_tokenizer if name.startswith("tokenizer") else load_backbone
    with pytest.raises(ModelError, match=said) as caught:
        load(str(copy))
    assert str(path) in str(caught.value)


def test_a_pickled_file_that_is_cut_off_or_a_shard_that_points_to_git_lfs_is_named(
    tiny_llama: Path, tmp_path: Path
) -> None:
    model = AutoModel.from_pretrained(tiny_llama)
    model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    shard = sorted((tmp_path / "shards").glob("*.safetensors"))[1]
    shard.write_bytes(POINTER)
    with pytest.raises(ModelError, match=f"{shard.name} holds 69 bytes that point to Git LFS"):
        load_backbone(str(tmp_path / "shards"))
    shard.unlink()
    with pytest.raises(ModelError, match=f"{shard.name} is not there"):
        load_backbone(str(tmp_path / "shards"))
    model.config.save_pretrained(tmp_path / "pickled")
    whole = tmp_path / "pickled" / "pytorch_model.bin"
    torch.save(model.state_dict(), whole)
    load_backbone(str(tmp_path / "pickled"))
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"pytorch_model\.bin can't be loaded: it is cut off or damaged"):
        load_backbone(str(tmp_path / "pickled"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}), encoding="utf-8")


def test_code_that_lies_beside_a_model_is_never_run_and_nothing_is_asked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "own.py").write_text("raise SystemExit('this ran')", encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    edit(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Slow", "own.Fast"]})
    load_tokenizer(str(copy))
    own = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    for kind in ("llama", "one_that_only_its_code_knows"):
        edit(copy / "config.json", auto_map=own, model_type=kind)
        with pytest.raises(ModelError, match=r"code of its own \(own.Config, own.Model\).* never run"):
            load_backbone(str(copy))


def test_an_adapter_around_another_model_is_not_taken_for_a_model(copy: Path) -> None:
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/something"}')
    with pytest.raises(ModelError, match="adapter of PEFT"):
        load_backbone(str(copy))


def save_in_shards(folder: Path) -> None:
    AutoModel.from_pretrained(folder).save_pretrained(folder / "new", max_shard_size="40KB")
    (folder / "model.safetensors").unlink()
    for path in (folder / "new").iterdir():
        shutil.move(path, folder / path.name)


def save_in_double_precision(folder: Path) -> None:
    rewrite(folder, with_value("", torch.Tensor.double))


def save_pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def change_what_is_not_loaded(folder: Path) -> None:
    rewrite(folder, with_value("lm_head", torch.zeros_like))


def change_what_is_cosmetic(folder: Path) -> None:
    edit(folder / "config.json", _name_or_path="elsewhere", transformers_version="4.0.0", use_cache=False)


@pytest.mark.parametrize(
    "change",
    [
        save_in_shards,
        save_in_double_precision,
        save_pickled,
        change_what_is_not_loaded,
        change_what_is_cosmetic,
    ],
)
def test_the_same_model_in_other_files_is_the_same(copy: Path, change: Callable[[Path], None]) -> None:
    before = load_backbone(str(copy)).fingerprint
    change(copy)
    assert load_backbone(str(copy), dtype="float32").fingerprint == before == backbone_fingerprint(str(copy))


def change_a_weight(folder: Path) -> None:
    rewrite(folder, with_value("layers.1.mlp.up_proj", lambda each: each + 1e-3))


def exchange_two_weights(folder: Path) -> None:
    def exchanged(tensors: Tensors) -> Tensors:
        first, second = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
        return {**tensors, first: tensors[second], second: tensors[first]}

    rewrite(folder, exchanged)


def change_the_rotation(folder: Path) -> None:
    edit(folder / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 500.0})


def change_the_norms(folder: Path) -> None:
    edit(folder / "config.json", rms_norm_eps=1e-3)


def exchange_two_pieces(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content), encoding="utf-8")


def put_no_token_in_front(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["post_processor"] = None
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        change_a_weight,
        exchange_two_weights,
        change_the_rotation,
        change_the_norms,
        exchange_two_pieces,
        put_no_token_in_front,
    ],
)
def test_what_changes_the_forward_pass_or_the_ids_makes_another_model(
    copy: Path, change: Callable[[Path], None]
) -> None:
    before = backbone_fingerprint(str(copy))
    change(copy)
    assert load_backbone(str(copy)).fingerprint == backbone_fingerprint(str(copy)) != before


def test_identity_holds_where_the_cache_cannot_be_written(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = backbone_fingerprint(str(copy))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "file" / "cache"))
    edit(copy / "config.json", use_cache=False)  # a state of the folder that is not known yet
    assert backbone_fingerprint(str(copy)) == before
    edit(copy / "config.json", use_cache=True, _name_or_path="x")
    assert backbone_fingerprint(str(copy)) == before
    assert caplog.text.count("cannot be written") == 1


def test_a_head_of_other_values_than_the_embedding_predicts_no_tokens(copy: Path) -> None:
    edit(copy / "config.json", tie_word_embeddings=True)
    assert not load_backbone(str(copy)).has_token_logits
    rewrite(copy, lambda tensors: {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    assert load_backbone(str(copy)).has_token_logits


def test_names_are_found_again_from_another_folder(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_name("model") == str(copy)
    assert [absolute_name(name) for name in ("xglm-nano", "a/b")] == ["xglm-nano", "a/b"]
    with pytest.raises(ModelError, match=r"did you mean xglm-nano\?"):
        load_backbone("xglm-nanoo")
    with pytest.raises(ModelError, match=r"forbids to ask the hub\. Give"):
        load_backbone("facebook/xglm-564M")  # a known name is not answered with itself
    with pytest.raises(ModelError, match=r"did you mean .*model\?"):
        locate(str(tmp_path / "modell"))


def test_a_mixtures_experts_count_though_they_are_stacked_when_they_are_loaded(tmp_path: Path) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 64}
    config = MixtralConfig(**size, num_attention_heads=4, num_key_value_heads=2, num_local_experts=2)
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    before = load_backbone(str(tmp_path)).fingerprint
    (expert,) = (
        name
        for name in load_file(tmp_path / "model.safetensors")
        if "layers.1" in name and "experts.1" in name and "w2" in name
    )
    rewrite(tmp_path, with_value(expert, lambda each: each + 1e-3))
    assert load_backbone(str(tmp_path)).fingerprint != before
    rewrite(tmp_path, without(expert))
    with pytest.raises(ModelError):
        load_backbone(str(tmp_path))


def test_a_model_saved_without_its_head_is_the_same(copy: Path) -> None:
    before = backbone_fingerprint(str(copy))
    LlamaForCausalLM.from_pretrained(copy).model.save_pretrained(copy)
    assert not any(name.startswith("model.") for name in load_file(copy / "model.safetensors"))
    assert load_backbone(str(copy)).fingerprint == before


@pytest.mark.parametrize("family", ["tiny_gemma", "tiny_llama", "tiny_xglm"])
def test_all_is_held_in_the_precision_but_rotary_frequencies(
    family: str, request: pytest.FixtureRequest
) -> None:
    """A position times a rounded frequency is another angle. XGLM has a table of positions instead."""
    folder = request.getfixturevalue(family)
    model = load_backbone(str(folder)).model
    theirs = dict(AutoModel.from_pretrained(folder, dtype=torch.bfloat16).named_buffers())
    exact = {name: each for name, each in model.named_buffers() if name.endswith("inv_freq")}
    assert bool(exact) == (family != "tiny_xglm")
    for name, frequencies in exact.items():
        assert frequencies.dtype == torch.float32
        assert torch.equal(frequencies, theirs[name])
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert {each.dtype for name, each in held.items() if name not in exact} == {torch.bfloat16}
