"""Decoder backbones with layer-wise prompts, task heads and the parameter budget.

The names below are imported when they are first used: a recipe is read, and a report written, without
transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.models.accounting.budget import ParameterBudget
    from xlprompt.models.accounting.memory import StateMemory, state_memory
    from xlprompt.models.alignment import (
        ALIGNMENT_KINDS,
        AffineMap,
        AlignmentKind,
        AlignmentLossSettings,
        AlignmentSettings,
        Moments,
        Target,
        alignment_map,
        moment_distance,
        moments_of,
        target_of,
    )
    from xlprompt.models.backbone.attention import prompted_attention
    from xlprompt.models.backbone.backbone import Backbone
    from xlprompt.models.backbone.layer_states import changed_layer
    from xlprompt.models.errors import ModelError
    from xlprompt.models.heads import HeadSettings
    from xlprompt.models.methods.adapter import AdapterSettings
    from xlprompt.models.methods.bitfit import BitfitSettings
    from xlprompt.models.methods.finetune import FinetuneSettings
    from xlprompt.models.methods.head import HeadOnly
    from xlprompt.models.methods.ia3 import Ia3Settings
    from xlprompt.models.methods.lora import LoraSettings
    from xlprompt.models.methods.method import Method
    from xlprompt.models.methods.prompt import PromptSettings, text_initialisation
    from xlprompt.models.methods.registry import METHODS, REGISTRY, method_of
    from xlprompt.models.pretrained.cache import cache_dir, writable_cache_dir
    from xlprompt.models.pretrained.examination import examine
    from xlprompt.models.pretrained.known import GEMMA, KNOWN_MODELS, canonical_name, short_name
    from xlprompt.models.pretrained.loading import load_backbone
    from xlprompt.models.pretrained.location import absolute_name, backbone_fingerprint
    from xlprompt.models.pretrained.reading import load_config, load_tokenizer
    from xlprompt.models.task_model import TaskModel, build_task_model, parameter_budget

__all__ = [
    "ALIGNMENT_KINDS",
    "GEMMA",
    "KNOWN_MODELS",
    "METHODS",
    "REGISTRY",
    "AdapterSettings",
    "AffineMap",
    "AlignmentKind",
    "AlignmentLossSettings",
    "AlignmentSettings",
    "Backbone",
    "BitfitSettings",
    "FinetuneSettings",
    "HeadOnly",
    "HeadSettings",
    "Ia3Settings",
    "LoraSettings",
    "Method",
    "ModelError",
    "Moments",
    "ParameterBudget",
    "PromptSettings",
    "StateMemory",
    "Target",
    "TaskModel",
    "absolute_name",
    "alignment_map",
    "backbone_fingerprint",
    "build_task_model",
    "cache_dir",
    "canonical_name",
    "changed_layer",
    "examine",
    "load_backbone",
    "load_config",
    "load_tokenizer",
    "method_of",
    "moment_distance",
    "moments_of",
    "parameter_budget",
    "prompted_attention",
    "short_name",
    "state_memory",
    "target_of",
    "text_initialisation",
    "writable_cache_dir",
]

_HOMES = {
    "accounting.budget": ("ParameterBudget",),
    "accounting.memory": (
        "StateMemory",
        "state_memory",
    ),
    "alignment": (
        "ALIGNMENT_KINDS",
        "AffineMap",
        "AlignmentKind",
        "AlignmentLossSettings",
        "AlignmentSettings",
        "Moments",
        "Target",
        "alignment_map",
        "moment_distance",
        "moments_of",
        "target_of",
    ),
    "backbone.attention": ("prompted_attention",),
    "backbone.backbone": ("Backbone",),
    "backbone.layer_states": ("changed_layer",),
    "errors": ("ModelError",),
    "heads": ("HeadSettings",),
    "methods.adapter": ("AdapterSettings",),
    "methods.bitfit": ("BitfitSettings",),
    "methods.finetune": ("FinetuneSettings",),
    "methods.head": ("HeadOnly",),
    "methods.ia3": ("Ia3Settings",),
    "methods.lora": ("LoraSettings",),
    "methods.method": ("Method",),
    "methods.prompt": (
        "PromptSettings",
        "text_initialisation",
    ),
    "methods.registry": (
        "METHODS",
        "REGISTRY",
        "method_of",
    ),
    "pretrained.cache": (
        "cache_dir",
        "writable_cache_dir",
    ),
    "pretrained.examination": ("examine",),
    "pretrained.known": (
        "GEMMA",
        "KNOWN_MODELS",
        "canonical_name",
        "short_name",
    ),
    "pretrained.loading": ("load_backbone",),
    "pretrained.location": (
        "absolute_name",
        "backbone_fingerprint",
    ),
    "pretrained.reading": (
        "load_config",
        "load_tokenizer",
    ),
    "task_model": (
        "TaskModel",
        "build_task_model",
        "parameter_budget",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
