"""Loading a backbone: examined first, then read, and refused unless every weight of it was in the files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.examination import examine_config
from xlprompt.models.pretrained.files import first_line, opened_weights, weight_files
from xlprompt.models.pretrained.fingerprint import fingerprint_of
from xlprompt.models.pretrained.location import local_folder, locate
from xlprompt.models.pretrained.reading import (
    from_transformers,
    is_about_the_model,
    load_config,
    load_tokenizer,
)

Precision = Literal["bfloat16", "float32"]
BackboneDropout = Literal["off", "pretrained"]


def load_backbone(
    name: str,
    *,
    dtype: Precision = "bfloat16",
    dropout: BackboneDropout = "off",
    device: str | torch.device = "cpu",
    gradient_checkpointing: bool = False,
) -> Backbone:
    """Load a decoder and make it take prompts.

    Args:
        name: A known name (`gemma-3-270m`, `xglm-564M`), a hub id, or a folder in transformers' format.
        dtype: Precision that the weights are held and computed in.
        dropout: `off` sets every dropout of the backbone to zero; `pretrained` keeps the configuration's.
        device: Where the weights go.
        gradient_checkpointing: Recompute layers in the backward pass: less memory, a third more time.

    Raises:
        ModelError: The model can't be read, is no causal decoder, its attention can't take prompts, or a
            weight of it is missing, damaged or no number.
    """
    config = load_config(name)
    examine_config(config, name=name)
    if dropout == "off":
        _set_dropout_to_zero(config)
    location = locate(name)
    fingerprint = fingerprint_of(Path(location)) if os.path.isdir(location) else None
    model, loaded = from_transformers(
        name,
        AutoModel.from_pretrained,
        location,
        config=config,
        dtype=getattr(torch, dtype),  # all but what transformers keeps exact, such as rotary frequencies
        attn_implementation="eager",  # ours takes its place; a name in config.json could stand for code
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are told apart below, in one line
    )
    folder = local_folder(location, getattr(config, "_commit_hash", None))
    _require_loaded(name, folder, model, loaded)
    if fingerprint is None:  # a hub model, which has only now been downloaded
        load_tokenizer(name)
        fingerprint = fingerprint_of(folder)
    tied = _is_tied(folder, model, loaded)
    try:
        model = model.to(device=device)
        backbone = Backbone(model, name=name, fingerprint=fingerprint, tied=tied)
    except Exception as error:
        if not is_about_the_model(error) or "CUDA" in str(error):
            raise
        raise ModelError(f"{name}: two tokens can't be read with it ({first_line(error)})") from error
    if gradient_checkpointing:
        backbone.enable_gradient_checkpointing()
    return backbone


def _require_loaded(name: str, folder: Path, model: PreTrainedModel, loaded: Mapping[str, Any]) -> None:
    """Refuse a model of which transformers has drawn a weight at random, as it found none or another shape.

    Raises:
        ModelError: It counts and names them.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{name}: an adapter of PEFT around another model; merge it (merge_and_unload) first"
        )
    total = len(model.state_dict())
    files = ", ".join(path.name for path in weight_files(folder))
    if missing := sorted(loaded["missing_keys"]):
        unused = sorted(loaded["unexpected_keys"])
        own = f"; the file has {_alike(missing[0], unused)}" if unused else ""
        raise ModelError(
            f"{name}: {len(missing)} of {total} weights of the backbone are not in {files}, for instance "
            f"{missing[0]}{own}. Get the model again, or save it anew under transformers' names"
        )
    if others := sorted(loaded["mismatched_keys"]):
        weight, theirs, ours = others[0]
        raise ModelError(
            f"{name}: {len(others)} of {total} weights of the backbone have another shape in {files}, for "
            f"instance {weight} {tuple(theirs)}, which by config.json is {tuple(ours)}. Get "
            "configuration and weights that belong together"
        )


def _alike(name: str, others: list[str]) -> str:
    """The one that ends as the name does, as far as any does."""
    parts = name.split(".")
    endings = [".".join(parts[start:]) for start in range(len(parts))]
    return next((other for end in endings for other in others if other.endswith(end)), others[0])


def _is_tied(folder: Path, model: PreTrainedModel, loaded: Mapping[str, Any]) -> bool:
    """Whether a language-model head that lies unused in the file holds the input embedding's values."""
    heads = {key for key in loaded["unexpected_keys"] if key.endswith("lm_head.weight")}
    if not heads or not getattr(model.config, "tie_word_embeddings", False):
        return True
    own = model.get_input_embeddings().weight
    for path in weight_files(folder):
        with opened_weights(path) as weights:
            for name in heads & set(weights.names):
                if not torch.equal(weights.read(name).to(own.dtype), own):
                    return False
    return True


def _set_dropout_to_zero(config: PreTrainedConfig) -> None:
    for key, value in config.to_dict().items():
        if ("dropout" in key or "pdrop" in key or "layerdrop" in key) and isinstance(value, float):
            setattr(config, key, 0.0)
