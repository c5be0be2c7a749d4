"""Decoder backbones with layer-wise prompts, task heads and the parameter budget."""

from xlprompt.models.adaptation import Adaptation, Adapters
from xlprompt.models.attention import prompted_attention
from xlprompt.models.backbones import (
    Backbone,
    backbone_fingerprint,
    load_backbone,
    load_config,
    load_tokenizer,
)
from xlprompt.models.bitfit import BitfitSettings
from xlprompt.models.bottleneck import AdapterSettings
from xlprompt.models.budget import ParameterBudget, parameter_budget
from xlprompt.models.cache import cache_dir
from xlprompt.models.errors import ModelError
from xlprompt.models.finetuning import FinetuneSettings
from xlprompt.models.heads import HeadSettings
from xlprompt.models.known import GEMMA, KNOWN_MODELS, canonical_name, short_name
from xlprompt.models.memory import StateMemory, state_memory
from xlprompt.models.methods import METHODS, Method
from xlprompt.models.peft_layers import Ia3Settings, LoraSettings
from xlprompt.models.prompts import PromptSettings
from xlprompt.models.task_model import TaskModel, build_task_model, text_initialisation

__all__ = [
    "GEMMA",
    "KNOWN_MODELS",
    "METHODS",
    "AdapterSettings",
    "Adapters",
    "Adaptation",
    "Backbone",
    "BitfitSettings",
    "FinetuneSettings",
    "HeadSettings",
    "Ia3Settings",
    "LoraSettings",
    "Method",
    "ModelError",
    "ParameterBudget",
    "PromptSettings",
    "StateMemory",
    "TaskModel",
    "backbone_fingerprint",
    "build_task_model",
    "cache_dir",
    "canonical_name",
    "load_backbone",
    "load_config",
    "load_tokenizer",
    "parameter_budget",
    "prompted_attention",
    "short_name",
    "state_memory",
    "text_initialisation",
]
