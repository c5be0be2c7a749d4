"""A trained prompt or adapter as a folder that PEFT loads, with the head beside it.

Before the folder gets its name, PEFT's own model is loaded from it, and its hidden states are compared with
those of the checkpoint's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from xlprompt.models import PromptSettings, TaskModel, canonical_name, load_tokenizer
from xlprompt.models.peft_folders.applied import (
    load_by_peft,
    plain_base,
    probe_rows,
    require_equal,
    states_here,
    states_of_peft,
    text_in_sight,
)
from xlprompt.models.peft_folders.written import peft_parts, write_peft_files
from xlprompt.models.pretrained.location import locate
from xlprompt.training.errors import RunError
from xlprompt.training.exchange.head_files import ABOUT_FILE, write_head
from xlprompt.training.exchange.new_folders import new_folder
from xlprompt.training.exchange.peft_readme import peft_readme
from xlprompt.training.inputs.checks import at_its_place
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict
from xlprompt.training.runs.restored import restored_model
from xlprompt.training.store.checkpoint import Checkpoint

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Exported:
    """What an export came to.

    Attributes:
        folder: The folder.
        difference: Largest difference of hidden states between PEFT's model and the checkpoint's, in float32.
        notes: What its users have to know, in sentences.
    """

    folder: Path
    difference: float
    notes: tuple[str, ...]


def export_to_peft(checkpoint: Checkpoint, folder: Path, *, model: str | None = None) -> Exported:
    """Write a checkpoint as a folder that `peft.PeftModel.from_pretrained(AutoModel, folder)` loads.

    Args:
        checkpoint: From `find_checkpoint`.
        folder: What to write; an earlier export there is replaced.
        model: Where the backbone lies now; None for where it lay in training.

    Raises:
        ModelError: PEFT has no place for what was trained; or it computes something else from it.
        CheckpointError: The backbone is another.
        RunError: Something else is in the folder's place, or PEFT shows no text the whole prompt.
    """
    recipe = recipe_from_dict(dict(checkpoint.metadata.recipe), origin=str(checkpoint.directory))
    recipe = at_its_place(recipe, model)
    base = canonical_name(recipe.model)
    parts = peft_parts(recipe.method_settings, checkpoint.state, base=base)  # or it says why not, before more
    exact = recipe.model_copy(update={"precision": "float32", "gradient_checkpointing": False})
    tokenizer = load_tokenizer(exact.model)
    built = restored_model(checkpoint, exact, tokenizer, _CPU)
    sight = _in_sight(built)
    if sight is not None and sight < 1:
        raise RunError(
            f"{base} has a sliding window no longer than the prompt ({recipe.method_settings.shift} slots): "
            "PEFT's prefix would be out of every text's sight. Train a shorter prompt, or the scheme input"
        )
    notes = _notes(recipe, base, sight)
    with new_folder(folder, of_ours=(ABOUT_FILE,)) as new:
        write_peft_files(new, parts)
        write_head(new, _head(built), checkpoint.metadata)
        peft_readme(new, recipe, tokenizer, base, notes)
        rows = probe_rows(tokenizer, vocabulary=built.backbone.vocab_size, longest=sight)
        theirs = states_of_peft(load_by_peft(plain_base(exact.model), new), rows)
        difference = require_equal(
            states_here(built.backbone, built.prompts, rows), theirs, str(checkpoint.directory)
        )
    return Exported(folder.absolute(), difference, notes)


def _in_sight(model: TaskModel) -> int | None:
    method = model.method
    if not isinstance(method, PromptSettings) or not method.trains_layers:
        return None
    return text_in_sight(model.backbone, method.length)


def _head(model: TaskModel) -> dict[str, torch.Tensor]:
    """The head's tensors: trained ones, or the rows of label words."""
    return {name: tensor.detach().float().clone() for name, tensor in model.head.state_dict().items()} or {
        "weight": model.head.get_buffer("weight").clone()
    }


def _notes(recipe: Recipe, base: str, sight: int | None) -> tuple[str, ...]:
    notes = []
    if locate(base) != base and not os.path.isdir(base):
        notes.append(
            f"{base} is built by xlprompt and lies on no hub; its folder is what this prints: python -c "
            f'"from xlprompt.models.pretrained.location import locate; print(locate({base!r}))"'
        )
    if sight is not None:
        notes.append(
            f"Rows of more than {sight} tokens differ: PEFT's prefix leaves the model's sliding window there "
            "as text does, and in xlprompt every token sees the whole prompt."
            + (
                f" It was trained on rows of up to {recipe.encoding.max_length}."
                if recipe.encoding.max_length > sight
                else ""
            )
        )
    if recipe.precision != "float32":
        notes.append(
            f"The backbone was held in {recipe.precision} in training; in float32 logits differ a little "
            "from those that were scored."
        )
    return tuple(notes)
