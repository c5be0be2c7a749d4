"""Memory that runs out is told as such, a GPU's or the machine's, with what can be done then."""

import json
import shutil
from collections.abc import Callable

import pytest
import torch
from small import tiny_recipe

from xlprompt.models import load_backbone, load_tokenizer
from xlprompt.models.errors import ran_out_of_memory
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.preparation import build_model
from xlprompt.training.machine.out_of_memory import LOADING, out_of_memory_explained


def of_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has too little")


def of_the_machine() -> None:
    torch.empty(2**60, dtype=torch.int8)


def of_python() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("run_out", "said"),
    [
        (of_a_gpu, r"the GPU's memory ran out \(CUDA out of memory. Tried to allocate 2.00 GiB.\)"),
        (of_the_machine, r"this machine's memory ran out \(.*can't allocate memory"),
        (of_python, r"this machine's memory ran out \(MemoryError\)"),
    ],
)
def test_memory_that_runs_out_is_told_with_what_helps(run_out: Callable[[], None], said: str) -> None:
    with pytest.raises(RunError, match=f"{said}.*token_budget"), out_of_memory_explained():
        run_out()
    inside = out_of_memory_explained(LOADING)
    with pytest.raises(RunError, match=f"{said}.*a smaller one"), out_of_memory_explained(), inside:
        run_out()


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), out_of_memory_explained():
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_model_that_does_not_fit_is_not_called_damaged(tiny_llama, tmp_path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 2**46}))
    with pytest.raises(RuntimeError) as caught:
        load_backbone(str(folder))
    assert ran_out_of_memory(caught.value)
    recipe = tiny_recipe("xnli", folder, tmp_path)
    with pytest.raises(RunError, match="this machine's memory ran out.*The model does not fit as a whole"):
        build_model(recipe, load_tokenizer(str(folder)), torch.device("cpu"))
