"""A trained model as a checkpoint holds it, on the device that it computes on; no store is needed for it."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerFast

from xlprompt.models import Backbone, TaskModel
from xlprompt.training.inputs.preparation import build_model, choose_device
from xlprompt.training.machine.allocator import keep_few_products, keep_freed_memory
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.checkpoint import Checkpoint, restore


def restored_model(
    checkpoint: Checkpoint,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    device: torch.device,
    backbone: Backbone | None = None,
) -> TaskModel:
    """The recipe's task model with a checkpoint's weights; arguments as of `build_model`.

    Raises:
        CheckpointError, ModelError, RunError: As `restore` and `build_model`.
    """
    model = build_model(recipe, tokenizer, device, backbone)
    restore(checkpoint, model, backbone_fingerprint=model.backbone.fingerprint)
    return model


def open_device(name: str | None, *, trains: bool = False) -> torch.device:
    """The device that a run computes on, and its memory kept as runs need it; see `choose_device`.

    Args:
        name: See `choose_device`.
        trains: Whether a model is going to train, by whose size the caller says what oneDNN keeps.
    """
    target = choose_device(name)
    keep_freed_memory()
    if not trains:
        keep_few_products()
    return target
