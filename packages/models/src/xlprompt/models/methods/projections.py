"""The linear layers of a decoder by name, as the methods that change a frozen backbone look for them.

Names are transformers': `q_proj`, `k_proj` and `v_proj` for attention, `down_proj` (Llama, Gemma, Qwen,
Mistral) or `fc2` (XGLM, OPT) for the matrix that leads out of the feed-forward.
"""

from torch import nn

from xlprompt.models.errors import ModelError

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


def named(model: nn.Module, names: tuple[str, ...]) -> dict[str, nn.Linear]:
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
