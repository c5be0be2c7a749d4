"""The linear layers of a decoder by name, as the methods that change a frozen backbone look for them.

Names are transformers': `q_proj`, `k_proj` and `v_proj` for attention, or one of `_ALL_IN_ONE` where one
matrix makes all three; one of `_LEADS_BACK` for the matrix that leads out of the feed-forward. GPT-2's layers
are `Conv1D`, a linear layer whose matrix is transposed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xlprompt.models.errors import ModelError

if TYPE_CHECKING:  # a recipe is read without torch
    from peft import IA3Config, LoraConfig
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    from xlprompt.models.backbone.backbone import Backbone

# Llama, Gemma, Qwen, Mistral; XGLM, OPT; GPT-2, GPT-Neo, StarCoder 2; BLOOM, Falcon, GPT-NeoX; GPT-J,
# CodeGen.
_LEADS_BACK = ("down_proj", "fc2", "mlp.c_proj", "dense_4h_to_h", "fc_out")
# BLOOM, Falcon, GPT-NeoX; Phi 3, CodeGen; GPT-2.
_ALL_IN_ONE = ("query_key_value", "qkv_proj", "c_attn")
_PEFT_PREFIXES = ("lora_", "ia3_")


def is_inserted(path: str) -> bool:
    """Whether a module or parameter of this path is one that PEFT has put into the backbone."""
    return any(part.startswith(_PEFT_PREFIXES) for part in path.split("."))


@functools.cache
def _kinds() -> tuple[type[nn.Module], ...]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return nn.Linear, Conv1D


def is_transposed(layer: nn.Module) -> bool:
    """Whether a linear layer's matrix is `[inputs, outputs]`, as GPT-2's are."""
    from torch import nn

    return not isinstance(layer, nn.Linear)


def sizes_of(layer: nn.Linear | Conv1D) -> tuple[int, int]:
    """Outputs and inputs of a linear layer."""
    first, second = layer.weight.shape
    return (second, first) if is_transposed(layer) else (first, second)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear | Conv1D]:
    """The backbone's own linear layers by path; of one that PEFT has wrapped, the path it had before."""
    return {
        path.removesuffix(".base_layer"): module
        for path, module in model.named_modules()
        if isinstance(module, _kinds()) and not is_inserted(path)
    }


def named(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Linear | Conv1D]:
    """The linear layers whose path ends in one of these names.

    Raises:
        ModelError: A name is that of none.
    """
    layers = linear_layers(model)
    found = {name: [path for path in layers if is_called(path, name)] for name in names}
    if absent := [name for name, paths in found.items() if not paths]:
        raise ModelError(
            f"{type(model).__name__} has no linear layers called {', '.join(sorted(absent))}, where this "
            "method goes; take a backbone with other projections (XGLM, BLOOM, GPT-2, OPT, Llama, Gemma, "
            "Qwen, Mistral) or another method"
        )
    return {path: layers[path] for paths in found.values() for path in paths}


def is_called(path: str, name: str) -> bool:
    """Whether a path ends in a module's name, which may have more than one part."""
    return f".{path}".endswith(f".{name}")


def attention_inputs(model: nn.Module, names: Sequence[str]) -> list[str]:
    """What to change of attention: the projections of these names, or the one matrix that makes all three.

    Within that one no part can be left alone: queries, keys and values are changed together, as PEFT does.

    Raises:
        ModelError: The model has neither.
    """
    there = {last_part(path) for path in linear_layers(model)}
    if not there.issuperset(names):
        for name in _ALL_IN_ONE:
            if name in there:
                return [name]
        named(model, names)
    return list(names)


def leads_back(model: nn.Module) -> str:
    """What the matrix out of the feed-forward is called.

    Raises:
        ModelError: None of the known names is there.
    """
    there = linear_layers(model)
    for name in _LEADS_BACK:
        if any(is_called(path, name) for path in there):
            return name
    raise ModelError(
        f"{type(model).__name__} has no linear layer called {', '.join(_LEADS_BACK[:-1])} or "
        f"{_LEADS_BACK[-1]}, where this method goes; take another backbone or another method"
    )


def own_name(path: str) -> str:
    """The name by which a method looks for a layer: that of what leads back, or else the last part.

    GPT-2's `mlp.c_proj` leads back, and its `attn.c_proj` does not.
    """
    return next((name for name in _LEADS_BACK if is_called(path, name)), last_part(path))


def last_part(path: str) -> str:
    """The module's own name in a path."""
    return path.rpartition(".")[2]


def insert_by_peft(backbone: Backbone, config: LoraConfig | IA3Config) -> dict[str, nn.Parameter]:
    """Freeze a backbone and replace linear layers of it by PEFT's, which change nothing as they start.

    Fused projections are one product of frozen weights, into which nothing can be put: they stay apart.

    Returns:
        The new parameters by path, float32 as PEFT itself holds them beside a backbone in bfloat16.
    """
    import torch
    from peft import inject_adapter_in_model

    backbone.freeze(fuse=False)
    # PEFT would see so itself, and warn.
    config.fan_in_fan_out = any(map(is_transposed, linear_layers(backbone.model).values()))
    with torch.random.fork_rng(devices=[]):  # PEFT draws matrices of its own first
        inject_adapter_in_model(config, backbone.model)
    inserted = {path: one for path, one in backbone.model.named_parameters() if is_inserted(path)}
    for parameter in inserted.values():
        parameter.data = parameter.data.float()
    return inserted
