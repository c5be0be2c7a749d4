"""The training parts of bench.py: prompts, LoRA and full fine-tuning beside the rivals of rivals.py.

All variants of a round train on the same examples, with as many a step. Ours take xlprompt's own steps (rows
of about one length, its engine); the rivals theirs.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import datasets
import numpy as np
import torch
from common import LONGEST, NUM_LABELS, Measurement, Setting, our_model, synchronize, xnli_lengths
from rivals import Precision, Rival, Trained, Trainer, padded_batches

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation.processes import Processes
from xlprompt.models import FinetuneSettings, LoraSettings, Method, PromptSettings
from xlprompt.training.fitting.choose_engine import EngineChoice, open_engine
from xlprompt.training.machine.allocator import keep_freed_memory
from xlprompt.training.machine.environment import peak_memory_bytes
from xlprompt.training.recipes.recipe import OptimizerSettings


@dataclass(frozen=True)
class Ours:
    """A method of xlprompt."""

    method: Method
    dropout: bool = False


@dataclass(frozen=True)
class Theirs:
    """A rival, with transformers' dropout of 0.1 unless it is off."""

    trained: Trained
    precision: Precision
    dropout: bool = True
    padded_to: int | None = None


@dataclass(frozen=True)
class Part:
    """What is compared in one table; `references` are what the others' speed is told in times of."""

    title: str
    variants: dict[str, Ours | Theirs]
    references: tuple[str, ...] = field(default=())


PARTS = {
    "prompt": Part(
        "Prompt tuning",
        {
            "ours": Ours(PromptSettings()),
            "ours, dropout on": Ours(PromptSettings(), dropout=True),
            "PEFT, autocast": Theirs("prefix", "autocast"),
            "PEFT, bfloat16": Theirs("prefix", "bfloat16"),
            "PEFT, bfloat16, dropout off": Theirs("prefix", "bfloat16", dropout=False),
            "PEFT, autocast, padded to 128": Theirs("prefix", "autocast", padded_to=LONGEST),
        },
        ("PEFT, autocast", "PEFT, bfloat16"),
    ),
    "lora": Part(
        "LoRA",
        {
            "ours": Ours(LoraSettings()),
            "PEFT, autocast": Theirs("lora", "autocast"),
            "PEFT, bfloat16": Theirs("lora", "bfloat16"),
        },
        ("PEFT, autocast", "PEFT, bfloat16"),
    ),
    "finetune": Part(
        "Full fine-tuning",
        {
            "ours": Ours(FinetuneSettings()),
            "Trainer, bf16=True": Theirs("all", "autocast"),
            "Trainer, bfloat16 weights": Theirs("all", "bfloat16"),
        },
        ("Trainer, bf16=True", "Trainer, bfloat16 weights"),
    ),
}


def measure(variant: str, round_: int, part: str, setting: Setting) -> Measurement:
    """One variant in one round; runs in a process of its own."""
    keep_freed_memory()  # as real runs of ours do; the rivals have it too
    one = PARTS[part].variants[variant]
    rows = examples(setting, round_)
    seconds, flops = (_ours if isinstance(one, Ours) else _theirs)(one, rows, setting)  # type: ignore[operator]
    return Measurement(seconds, sum(map(len, rows)), peak_memory_bytes(torch.device(setting.device)), flops)


def examples(setting: Setting, round_: int, split: str = "train") -> list[np.ndarray]:
    """Random ids with XNLI's lengths: those of English training pairs, or of test pairs in all languages."""
    generator = np.random.default_rng((setting.seed, round_))
    lengths = xnli_lengths(generator, setting.batch_size * setting.steps, split)
    return [generator.integers(4, 256_000, length) for length in lengths]


def encoded(rows: Sequence[np.ndarray]) -> Encoded:
    """The rows as xlprompt encodes them, with labels in turn."""
    lists = datasets.List(datasets.Value("int32"))
    features = {
        "input_ids": lists,
        "readouts": lists,
        "labels": datasets.List(datasets.Value("int64")),
        "example": datasets.Value("int64"),
        "words": lists,
    }
    columns = {
        "input_ids": rows,
        "readouts": [[len(row) - 1] for row in rows],
        "labels": [[index % NUM_LABELS] for index in range(len(rows))],
        "example": list(range(len(rows))),
        "words": [[0]] * len(rows),
    }
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    return Encoded(TASKS["xnli"], EncodingSettings(), table, table, 0, "random")


def _ours(one: Ours, rows: Sequence[np.ndarray], setting: Setting) -> tuple[float, int]:
    """Seconds, and the model FLOPs."""
    method, device = one.method, torch.device(setting.device)
    if isinstance(method, PromptSettings):
        method = PromptSettings(length=setting.prompt_length)
    model = our_model(method, setting, dropout=one.dropout).train()
    flops = model.flops.step([len(row) for row in rows])  # before an engine has the weights
    endless = training_steps(
        encoded(rows),
        batch_size=setting.batch_size,
        token_budget=2**16,
        seed=setting.seed,
        pad_id=1,
        share=model.trains_on_trees,
    )
    steps = list(itertools.islice(endless, setting.steps))
    longest = max(steps, key=lambda step: max(batch.input_ids.numel() for batch in step.micro_batches))
    settings = OptimizerSettings(learning_rate=1e-5)
    with open_engine(EngineChoice("torch"), model, settings, device, Processes(device=device)) as engine:
        seconds = _timed([lambda s=step: engine.step(s, 1.0) for step in (longest, *steps)], setting)
    return seconds, flops


def _theirs(one: Theirs, rows: Sequence[np.ndarray], setting: Setting) -> tuple[float, int]:
    """Seconds, and 0: what counts is the model FLOPs that ours takes for the same examples."""
    trainer = Trainer(Rival(setting, one.trained, one.precision, dropout=one.dropout))
    batches = list(padded_batches(rows, setting.batch_size, one.padded_to))
    longest = max(batches, key=lambda batch: batch.input_ids.numel())
    work = [lambda b=batch: trainer.step(b.to(setting.device)) for batch in (longest, *batches)]
    return _timed(work, setting), 0


def _timed(work: Sequence[Callable[[], object]], setting: Setting) -> float:
    """Seconds of all but the first, which allocates."""
    first, *others = work
    first()
    synchronize(setting.device)
    started = time.perf_counter()
    for step in others:
        step()
    synchronize(setting.device)
    return time.perf_counter() - started
