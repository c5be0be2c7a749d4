"""The real size of the study's model: random weights in the format of its published checkpoint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from transformers import XGLMConfig, XGLMForCausalLM

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def xglm_564m(tmp_path: Path) -> Path:
    """`config.json`, a half-precision `pytorch_model.bin` (1.1 GB) and a tokenizer, as the hub holds them."""
    folder = tmp_path / "xglm-564M"
    model = XGLMForCausalLM(XGLMConfig()).half()
    model.config.save_pretrained(folder)
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    torch.save(state, folder / "pytorch_model.bin")
    tiny.xglm_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def inference_data(tmp_path: Path) -> Path:
    """Sixteen inference pairs a split, in two languages, as JSON Lines."""
    folder = tmp_path / "data"
    (folder / "xnli").mkdir(parents=True)
    for language, split in (("en", "train"), ("en", "validation"), ("en", "test"), ("de", "test")):
        rows = (
            {
                "premise": f"{tiny.CORPUS[index % 4]} ({split} {index})",
                "hypothesis": tiny.CORPUS[1],
                "label": index % 3,
            }
            for index in range(16)
        )
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / "xnli" / f"{language}.{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_checkpoint_of_xglm_564m_trains_three_steps_and_is_scored(
    xglm_564m: Path, inference_data: Path, tmp_path: Path
) -> None:
    command = [Path(sys.executable).parent / "xlprompt", "train"]
    command += [REPOSITORY / "experiments" / "paper" / "xnli-prompt.yaml", "--model", xglm_564m]
    command += [
        "--data",
        inference_data,
        "--steps",
        "3",
        "--batch-size",
        "8",
        "--mlruns",
        tmp_path / "mlruns",
    ]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    assert "740,355 of 564,463,616 parameters (0.131 %)" in run.stdout
    assert "German" in run.stdout
    assert "peak memory" in run.stdout
