"""One examination of a model before anything is loaded, downloaded or planned: may it be used here, and how?

A decoder is built without memory on torch's meta device and read as it will be when its weights are there, so
training, planning, prediction and `doctor` refuse the same models in the same words.
"""

import copy
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from xlprompt.models.backbone.backbone import Backbone, find_layers, shape_by_config
from xlprompt.models.backbone.probes import Measured
from xlprompt.models.errors import INSTEAD, ModelError
from xlprompt.models.pretrained.files import first_line
from xlprompt.models.pretrained.known import KNOWN_MODELS, canonical_name
from xlprompt.models.pretrained.reading import is_about_the_model, load_config

_MEASURED: dict[str, Measured] = {}
"""What models without weights were found to be, by class and configuration. Each method asks anew."""


def examine(name: str) -> Backbone:
    """The backbone of a name without its weights: on the meta device, measured and found usable.

    Args:
        name: A known name (needs no network), a folder, or a hub id (reads its `config.json`).

    Raises:
        ModelError: Prompts can't be put in front of this model; the message says what to take instead.
    """
    known = KNOWN_MODELS.get(canonical_name(name))
    return examine_config(known() if known else load_config(name), name=name)


def examine_config(config: PreTrainedConfig, *, name: str) -> Backbone:
    """As `examine`, of a configuration that has been read.

    Raises:
        ModelError: As `examine`.
    """
    _require_readable_order(config.get_text_config(), name)  # first: else its decoder alone is advised
    _require_text_alone(config, name)
    model = weightless_model(config, name=name)
    _require_causal_modules(model, name)
    key = f"{type(model).__name__} {config.to_json_string(use_diff=False)}"
    try:
        backbone = Backbone(model, name=name, fingerprint="", measured=_MEASURED.get(key))
        if not all(vars(backbone.shape).values()):
            raise ValueError(f"it has {backbone.shape}")
        _MEASURED[key] = Measured(backbone.shape, backbone.reads_trees, backbone.last_layer)
        return backbone
    except Exception as error:
        if not is_about_the_model(error):
            raise
        # Some models look at the values that they compute (rotary embeddings that grow with the text), and
        # a meta tensor has none: what is left is tried when the weights are there.
        if "meta" in str(error).lower():
            return Backbone(model, name=name, fingerprint="", measured=Measured(_shape(config, name)))
        raise ModelError(f"{name}: its configuration makes no working model ({first_line(error)})") from error


def weightless_model(config: PreTrainedConfig, *, name: str) -> PreTrainedModel:
    """A transformers base model on torch's meta device: all shapes and no memory.

    Raises:
        ModelError: The configuration makes no model.
    """
    try:
        with torch.device("meta"):
            return AutoModel.from_config(  # which writes into the configuration
                copy.deepcopy(config),
                dtype=torch.bfloat16,
                attn_implementation="eager",
                trust_remote_code=False,
            ).to(torch.bfloat16)
    except Exception as error:
        if not is_about_the_model(error):
            raise
        raise ModelError(
            f"{name}: its configuration makes no model ({first_line(error)}). {INSTEAD}"
        ) from error


def _require_text_alone(config: PreTrainedConfig, name: str) -> None:
    """Refuse a checkpoint of several models, of which one reads text."""
    if config.get_text_config() is not config:
        parts = ", ".join(sorted(key.removesuffix("_config") for key in config.sub_configs))
        raise ModelError(
            f"{name}: a multimodal checkpoint ({parts}), and prompts here go into a decoder of text alone. "
            "Take one of its family, where there is one (of Gemma 3: 270M and 1B). Or save its decoder by "
            f"itself, AutoModel.from_pretrained({name!r}).get_decoder().save_pretrained(FOLDER), and beside "
            f"it its tokenizer, AutoTokenizer.from_pretrained({name!r}).save_pretrained(FOLDER)"
        )


def _require_readable_order(config: PreTrainedConfig, name: str) -> None:
    """Refuse what a configuration says itself: order, tokens that each layer looks up, quantized weights."""
    values = config.to_dict()
    both = values.get("use_bidirectional_attention")
    if both in (True, "all") or values.get("is_causal") is False or values.get("causal") is False:
        raise _both_ways(name, type(config).__name__.removesuffix("Config").removesuffix("Text"))
    if "chunked_attention" in (values.get("layer_types") or ()):
        raise ModelError(
            f"{name}: its attention sees chunks of the text only, which prompts here don't know. {INSTEAD}"
        )
    if values.get("vocab_size_per_layer_input"):
        raise ModelError(
            f"{name}: each of its layers looks the text's tokens up anew, and prompts here hand on their "
            f"embeddings alone, without which it computes something else. {INSTEAD}"
        )
    if quantized := values.get("quantization_config"):
        kind = (
            quantized.get("quant_method", "an unknown method") if isinstance(quantized, dict) else quantized
        )
        raise ModelError(f"{name}: its weights are quantized ({kind}); give the model before quantization")


def _require_causal_modules(model: PreTrainedModel, name: str) -> None:
    layers = find_layers(model)  # a model without them is refused for that
    for module in layers.modules() if layers is not None else ():
        if getattr(module, "is_causal", True) is False:
            raise _both_ways(name, type(model).__name__)


def _both_ways(name: str, kind: str) -> ModelError:
    return ModelError(
        f"{name}: {kind} reads its text in both directions; prompts here are made for causal "
        f"decoders. {INSTEAD}"
    )


def _shape(config: Any, name: str) -> Any:
    try:
        return shape_by_config(config)
    except Exception as error:
        raise ModelError(f"{name}: its configuration makes no working model ({first_line(error)})") from error
