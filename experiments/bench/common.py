"""What the benchmarks share: lengths, a process for each measurement, and how figures are kept."""

import json
import multiprocessing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console

from xlprompt.training.machine.environment import cpu_model

NUM_LABELS = 3
LONGEST = 128
_QUANTILES = json.loads((Path(__file__).parent / "xnli_lengths.json").read_text(encoding="utf-8"))


def xnli_lengths(generator: np.random.Generator, number: int, split: str = "train") -> np.ndarray:
    """Lengths as XNLI has them: in English training pairs, or in test pairs of all languages.

    Returns:
        `[number]`, none above `LONGEST`.
    """
    quantiles = _QUANTILES[split]
    drawn = np.interp(generator.random(number) * 100, np.arange(len(quantiles)), quantiles)
    return np.minimum(drawn.round().astype(int), LONGEST)


def in_own_process(what: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a fresh process, whose peak memory is then its own.

    Args:
        what: What it measures, for the error.
        work: A function at the top of a module.
        arguments: Its arguments.
    """
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_answer, args=(answer, work, arguments))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise click.ClickException(
            f"measuring {what} failed (exit code {process.exitcode}; -9 is usually a lack of memory: "
            "try --layers 4)"
        )
    return answer.get()


def _answer(answer: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answer.put(work(*arguments))


def choose_device(name: str | None) -> str:
    """The named device, or the GPU where there is one."""
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def write_results(path: Path, results: Mapping[str, Any], device: str, console: Console) -> None:
    """Write figures as JSON, with the machine that they were measured on."""
    machine = {
        "device": torch.cuda.get_device_name() if device == "cuda" else cpu_model(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    path.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {path}")
