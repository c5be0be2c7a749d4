"""What was trained here under PEFT's names: a configuration, and the tensors that belong to it.

PEFT holds a part of what a method may be. What it has no place for is refused here, with the reason; what it
does otherwise on long texts is told by `sight`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xlprompt.models.errors import ModelError
from xlprompt.models.methods.ia3 import Ia3Settings
from xlprompt.models.methods.lora import LoraSettings
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import own_name
from xlprompt.models.methods.prompt import PromptSettings

if TYPE_CHECKING:
    from peft import PeftConfig

WEIGHTS_FILE = "adapter_model.safetensors"
PROMPT_TENSOR = "prompt_embeddings"
ADAPTER = "default"  # how PEFT calls the only adapter of a model
OURS = "backbone.model."  # in front of a backbone's parameters in a checkpoint
THEIRS = "base_model.model."  # in front of the same in PEFT's file, where the base is transformers' AutoModel

Parts = tuple["PeftConfig", dict[str, Tensor]]

_EXPORTED = "PEFT holds prompts of the schemes layers and input, lora and ia3"


def peft_parts(method: Method, state: Mapping[str, Tensor], *, base: str) -> Parts:
    """PEFT's configuration and tensors of what was trained.

    Args:
        method: What trained.
        state: What a checkpoint holds, by parameter name.
        base: What PEFT's users load the backbone by, a hub id or a folder.

    Raises:
        ModelError: PEFT has no place for it.
    """
    make = _MAKERS.get(type(method))
    if make is None:
        reason = _ELSEWHERE.get(method.name, f"{_EXPORTED}, and nothing like it")
        raise ModelError(f"method '{method.name}' can't be written for PEFT: {reason}")
    options = {"base_model_name_or_path": base, "task_type": "FEATURE_EXTRACTION", "inference_mode": True}
    return make(method, state, options)


def write_peft_files(folder: Path, parts: Parts) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` into a folder that is there."""
    from safetensors.torch import save_file

    config, tensors = parts
    config.save_pretrained(str(folder))
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path = folder / WEIGHTS_FILE
    path.touch()
    mode = path.stat().st_mode & 0o777  # by the umask; safetensors would leave it to its owner alone
    save_file(contiguous, path, {"format": "pt"})
    path.chmod(mode)


def _prompt(method: PromptSettings, state: Mapping[str, Tensor], options: dict[str, Any]) -> Parts:
    if method.scheme not in ("layers", "input"):
        raise ModelError(
            f"a prompt of the scheme '{method.scheme}' can't be written for PEFT: its prefix tuning holds "
            "keys and values in all layers (layers), its prompt tuning embeddings in front of the text "
            "(input), and nothing holds both or hidden states. Train with prompt.scheme=layers or input"
        )
    if method.layers != "all":
        raise ModelError(
            f"a prompt in some layers (prompt.layers {method.layers!r}) can't be written for PEFT, whose "
            "prefix is in all of them, and zeros are no empty place: they take attention too. Train with "
            "prompt.layers=all"
        )
    if not method.shift_positions:
        raise ModelError(
            "a prompt whose slots are no positions (prompt.shift_positions false) can't be written for PEFT, "
            "which counts the text's positions from behind the prompt. Train with prompt.shift_positions=true"
        )
    from peft import PrefixTuningConfig, PromptTuningConfig

    options |= {"num_virtual_tokens": method.length, "num_transformer_submodules": 1}
    if method.scheme == "input":
        embeddings = state["prompts.input"]
        # Heads have no part in it, but PEFT asks for their number where it can't find it (XGLM).
        config = PromptTuningConfig(token_dim=embeddings.shape[1], num_attention_heads=1, **options)
        return config, {PROMPT_TENSOR: embeddings}
    prompt = state["prompts.layers"]  # [layer, 2, kv head, slot, head dim]
    layers, _, heads, slots, head_dim = prompt.shape
    config = PrefixTuningConfig(
        num_layers=layers, num_attention_heads=heads, token_dim=heads * head_dim, **options
    )
    return config, {PROMPT_TENSOR: prompt.permute(3, 0, 1, 2, 4).reshape(slots, -1)}


def _lora(method: LoraSettings, state: Mapping[str, Tensor], options: dict[str, Any]) -> Parts:
    from peft import LoraConfig

    tensors = _renamed(state)
    targets = {own_name(name.partition(".lora_")[0]) for name in tensors}
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=sorted(targets),
        **options,
    )
    return config, tensors


def _ia3(method: Ia3Settings, state: Mapping[str, Tensor], options: dict[str, Any]) -> Parts:
    from peft import IA3Config

    tensors = _renamed(state)
    # A scale of what goes into a layer is a row, one of what comes out a column.
    rows = {own_name(name.removesuffix(".ia3_l")): scale.shape[0] == 1 for name, scale in tensors.items()}
    config = IA3Config(
        target_modules=sorted(rows),
        feedforward_modules=sorted(name for name, is_row in rows.items() if is_row),
        **options,
    )
    return config, tensors


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's new parameters as PEFT's file names them, which leaves the adapter's name out."""
    return {
        THEIRS + name.removeprefix(OURS).replace(f".{ADAPTER}", ""): tensor
        for name, tensor in state.items()
        if name.startswith(OURS)
    }


_MAKERS: Mapping[type[Method], Callable[[Any, Mapping[str, Tensor], dict[str, Any]], Parts]] = {
    PromptSettings: _prompt,
    LoraSettings: _lora,
    Ia3Settings: _ia3,
}
_ELSEWHERE = {
    "finetune": "it has no adapter; the checkpoint itself is a model folder that from_pretrained loads",
    "head": "it has no adapter: the model is the backbone itself, and the head lies in the checkpoint",
}
