"""The linear layers of a decoder by name, as the methods that change a frozen backbone look for them.

Names are transformers': `q_proj`, `k_proj` and `v_proj` for attention, `down_proj` (Llama, Gemma, Qwen,
Mistral) or `fc2` (XGLM, OPT) for the matrix that leads out of the feed-forward.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from xlprompt.models.errors import ModelError

if TYPE_CHECKING:
    from peft import PeftConfig

    from xlprompt.models.backbone.backbone import Backbone

_LEADS_BACK = ("down_proj", "fc2")
_PEFT_PREFIXES = ("lora_", "ia3_")


def is_inserted(path: str) -> bool:
    """Whether a module or parameter of this path is one that PEFT has put into the backbone."""
    return any(part.startswith(_PEFT_PREFIXES) for part in path.split("."))


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The backbone's own linear layers by path; of one that PEFT has wrapped, the path it had before."""
    return {
        path.removesuffix(".base_layer"): module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and not is_inserted(path)
    }


def named(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers whose path ends in one of these names.

    Raises:
        ModelError: A name is that of none.
    """
    found = {path: layer for path, layer in linear_layers(model).items() if last_part(path) in names}
    if absent := set(names) - {last_part(path) for path in found}:
        raise ModelError(
            f"{type(model).__name__} has no linear layers called {', '.join(sorted(absent))}, where this "
            "method goes; take a backbone with separate projections (Llama, Gemma, Qwen, Mistral, XGLM) or "
            "another method"
        )
    return found


def leads_back(model: nn.Module) -> str:
    """What the matrix out of the feed-forward is called.

    Raises:
        ModelError: None of the known names is there.
    """
    there = {last_part(path) for path in linear_layers(model)}
    for name in _LEADS_BACK:
        if name in there:
            return name
    raise ModelError(
        f"{type(model).__name__} has no linear layer called {' or '.join(_LEADS_BACK)}, where this method "
        "goes; take another backbone or another method"
    )


def last_part(path: str) -> str:
    """The module's own name in a path."""
    return path.rpartition(".")[2]


def insert_by_peft(backbone: "Backbone", config: "PeftConfig") -> dict[str, nn.Parameter]:
    """Freeze a backbone and replace linear layers of it by PEFT's, which change nothing as they start.

    Fused projections are one product of frozen weights, into which nothing can be put: they stay apart.

    Returns:
        The new parameters by path, float32 as PEFT itself holds them beside a backbone in bfloat16.
    """
    from peft import inject_adapter_in_model

    backbone.freeze(fuse=False)
    with torch.random.fork_rng(devices=[]):  # PEFT draws matrices of its own first
        inject_adapter_in_model(config, backbone.model)
    inserted = {path: one for path, one in backbone.model.named_parameters() if is_inserted(path)}
    for parameter in inserted.values():
        parameter.data = parameter.data.float()
    return inserted
