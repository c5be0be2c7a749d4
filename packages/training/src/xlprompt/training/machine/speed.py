"""How much arithmetic a device can do in a second, by its data sheet or by trial."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from xlprompt.training.machine.environment import device_name

# FLOPs a second in bfloat16 on tensor cores, dense and without sparsity (data sheets that give the sparse
# figure give twice as much), from NVIDIA's data sheets of the H100, H200, A100, L40S, L4 and A10. Found by
# words of torch's device name; the first line all of whose words occur in it counts.
_DATASHEET: tuple[tuple[frozenset[str], float], ...] = (
    (frozenset({"H100", "PCIe"}), 756e12),
    (frozenset({"H100", "NVL"}), 835e12),
    (frozenset({"H100", "HBM3"}), 989e12),  # SXM
    (frozenset({"H200", "NVL"}), 835e12),
    (frozenset({"H200"}), 989e12),
    (frozenset({"A100"}), 312e12),
    (frozenset({"L40S"}), 362e12),
    (frozenset({"L4"}), 121e12),
    (frozenset({"A10"}), 125e12),
)
_LONG_ENOUGH = 0.01  # seconds of a product after which a larger one would not tell more
_SIZES = (512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class PeakRate:
    """The most arithmetic a device can do, and how that is known."""

    flops_per_second: float
    source: Literal["datasheet", "measured"]


def device_peak_flops(device: torch.device, precision: Literal["bfloat16", "float32"]) -> PeakRate:
    """The rate that a model's arithmetic is held against.

    Of GPUs whose data sheet is known it is the sheet's, in bfloat16; of any other device that of the fastest
    of a few square matrix products, which takes well under a second and on a GPU half a GB of memory. A
    measured rate is one that can be reached, so utilization by it comes out higher than by a data sheet's.
    """
    words = frozenset(device_name(device).replace("-", " ").split())
    if device.type == "cuda" and precision == "bfloat16" and "MIG" not in words:  # a slice is not the whole
        for wanted, rate in _DATASHEET:
            if wanted <= words:
                return PeakRate(rate, "datasheet")
    return PeakRate(_measured_rate(device, getattr(torch, precision)), "measured")


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds, until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _measured_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of square products that grow until one takes long enough; the best median of three."""
    best = 0.0
    for size in _SIZES:
        matrix = torch.full((size, size), 0.5, dtype=dtype, device=device)
        result = torch.empty_like(matrix)
        first = timed(lambda m=matrix, r=result: torch.mm(m, m, out=r), device)  # type: ignore[misc]
        times = [
            timed(lambda m=matrix, r=result: torch.mm(m, m, out=r), device)  # type: ignore[misc]
            for _ in range(3 if first < 0.2 else 1)  # a device this slow is not asked more than it must be
        ]
        seconds = statistics.median(times)
        best = max(best, 2 * size**3 / seconds)
        if seconds > _LONG_ENOUGH:
            break
    return best
