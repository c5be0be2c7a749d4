"""A last layer that computes read-outs alone, against the whole layer, in every architecture and method."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, METHODS, make_architecture
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from xlprompt.models import (
    Backbone,
    HeadSettings,
    ModelError,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
)
from xlprompt.models.backbone.layer_states import changed_layer
from xlprompt.models.backbone.probes import probe_last_layer
from xlprompt.models.backbone.readouts import MOST_READ, Readouts, picked
from xlprompt.models.together import states_together

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


@functools.cache
def tokenizer_in(folder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(str(folder))


def built(backbone: Backbone, folder: Path, method: Any) -> TaskModel:
    tokenizer = tokenizer_in(folder)
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
    way, model.backbone.last_layer = model.backbone.last_layer, "whole"
    whole = logits_and_gradients(model, ids)
    model.backbone.last_layer = way
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
    assert backbone.last_layer == ("few, filled up" if name in FILLED_UP else "few")
    for method in METHODS.values():
        try:
            model = built(copy.deepcopy(backbone), folder, method).eval()
        except ModelError:
            continue
        require_the_same(model, ids)
        tried += 1
    assert tried > 7


def feed_forward_positions(model: TaskModel, ids: Tensor, columns: Tensor) -> int:
    """Positions that the last layer's feed-forward computes for each row."""
    seen: list[int] = []
    model.backbone.decoder_layers[-1].fc2.register_forward_hook(lambda *_: seen.append(_[2].shape[-2]))
    model(ids, torch.zeros_like(columns), columns)
    return seen[-1]


def test_the_feed_forward_sees_read_outs_alone_unless_most_of_a_row_is_read(
    ids: Tensor, folder_of: Any
) -> None:
    folder = folder_of("XGLM")
    model = built(load_backbone(str(folder), dtype="float32"), folder, PromptSettings(length=3))
    few = int(MOST_READ * ids.shape[1])
    assert feed_forward_positions(model, ids, torch.arange(1)) == 1
    assert feed_forward_positions(model, ids, torch.arange(few)) == few
    assert feed_forward_positions(model, ids, torch.arange(few + 1)) == ids.shape[1]
    with changed_layer(model.backbone, 2, lambda states: states):  # which is to see every token
        assert feed_forward_positions(model, ids, torch.arange(1)) == ids.shape[1]


@pytest.mark.parametrize("architecture", ["XGLM", "BLOOM", "GPT-J", "Gemma 3"])
@pytest.mark.parametrize("scheme", ["both", "hidden"])
def test_gradient_checkpointing_and_the_kernel_for_long_texts_change_nothing(
    architecture: str, scheme: str, ids: Tensor, folder_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(architecture)
    backbone = load_backbone(str(folder), dtype="float32", gradient_checkpointing=True)
    model = built(backbone, folder, METHODS[f"prompt {scheme}"]).train()
    require_the_same(model, ids)
    monkeypatch.setattr("xlprompt.models.backbone.attention.WRITTEN_OUT_MAX_KEYS", 0)
    require_the_same(model, ids)


@torch.no_grad()
def test_rows_with_prompts_of_their_own_are_read_as_alone(ids: Tensor, folder_of: Any) -> None:
    folder = folder_of("XGLM")
    backbone = load_backbone(str(folder), dtype="float32").eval()
    models = [built(backbone, folder, PromptSettings(length=3, std=std)).eval() for std in (0.5, 2.0)]
    which = torch.tensor([0, 1, 0])
    together = states_together(models, which, ids, torch.arange(3), torch.tensor([4, 19, 9]))
    for row, column in enumerate((4, 19, 9)):
        alone = models[which[row]].readout_states(
            ids[row : row + 1], torch.tensor([0]), torch.tensor([column])
        )
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("broken", ["positions are passed over", "an error"])
def test_a_layer_that_takes_positions_in_a_way_of_its_own_is_computed_whole(
    broken: str, folder_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = load_backbone(str(folder_of("Llama")), dtype="float32")

    def strange(told: Any, columns: Tensor) -> Any:
        if broken == "an error":
            raise KeyError("positions")
        return tuple(each[:, : columns.shape[1]].expand(len(columns), -1, -1) for each in told)

    monkeypatch.setattr("xlprompt.models.backbone.readouts._of_positions", strange)
    assert probe_last_layer(kept) == "whole"


def test_read_outs_in_any_order_find_their_places() -> None:
    readouts, states = Readouts.of(ROWS, COLUMNS, 3), torch.randn(3, 20, 2)
    assert readouts.columns.shape == (3, 3)
    assert torch.equal(readouts.pick(states).flatten(0, 1)[readouts.places], states[ROWS, COLUMNS])
    none = Readouts.of(ROWS[:0], COLUMNS[:0], 3)
    assert none.pick(states).shape == (3, 0, 2)
    assert torch.equal(picked(states[:1], torch.tensor([[3], [5]]))[:, 0], states[0, [3, 5]])
