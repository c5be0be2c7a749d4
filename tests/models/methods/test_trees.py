"""Every method's logits and gradients are the same whether texts that begin alike share a row or not."""

from pathlib import Path

import pytest
import torch
from architectures import METHODS, make_architecture
from torch import Tensor

from xlprompt.models import (
    HeadSettings,
    LoraSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
)

# Two texts of one beginning of three tokens, and one that is alone.
TEXTS = ([5, 6, 7, 8, 9], [5, 6, 7, 10], [11, 12])
PACKED = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 1, 1, 1, 1]])
TREE = torch.tensor([[[0, 1, 2, 3, 4, 3], [0, 1, 0, 0, 0, 0]], [[0, 0, 0, 1, 1, 2], [0, 0, -1, -1, -1, -1]]])
PACKED_AT, PLAIN_AT = ([0, 0, 1], [4, 5, 1]), ([0, 1, 2], [4, 3, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_architecture("XGLM", tmp_path_factory.mktemp("model"))


def task_model(folder: Path, method: str, **options: str) -> TaskModel:
    model = build_task_model(
        load_backbone(str(folder), dtype="float32", **options),  # type: ignore[arg-type]
        load_tokenizer(str(folder)),
        num_labels=3,
        method=METHODS[method],
        head=HeadSettings(),
        seed=0,
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # what starts at zero would tell nothing
        for parameter in [*model.adapter_parameters(), *model.prompt_parameters()]:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.train()


def logits_and_gradients(model: TaskModel, ids: Tensor, at: tuple[list[int], list[int]], tree: Tensor | None):
    rows, columns = map(torch.tensor, at)
    logits = model(ids, rows, columns, tree=tree)
    trained = [one for one in model.parameters() if one.requires_grad]
    return logits, torch.autograd.grad(logits.sin().sum(), trained, allow_unused=True)


@pytest.mark.parametrize("method", METHODS)
def test_logits_and_gradients_do_not_depend_on_sharing(folder: Path, method: str) -> None:
    model = task_model(folder, method)
    assert model.reads_trees
    assert model.trains_on_trees
    plain = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, TEXTS)), batch_first=True)
    logits, gradients = logits_and_gradients(model, PACKED, PACKED_AT, TREE)
    expected, theirs = logits_and_gradients(model, plain, PLAIN_AT, None)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert len(gradients) == len(theirs) > 0
    for one, other in zip(gradients, theirs, strict=True):
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, atol=1e-5 * max(1.0, float(other.abs().max())), rtol=1e-4)


def test_with_dropout_each_text_is_trained_on_in_a_row_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not task_model(folder, "finetune", dropout="pretrained").trains_on_trees
    monkeypatch.setitem(METHODS, "lora", LoraSettings(rank=2, dropout=0.1))
    model = task_model(folder, "lora")
    assert model.reads_trees
    assert not model.trains_on_trees
