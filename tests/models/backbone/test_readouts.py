"""A last layer that computes read-outs alone, against the whole layer, in every architecture and method."""

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, METHODS, make_architecture
from torch import Tensor

from xlprompt.models import (
    Backbone,
    HeadSettings,
    LoraSettings,
    ModelError,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
)
from xlprompt.models.backbone.layer_states import changed_layer
from xlprompt.models.backbone.readouts import Readouts

# Rows with three read-outs, none and one, not in their order; the first of all positions is among them.
ROWS, COLUMNS = torch.tensor([2, 0, 0, 0]), torch.tensor([17, 9, 0, 19])
FILLED_UP = ("GPT-2", "GPT-Neo", "GPT-J", "CodeGen", "GPT-BigCode")


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return functools.cache(lambda name: make_architecture(name, tmp_path_factory.mktemp("architecture")))


@pytest.fixture
def ids() -> Tensor:
    """Longer than any window here."""
    return torch.randint(4, 99, (3, 20), generator=torch.Generator().manual_seed(1))


def built(backbone: Backbone, folder: Path, method: Any) -> TaskModel:
    tokenizer = load_tokenizer(str(folder))
    model = build_task_model(backbone, tokenizer, num_labels=3, method=method, head=HeadSettings(), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:  # else nothing flows through matrices that start at zero
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def logits_and_gradients(model: TaskModel, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    logits = model(ids, ROWS, COLUMNS)
    logits.square().sum().backward()
    return logits.detach(), {
        name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None
    }


def require_the_same(model: TaskModel, ids: Tensor) -> None:
    few = logits_and_gradients(model, ids)
    way, model.backbone._last_layer = model.backbone._last_layer, "whole"
    whole = logits_and_gradients(model, ids)
    model.backbone._last_layer = way
    torch.testing.assert_close(few[0], whole[0], atol=1e-5, rtol=1e-5)
    assert few[1].keys() == whole[1].keys()
    for name, gradient in whole[1].items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(few[1][name], gradient, atol=1e-5 * max(1.0, size), rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_and_gradients_of_every_method_are_those_of_the_whole_layer(
    name: str, ids: Tensor, folder_of: Any
) -> None:
    folder, tried = folder_of(name), 0
    backbone = load_backbone(str(folder), dtype="float32").eval()
    assert backbone._last_layer == ("few, filled up" if name in FILLED_UP else "few")
    for method in METHODS.values():
        try:
            model = built(copy.deepcopy(backbone), folder, method).eval()
        except ModelError:
            continue
        require_the_same(model, ids)
        tried += 1
    assert tried > 7
