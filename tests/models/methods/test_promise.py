"""The promise of `methods/`: another method is one file there and one entry of the registry, no more."""

import json
import re
import shutil
from pathlib import Path

import pytest
from own_process import run_commands
from safetensors.torch import load_file
from small import write_data

import xlprompt.models

TOY = '''
"""A toy: the scales of norms train."""

from typing import ClassVar

from pydantic import Field

from xlprompt.models.methods.method import Method


class ToySettings(Method):
    """Which norms train."""

    name: ClassVar[str] = "toy"
    trains: ClassVar[str] = "the scales of norms"

    last: bool = Field(False, description="only the norm behind the last layer")

    def apply(self, backbone, generator):
        backbone.freeze()
        where = backbone.model.norm if self.last else backbone.model
        for path, parameter in where.named_parameters():
            if (path == "weight" or "norm" in path) and parameter.ndim == 1:
                parameter.requires_grad_(True)
'''
BASE = """
task: xnli
model: {model}
precision: float32
data: {{source: {data}, languages: [en, de]}}
encoding: {{max_length: 64}}
toy: {{last: false}}
optimizer: {{learning_rate: 0.01}}
schedule: {{steps: 8, batch_size: 8, token_budget: 128, evaluate_every: 4}}
evaluation: {{token_budget: 512, language_model_rows: 0}}
"""
GRID = """
tasks: [xnli]
methods: [prompt, finetune, toy]
seeds: 1
recipe: "{task}-{method}.yaml"
executor: {workers: 0, engine: torch, threads: 1, gpus: 0}
"""


@pytest.fixture
def with_toy(tmp_path: Path) -> Path:
    """The folder of an xlprompt whose models package has one file and one entry more."""
    copy = tmp_path / "src" / "xlprompt" / "models"
    shutil.copytree(Path(xlprompt.models.__file__).parent, copy)
    (copy / "methods" / "toy.py").write_text(TOY)
    registry = copy / "methods" / "registry.py"
    entry = registry.read_text().replace("    BitfitSettings,\n", "    BitfitSettings,\n    ToySettings,\n")
    imported = "from xlprompt.models.methods.toy import ToySettings\n\nREGISTRY"
    registry.write_text(entry.replace("\nREGISTRY", imported, 1))
    return tmp_path / "src"


@pytest.mark.slow
@pytest.mark.integration
def test_a_method_that_is_one_file_and_one_entry_is_counted_trained_scored_and_reported(
    with_toy: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    base = BASE.format(model=tiny_llama, data=write_data(tmp_path / "data"))
    (tmp_path / "xnli.yaml").write_text(base)
    (tmp_path / "study.yaml").write_text(GRID)
    for method in ("prompt", "finetune", "toy"):
        (tmp_path / f"{method}.yaml").write_text(f"method: {method}\n")
    store = ["--mlruns", str(tmp_path / "mlruns")]
    commands = [
        ["params", "--model", str(tiny_llama), "--json"],
        ["params", "--model", str(tiny_llama)],
        ["train", "xnli-toy.yaml", "--set", "toy.last=true", "--json", *store],
        ["evaluate", "CHECKPOINT", "--json", *store],
        ["study", "study.yaml", "--json", *store],
        ["report", "--out", "report", *store],
    ]
    said = run_commands(commands, sources=[with_toy], folder=tmp_path)
    counted, table, trained, again, *_ = said

    norms = 32 * (2 * 3 + 1)  # two a layer, and the last
    assert json.loads(counted)["methods"]["toy"]["finetuned_params"] == norms
    assert re.search(rf"^ *toy +{norms} ", table, re.MULTILINE)
    run = json.loads(trained)
    assert json.loads(again) == run["report"]
    held = load_file(Path(run["checkpoint"]) / "model.safetensors")
    assert held.keys() == {"backbone.model.norm.weight", "head.weight", "head.bias"}
    report = (tmp_path / "report" / "report.md").read_text()
    assert "xnli: other methods against prompt and finetune" in report
    assert "| toy | 0.661 | 1 | prompt |" in report
