"""DeepSpeed's JSON file: what a run takes without one, and what may not stand in one.

It is read without torch and DeepSpeed, so that a wrong one is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# For a run that names no file. In one process all stages hold the same, and this one is the fastest.
DEFAULT_CONFIG: Mapping[str, Any] = {
    # Buckets of DeepSpeed's default size, 5e8 numbers, would outweigh the models here.
    "zero_optimization": {"stage": 1, "reduce_bucket_size": 50_000_000, "allgather_bucket_size": 50_000_000},
    "data_types": {"grad_accum_dtype": "fp32"},
}

# Keys of DeepSpeed's file that the recipe decides.
_OF_THE_RECIPE = {
    "amp": "precision",
    "bf16": "precision",
    "fp16": "precision",
    "gradient_accumulation_steps": "schedule.token_budget",
    "gradient_clipping": "optimizer.clip_norm",
    "managed_gradient_accumulation": "schedule.token_budget",
    "optimizer": "optimizer",
    "scheduler": "optimizer.warmup_share",
    "train_batch_size": "schedule.batch_size",
    "train_micro_batch_size_per_gpu": "schedule.token_budget",
}


class EngineError(ValueError):
    """An engine that cannot be had as asked for; the message says what to change."""


def read_deepspeed_config(path: Path) -> dict[str, Any]:
    """Read DeepSpeed's JSON file.

    Raises:
        EngineError: It is missing, no JSON object, or decides what the recipe decides.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineError(
            f"{path}: there is no such file; experiments/deepspeed has one for each stage of ZeRO"
        ) from None
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(config, dict):
        raise EngineError(f"{path}: expected a JSON object, found {type(config).__name__}")
    for key in config:
        if key in _OF_THE_RECIPE:
            raise EngineError(
                f"{path}: {key}: is decided by the recipe ({_OF_THE_RECIPE[key]}). Remove it here"
            )
    stage = zero_stage(config)
    if stage not in (0, 1, 2, 3):
        raise EngineError(f"{path}: zero_optimization.stage: expected 0, 1, 2 or 3")
    for section, first in (("offload_optimizer", 1), ("offload_param", 3)):
        if is_offloaded(config, section) and stage < first:
            raise EngineError(
                f"{path}: zero_optimization.{section}: needs a stage of at least {first}, and there it is "
                f"{stage}"
            )
    return config


def is_offloaded(config: Mapping[str, Any], section: str) -> bool:
    """Whether `offload_optimizer` or `offload_param` moves something to another place."""
    offload = config.get("zero_optimization", {}).get(section)
    return isinstance(offload, Mapping) and offload.get("device", "none") != "none"


def zero_stage(config: Mapping[str, Any]) -> int:
    """The stage that a configuration asks for."""
    section = config.get("zero_optimization", {})
    stage = section.get("stage", 0) if isinstance(section, Mapping) else None
    return stage if isinstance(stage, int) else -1
