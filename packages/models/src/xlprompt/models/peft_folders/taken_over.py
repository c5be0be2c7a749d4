"""What PEFT has trained, as a method of ours and the parameters of its task model.

PEFT's own model says how strong each update is, whatever settings that comes from. Updates of some layers
only or of several ranks are filled up with zeros, which change nothing.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PreTrainedModel

from xlprompt.models.backbone.prompt_tensors import PromptShape
from xlprompt.models.errors import ModelError
from xlprompt.models.methods.ia3 import Ia3Settings
from xlprompt.models.methods.lora import LoraSettings
from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import (
    attention_inputs,
    is_called,
    last_part,
    leads_back,
    linear_layers,
    sizes_of,
)
from xlprompt.models.methods.prompt import PromptSettings
from xlprompt.models.peft_folders.applied import load_by_peft
from xlprompt.models.peft_folders.reading import MERGE, PeftFolder
from xlprompt.models.peft_folders.written import ADAPTER, OURS, PROMPT_TENSOR, THEIRS, write_peft_files

if TYPE_CHECKING:
    from peft import PeftModel

Sizes = Mapping[str, tuple[int, int]]  # of the base's linear layers by path: outputs, inputs
AnyMethod = TypeVar("AnyMethod", bound=Method)


@dataclass(frozen=True)
class TakenOver:
    """An adapter of PEFT's as it is used here.

    Attributes:
        method: The settings of its method.
        state: Parameters by their names in a task model, without a head.
        model: PEFT's own model, in float32, to be compared with.
    """

    method: Method
    state: dict[str, Tensor]
    model: "PeftModel"


def take_over(found: PeftFolder, base: PreTrainedModel, shape: PromptShape) -> TakenOver:
    """Read an adapter's parameters, those in layers through PEFT's own model.

    Args:
        found: The adapter.
        base: From `plain_base`; PEFT changes it.
        shape: What a prompt must fit.

    Raises:
        ModelError: It is another base's, or sits where no method of ours does.
    """
    prompt = found.tensors.get(("", PROMPT_TENSOR))
    if prompt is not None:
        method, state = _prompt(found, prompt, shape)
        return TakenOver(method, state, _loaded(found, base, {}, {PROMPT_TENSOR: prompt}))
    sizes = {path: sizes_of(one) for path, one in linear_layers(base).items()}
    places = _places(found, sizes)
    if found.kind == "IA3":
        inputs, back = attention_inputs(base, ("k_proj", "v_proj")), leads_back(base)
        method, state = _ia3(found, places, sizes, inputs, back)
    query_value = _query_value(base)
    tensors = {f"{THEIRS}{places[path]}.{name}": value for (path, name), value in found.tensors.items()}
    model = _loaded(found, base, places, tensors)
    if found.kind == "LORA":
        layers = {path: model.base_model.get_submodule(f"model.{path}") for path in places.values()}
        method, state = _lora(found, layers, sizes, query_value)
    return TakenOver(method, state, model)


def _places(found: PeftFolder, sizes: Sizes) -> dict[str, str]:
    """By path in the file, which depends on the class that PEFT trained in, the path in the base.

    Raises:
        ModelError: The base has no such linear layer.
    """
    places: dict[str, str] = {}
    for path, _ in found.tensors:
        parts = path.split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        place = next((ending for ending in endings if ending in sizes), None)
        if place is None:
            raise ModelError(
                f"{found.folder}: changes {path}, and the base has no linear layer of this name. Name the "
                f"base that it was trained on. Where it changes other layers than linear ones: {MERGE}"
            )
        places[path] = place
    return places


def _loaded(
    found: PeftFolder, base: PreTrainedModel, places: Mapping[str, str], tensors: dict[str, Tensor]
) -> "PeftModel":
    """PEFT's model of the adapter on a base without a head, whatever class it was trained in."""
    config: Any = copy.deepcopy(found.config)
    config.task_type, config.inference_mode, config.auto_mapping = "FEATURE_EXTRACTION", True, None
    if hasattr(config, "modules_to_save"):
        config.modules_to_save = None
    if places:
        config.target_modules, config.exclude_modules = sorted(set(places.values())), None
    if hasattr(config, "feedforward_modules") and places:
        rows = {places[path] for (path, _), value in found.tensors.items() if value.shape[0] == 1}
        config.feedforward_modules = sorted(rows)
    if hasattr(config, "lora_alpha"):
        _name_each_layer(config, found, places)
    with TemporaryDirectory() as folder:
        write_peft_files(Path(folder), (config, tensors))
        return load_by_peft(base, Path(folder))


def _name_each_layer(config: Any, found: PeftFolder, places: Mapping[str, str]) -> None:
    """Let a LoRA's configuration name each layer with its rank and alpha, as its patterns have it."""
    from peft.utils.other import get_pattern_key

    ranks, alphas = {}, {}
    for path, place in places.items():
        own = path.removeprefix(THEIRS)  # which patterns are written for
        ranks[place] = found.tensors[path, "lora_A.weight"].shape[0]
        alphas[place] = config.alpha_pattern.get(
            get_pattern_key(config.alpha_pattern, own), config.lora_alpha
        )
    config.rank_pattern, config.alpha_pattern, config.init_lora_weights = ranks, alphas, True
    config.layers_to_transform = config.layers_pattern = None


def _prompt(found: PeftFolder, prompt: Tensor, shape: PromptShape) -> tuple[Method, dict[str, Tensor]]:
    is_prefix = found.kind == "PREFIX_TUNING"
    width = shape.num_layers * 2 * shape.num_kv_heads * shape.head_dim if is_prefix else shape.hidden_size
    if prompt.ndim != 2 or prompt.shape[1] != width:
        raise ModelError(
            f"{found.folder}: {PROMPT_TENSOR} is of shape {tuple(prompt.shape)}, and the base takes {width} "
            "numbers a slot. Name the base that it was trained on"
        )
    slots = len(prompt)
    if not is_prefix:
        return _settings(PromptSettings, found, scheme="input", length=slots), {"prompts.input": prompt}
    parts = prompt.view(slots, shape.num_layers, 2, shape.num_kv_heads, shape.head_dim)
    # [layer, 2, kv head, slot, head dim]
    state = {"prompts.layers": parts.permute(1, 2, 3, 0, 4).contiguous()}
    return _settings(PromptSettings, found, scheme="layers", length=slots), state


def _query_value(base: PreTrainedModel) -> set[str]:
    """What LoRA's `query_value` changes in this base; nothing where it would be refused."""
    try:
        return set(attention_inputs(base, ("q_proj", "v_proj")))
    except ModelError:
        return set()


def _lora(
    found: PeftFolder, layers: Mapping[str, Any], sizes: Sizes, query_value: set[str]
) -> tuple[Method, dict[str, Tensor]]:
    names = {last_part(path) for path in layers}
    chosen = [path for path in sizes if last_part(path) in names]
    ranks = {path: layer.r[ADAPTER] for path, layer in layers.items()}
    scales = {path: float(layer.scaling[ADAPTER]) for path, layer in layers.items()}
    rank, alpha = max(ranks.values()), found.config.lora_alpha
    is_plain = isinstance(alpha, int) and alpha > 0 and set(scales.values()) == {alpha / rank}
    every = {last_part(path) for path in sizes}
    targets = "query_value" if names == query_value else "all" if names == every else sorted(names)
    dropout = found.config.lora_dropout
    method = _settings(
        LoraSettings, found, rank=rank, alpha=alpha if is_plain else rank, dropout=dropout, targets=targets
    )
    state: dict[str, Tensor] = {}
    for path in chosen:
        outputs, inputs = sizes[path]
        first, second = torch.zeros(rank, inputs), torch.zeros(outputs, rank)
        if path in layers:
            first[: ranks[path]] = layers[path].lora_A[ADAPTER].weight.detach()
            second[:, : ranks[path]] = layers[path].lora_B[ADAPTER].weight.detach()
            second *= 1.0 if is_plain else scales[path]
        state[f"{OURS}{path}.lora_A.{ADAPTER}.weight"] = first
        state[f"{OURS}{path}.lora_B.{ADAPTER}.weight"] = second
    return method, state


def _ia3(
    found: PeftFolder, places: Mapping[str, str], sizes: Sizes, inputs: Sequence[str], back: str
) -> tuple[Method, dict[str, Tensor]]:
    """Scales of attention's `inputs` and of what goes into `back`, as `Ia3Settings` has them."""
    feed_forward = any(is_called(path, back) for path in places.values())
    names = [*inputs, *([back] if feed_forward else [])]
    others = {last_part(path) for path in places.values() if not any(is_called(path, name) for name in names)}
    if others:
        raise ModelError(
            f"{found.folder}: (IA)3 scales {', '.join(sorted(others))}; here it scales "
            f"{', '.join(inputs)} and what goes into {back}. {MERGE}"
        )
    scaled = {places[path]: value for (path, _), value in found.tensors.items()}
    state: dict[str, Tensor] = {}
    for path, (outputs, width) in sizes.items():
        name = next((name for name in names if is_called(path, name)), None)
        if name is None:
            continue
        size = (1, width) if name == back else (outputs, 1)
        value = scaled.get(path, torch.ones(size))
        if tuple(value.shape) != size:
            raise ModelError(
                f"{found.folder}: the scale of {path} is of shape {tuple(value.shape)}, and here of {size}. "
                f"{MERGE}"
            )
        state[f"{OURS}{path}.ia3_l.{ADAPTER}"] = value
    return _settings(Ia3Settings, found, feed_forward=feed_forward), state


def _settings(kind: type[AnyMethod], found: PeftFolder, **values: Any) -> AnyMethod:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"{found.folder}: {where} {first['input']!r}: {first['msg']}. {MERGE}") from error
