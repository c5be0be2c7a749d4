"""Decoder backbones with layer-wise prompts, task heads and the parameter budget.

The names below are imported when they are first used: a recipe is read, and a report written, without
transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.models.adaptation import Adaptation, Adapters, require_place
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
    from xlprompt.models.attention import prompted_attention
    from xlprompt.models.backbones import Backbone
    from xlprompt.models.bitfit import BitfitSettings
    from xlprompt.models.bottleneck import AdapterSettings
    from xlprompt.models.budget import ParameterBudget, parameter_budget
    from xlprompt.models.cache import cache_dir, writable_cache_dir
    from xlprompt.models.errors import ModelError
    from xlprompt.models.examination import examine
    from xlprompt.models.finetuning import FinetuneSettings
    from xlprompt.models.heads import HeadSettings
    from xlprompt.models.known import GEMMA, KNOWN_MODELS, canonical_name, short_name
    from xlprompt.models.layer_states import changed_layer
    from xlprompt.models.loading import load_backbone
    from xlprompt.models.location import absolute_name, backbone_fingerprint
    from xlprompt.models.memory import StateMemory, state_memory
    from xlprompt.models.methods import METHODS, Method
    from xlprompt.models.peft_layers import Ia3Settings, LoraSettings
    from xlprompt.models.prompts import PromptSettings
    from xlprompt.models.reading import load_config, load_tokenizer
    from xlprompt.models.task_model import TaskModel, build_task_model, text_initialisation

__all__ = [
    "ALIGNMENT_KINDS",
    "GEMMA",
    "KNOWN_MODELS",
    "METHODS",
    "AdapterSettings",
    "Adapters",
    "Adaptation",
    "AffineMap",
    "AlignmentKind",
    "AlignmentLossSettings",
    "AlignmentSettings",
    "Backbone",
    "BitfitSettings",
    "FinetuneSettings",
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
    "moment_distance",
    "moments_of",
    "parameter_budget",
    "prompted_attention",
    "require_place",
    "short_name",
    "state_memory",
    "target_of",
    "text_initialisation",
    "writable_cache_dir",
]

_HOMES = {
    "adaptation": ("Adaptation", "Adapters", "require_place"),
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
    "attention": ("prompted_attention",),
    "backbones": ("Backbone",),
    "bitfit": ("BitfitSettings",),
    "bottleneck": ("AdapterSettings",),
    "budget": ("ParameterBudget", "parameter_budget"),
    "cache": ("cache_dir", "writable_cache_dir"),
    "errors": ("ModelError",),
    "examination": ("examine",),
    "finetuning": ("FinetuneSettings",),
    "heads": ("HeadSettings",),
    "known": ("GEMMA", "KNOWN_MODELS", "canonical_name", "short_name"),
    "layer_states": ("changed_layer",),
    "loading": ("load_backbone",),
    "location": ("absolute_name", "backbone_fingerprint"),
    "memory": ("StateMemory", "state_memory"),
    "methods": ("METHODS", "Method"),
    "peft_layers": ("Ia3Settings", "LoraSettings"),
    "prompts": ("PromptSettings",),
    "reading": ("load_config", "load_tokenizer"),
    "task_model": ("TaskModel", "build_task_model", "text_initialisation"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
