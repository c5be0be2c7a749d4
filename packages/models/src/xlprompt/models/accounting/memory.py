"""Memory of a training run's weights, gradients and optimizer state, by arithmetic and before anything runs.

Activations are not counted: they depend on batch size and length rather than on what trains. Nor are buffers
such as XGLM's position table (4 MiB). What remains decides whether a model can be fine-tuned on a device at
all, and is what prompt tuning saves.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from xlprompt.models.accounting.budget import ParameterBudget

EngineName = Literal["torch", "deepspeed"]
Offload = Literal["none", "optimizer", "optimizer and parameters"]

_FLOAT32 = 4
_MOMENTS = 8  # AdamW's two averages, float32 in both engines
_BYTES = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class StateMemory:
    """Bytes of one process.

    Attributes:
        weights: What the model computes with, on the device.
        gradients: Accumulated gradients, on the device.
        optimizer: AdamW's moments, and float32 masters of weights that are computed with in bfloat16, on the
            device (Rajbhandari et al. count both as optimizer state).
        host: What offloading keeps in this process's main memory instead.
    """

    weights: int
    gradients: int
    optimizer: int
    host: int = 0

    @property
    def total(self) -> int:
        """All bytes on the device."""
        return self.weights + self.gradients + self.optimizer

    def to_dict(self) -> dict[str, int]:
        """All figures, the device's total included."""
        return {**asdict(self), "total": self.total}


def state_memory(
    budget: ParameterBudget,
    *,
    engine: EngineName = "torch",
    precision: Literal["bfloat16", "float32"] = "bfloat16",
    stage: int = 0,
    offload: Offload = "none",
    processes: int = 1,
) -> StateMemory:
    """Bytes of weights, gradients and optimizer state that one process of a training run holds.

    Bytes of one parameter, in bfloat16 (2 more for each weight in float32, but then no master):

    | | weight | gradient | master and moments | sum |
    |---|---|---|---|---|
    | frozen backbone | 2 | | | 2 |
    | prompt, adapters and head, float32 themselves | 4 | 4 | 8 | 16 |
    | fine-tuned (by BitFit: biases), torch engine | 2 | 4 | 4 + 8 | 18 |
    | fine-tuned, ZeRO on N processes, stage 0 | 2 | 4 | 12 | 18 |
    | stage 1 shards the optimizer | 2 | 4 | 12 / N | |
    | stage 2 also the gradients | 2 | 4 / N | 12 / N | |
    | stage 3 also the weights, frozen ones too | 2 / N | 4 / N | 12 / N | 18 / N |

    Stages follow Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054, figure 1), who have gradients of 2 bytes;
    here they are accumulated in float32 by both engines. With offloading, optimizer state and gradients are
    in main memory (Ren et al. 2021, ZeRO-Offload, arXiv 2101.06840), at stage 1 beside the gradients on the
    device; weights only at stage 3. The torch engine shards nothing, so each process holds everything. XGLM's
    fused projections under a prompt are the same memory as its weights, not a second copy.

    Read in DeepSpeed 0.19.8: `BF16_Optimizer` (stage 1) holds float32 gradients of all weights;
    `DeepSpeedZeroOptimizer` (stage 2) and `DeepSpeedZeroOptimizer_Stage3` those of their shard. The latter
    two copy the weights to masters even where these are float32. Stage 0 accumulates in bfloat16 and copies
    to float32 at the update; that copy is what counts here. Not counted are DeepSpeed's buffers, which its
    configuration sets in elements and which can outweigh a small model: `reduce_bucket_size` and
    `allgather_bucket_size` (5e8 each by default, a GB in bfloat16; the first twice with `overlap_comm`), at
    stage 3 the gathered weights (up to `stage3_max_live_parameters`, 1e9), at offloading the staging copies
    in main memory. Nor is what torch's AdamW takes for a moment at the update, when activations are freed: 4
    bytes a trained parameter on a GPU, 8 a parameter of the largest tensor on a CPU (2.0 GiB for XGLM-564M).

    Args:
        budget: What there is and what trains.
        engine: `torch`, or `deepspeed` for full fine-tuning.
        precision: The backbone's.
        stage: ZeRO's, 0 to 3; DeepSpeed only.
        offload: What lies in main memory; DeepSpeed only, the optimizer from stage 1, parameters at stage 3.
        processes: Data-parallel processes, one a device.

    Raises:
        ValueError: The combination does not exist.
    """
    if processes < 1 or stage not in (0, 1, 2, 3):
        raise ValueError(f"ZeRO stage {stage} on {processes} processes: stages are 0 to 3, on 1 or more")
    if engine == "torch":
        if stage or offload != "none":
            raise ValueError("the torch engine neither shards nor offloads; use the engine deepspeed")
        return _torch(budget, precision)
    if budget.prompt_params or budget.adapter_params:
        raise ValueError("prompts and adapters train by the torch engine: DeepSpeed would save nothing")
    if (offload != "none" and stage == 0) or (offload == "optimizer and parameters" and stage != 3):
        raise ValueError(f"ZeRO stage {stage} cannot offload {offload}: the optimizer needs 1, parameters 3")
    return _deepspeed(budget, precision, stage, offload, processes)


def _torch(budget: ParameterBudget, precision: str) -> StateMemory:
    light = budget.prompt_params + budget.adapter_params + budget.head_params
    tuned = budget.finetuned_params
    master = 0 if precision == "float32" else _FLOAT32
    return StateMemory(
        weights=budget.total_params * _BYTES[precision] + light * _FLOAT32,
        gradients=(tuned + light) * _FLOAT32,
        optimizer=tuned * (master + _MOMENTS) + light * _MOMENTS,
    )


def _deepspeed(
    budget: ParameterBudget, precision: str, stage: int, offload: Offload, processes: int
) -> StateMemory:
    # DeepSpeed takes models of one precision, so the head counts like the backbone's weights.
    held = budget.total_params + budget.head_params
    trained = budget.finetuned_params + budget.head_params
    master = 0 if precision == "float32" and stage == 0 else _FLOAT32

    def share(params: int, *, from_stage: int) -> int:
        return -(-params // processes) if stage >= from_stage else params  # shards are padded to one size

    weights = share(held, from_stage=3) * _BYTES[precision]
    gradients = share(trained, from_stage=2) * _FLOAT32
    optimizer = share(trained, from_stage=1) * (master + _MOMENTS)
    if offload == "none":
        return StateMemory(weights, gradients, optimizer)
    host = optimizer + share(trained, from_stage=1) * _FLOAT32
    gradients = gradients if stage == 1 else 0
    if offload == "optimizer":
        return StateMemory(weights, gradients, 0, host)
    return StateMemory(0, gradients, 0, host + weights)
