"""Which engine trains a run: plain torch for what is light, DeepSpeed for full fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xlprompt.models import method_of
from xlprompt.training.fitting.deepspeed_config import (
    DEFAULT_CONFIG,
    EngineError,
    is_offloaded,
    read_deepspeed_config,
    zero_stage,
)

if TYPE_CHECKING:  # what would be chosen is told without torch
    import torch

    from xlprompt.evaluation.processes import Processes
    from xlprompt.models import ParameterBudget, StateMemory, TaskModel
    from xlprompt.training.fitting.engine import Engine
    from xlprompt.training.recipes.recipe import OptimizerSettings

ENGINES = ("torch", "deepspeed")


@dataclass(frozen=True)
class EngineChoice:
    """An engine by name, with DeepSpeed's configuration where it is DeepSpeed."""

    name: str
    config: Mapping[str, Any] | None = None

    def params(self) -> dict[str, Any]:
        """What a tracker is told."""
        if self.config is None:
            return {"engine": self.name}
        return {"engine": self.name, "engine.zero_stage": zero_stage(self.config)}

    def memory(
        self, budget: ParameterBudget, precision: Literal["bfloat16", "float32"], processes: int
    ) -> StateMemory:
        """What each process holds besides activations."""
        from xlprompt.models import state_memory

        if self.config is None:
            return state_memory(budget, precision=precision, processes=processes)
        return state_memory(
            budget,
            engine="deepspeed",
            precision=precision,
            stage=zero_stage(self.config),
            offload=(
                "optimizer and parameters"
                if is_offloaded(self.config, "offload_param")
                else "optimizer"
                if is_offloaded(self.config, "offload_optimizer")
                else "none"
            ),
            processes=processes,
        )

    def __str__(self) -> str:
        """For people: `torch`, or `deepspeed, ZeRO 2`."""
        return self.name if self.config is None else f"{self.name}, ZeRO {zero_stage(self.config)}"


def choose_engine(method: str, name: str | None = None, deepspeed_config: Path | None = None) -> EngineChoice:
    """The engine of a run.

    Args:
        method: The recipe's.
        name: `torch` or `deepspeed`; None for torch with a prompt and DeepSpeed for full fine-tuning.
        deepspeed_config: DeepSpeed's JSON file, or None for ZeRO 1 without offloading.

    Raises:
        EngineError: There is no such engine, it is not for this method, or the file can't be used.
    """
    if name is not None and name not in ENGINES:
        raise EngineError(f"there is no engine '{name}'; the engines are {' and '.join(ENGINES)}")
    whole = method_of(method).trains_backbone
    chosen = name or ("deepspeed" if whole or deepspeed_config else "torch")
    if chosen == "torch":
        if deepspeed_config is not None:
            raise EngineError(
                f"{deepspeed_config}: the engine 'torch' reads no DeepSpeed file. Leave one of them out"
            )
        return EngineChoice("torch")
    if not whole:
        raise EngineError(
            f"DeepSpeed is for full fine-tuning, and this recipe's method is '{method}': what it trains is "
            "so small that dividing it costs more than it saves. Leave --engine and --deepspeed out"
        )
    config = read_deepspeed_config(deepspeed_config) if deepspeed_config else DEFAULT_CONFIG
    return EngineChoice("deepspeed", config)


@contextmanager
def open_engine(
    choice: EngineChoice,
    model: TaskModel,
    settings: OptimizerSettings,
    device: torch.device,
    processes: Processes,
) -> Iterator[Engine]:
    """The engine, which has the model for as long as the block lasts."""
    engine: Engine
    if choice.config is None:
        from xlprompt.training.fitting.engine import TorchEngine

        engine = TorchEngine(model, settings, device, processes)
    else:
        from xlprompt.training.fitting.deepspeed_engine import DeepSpeedEngine

        engine = DeepSpeedEngine(model, settings, device, processes, choice.config)
    try:
        yield engine
    finally:
        engine.close()
