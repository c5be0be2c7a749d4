"""What the benchmarks share: shapes and lengths, paired rounds in processes of their own, kept figures."""

import json
import multiprocessing
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from transformers import AutoModel, XGLMConfig

from xlprompt.models import Method, TaskModel
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.heads import LinearHead
from xlprompt.training.machine.environment import cpu_model

NUM_LABELS = 3
LONGEST = 128
_QUANTILES = json.loads((Path(__file__).parent / "xnli_lengths.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    layers: int
    prompt_length: int
    batch_size: int
    steps: int
    device: str
    seed: int = 0


@dataclass(frozen=True)
class Measurement:
    """One variant in one round.

    Attributes:
        seconds: Wall-clock time, without building the model and a warm-up.
        tokens: Of all texts, without padding.
        peak_memory_bytes: Of the process, or on a GPU of its allocations.
        flops: Model FLOPs; 0 where they are not counted.
        state_bytes: Weights, gradients and optimizer by formula.
        checkpoint_bytes: What was saved.
        answers: Labels that were predicted, where they are compared.
    """

    seconds: float
    tokens: int
    peak_memory_bytes: int
    flops: int = 0
    state_bytes: int = 0
    checkpoint_bytes: int | None = None
    answers: tuple[int, ...] = ()


Rounds = dict[str, list[Measurement]]
"""Measurements by variant, one a round."""


def paired_rounds(
    what: str,
    variants: Collection[str],
    measure: Callable[..., Measurement],
    rounds: int,
    console: Console,
    *arguments: Any,
) -> Rounds:
    """Measure variants in turns, each in a process of its own, so that a noisy machine disturbs all alike.

    No two models are in memory together, and peak memory is a variant's own. Every other round goes through
    the variants backwards.

    Args:
        what: What is measured, for the lines that say how it goes.
        variants: Their names.
        measure: Takes a name, the number of the round, from 0, and `arguments`; at the top of a module.
        rounds: How many.
        console: Where each round is told.
        arguments: Further ones of `measure`.
    """
    found: Rounds = {name: [] for name in variants}
    for round_ in range(rounds):
        for name in found if round_ % 2 == 0 else reversed(found):
            found[name].append(in_own_process(f"{what}, {name}", measure, name, round_, *arguments))
        seconds = ", ".join(f"{name} {own[-1].seconds:.1f} s" for name, own in found.items())
        console.print(f"{what}, round {round_ + 1} of {rounds}: {seconds}", highlight=False)
    return found


def times_as_fast(own: Sequence[Measurement], other: Sequence[Measurement]) -> float:
    """Median over rounds of how many times as fast `own` is as `other` in the same round."""
    return statistics.median(b.seconds / a.seconds for a, b in zip(own, other, strict=True))


def tokens_per_second(own: Sequence[Measurement]) -> float:
    """Median over rounds."""
    return statistics.median(one.tokens / one.seconds for one in own)


def peak_memory(own: Sequence[Measurement]) -> float:
    """Bytes, median over rounds."""
    return statistics.median(one.peak_memory_bytes for one in own)


def xglm_config(setting: Setting, *, dropout: bool) -> XGLMConfig:
    """XGLM-564M's shapes with a chosen number of layers."""
    off = {} if dropout else {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    return XGLMConfig(num_layers=setting.layers, **off)


def our_model(method: Method, setting: Setting, *, dropout: bool = False) -> TaskModel:
    """The task model with random weights in bfloat16; without dropout, as recipes have it."""
    torch.manual_seed(setting.seed)
    model = AutoModel.from_config(xglm_config(setting, dropout=dropout), dtype=torch.bfloat16)
    backbone = Backbone(model.to(setting.device), name="random", fingerprint="random")
    generator = torch.Generator().manual_seed(setting.seed)
    prompts = method.prompts(backbone, generator)
    head = LinearHead(backbone.hidden_size, NUM_LABELS, generator)
    return TaskModel(backbone, method, prompts, head, generator).to(setting.device)


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
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        answer = receiver.recv()  # before the process is waited for, which may have more to say than fits
    except EOFError:
        answer = None
    process.join()
    if process.exitcode != 0:
        raise click.ClickException(
            f"measuring {what} failed (exit code {process.exitcode}; -9 is usually a lack of memory: "
            "try --layers 4)"
        )
    return answer


def _answer(sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sender.send(work(*arguments))


def choose_device(name: str | None) -> str:
    """The named device, or the GPU where there is one."""
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def write_results(path: Path, results: Mapping[str, Any], device: str, console: Console) -> None:
    """Write figures as JSON, with the machine that they were measured on."""
    machine = {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu_model(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    path.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {path}")
