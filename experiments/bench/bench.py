"""Prompt tuning and zero-shot evaluation at XGLM's layer shapes, against PEFT on the same examples.

    make bench                                # XGLM-564M, whole model, random weights
    python experiments/bench/bench.py --layers 6 --rounds 3 --json bench.json

Every variant processes the same examples, whose lengths follow XNLI's. Rounds alternate between the
variants, and a figure is the median over rounds of the ratio within a round, so a noisy machine disturbs all
variants alike.

    ours, dropout off    xlprompt's batches and model, no dropout in the frozen backbone (the default)
    ours, dropout on     the same with the backbone's own dropout of 0.1
    peft, dynamic        PrefixTuning on transformers' XGLM under bfloat16 autocast, batches in random order,
                         padded to their longest
    peft, padded         the same, padded to 128
"""

import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import datasets
import numpy as np
import torch
from common import (
    LONGEST,
    NUM_LABELS,
    choose_device,
    in_own_process,
    synchronize,
    write_results,
    xnli_lengths,
)
from peft import PrefixTuningConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, XGLMConfig, XGLMModel

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import Batch, evaluation_batches, training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.models import PromptSettings, TaskModel
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.heads import LinearHead
from xlprompt.training.machine.environment import peak_memory_bytes

# PEFT calls names that transformers has renamed, which would warn at each build, in child processes too.
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

EVALUATION_BUDGET = 4096  # tokens a batch, as in the recipes
VARIANTS = ("ours, dropout off", "ours, dropout on", "peft, dynamic", "peft, padded")


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    layers: int
    prompt_length: int
    batch_size: int
    steps: int
    evaluation_steps: int
    device: str
    seed: int = 0


def examples(setting: Setting, split: str, round_: int) -> list[np.ndarray]:
    """Random ids with XNLI's lengths: those of English training pairs, or of test pairs in all languages."""
    generator = np.random.default_rng((setting.seed, round_))
    number = setting.batch_size * (setting.steps if split == "train" else setting.evaluation_steps)
    return [generator.integers(4, 256_000, length) for length in xnli_lengths(generator, number, split)]


def padded_batches(rows: Sequence[np.ndarray], setting: Setting, padded_to: int | None) -> list[Batch]:
    """Batches in the given order, padded to their longest row or to a fixed length, as a collator does."""
    made = []
    for start in range(0, len(rows), setting.batch_size):
        chunk = rows[start : start + setting.batch_size]
        ids = torch.ones(len(chunk), padded_to or max(map(len, chunk)), dtype=torch.long)
        for index, row in enumerate(chunk):
            ids[index, : len(row)] = torch.from_numpy(row)
        numbers = torch.arange(len(chunk))
        last = torch.tensor([len(row) - 1 for row in chunk])
        made.append(
            Batch(
                ids,
                numbers,
                last,
                numbers % NUM_LABELS,
                numbers,
                torch.zeros_like(numbers),
                None,
                sum(map(len, chunk)),
            )
        )
    return made


def our_batches(rows: Sequence[np.ndarray], setting: Setting, phase: str) -> list[Batch]:
    """Xlprompt's own batches of the same rows: by length within a pool, by tokens in evaluation."""
    lists = datasets.List(datasets.Value("int32"))
    dataset = datasets.Dataset.from_dict(
        {
            "input_ids": rows,
            "readouts": [[len(row) - 1] for row in rows],
            "labels": [[index % NUM_LABELS] for index in range(len(rows))],
            "example": list(range(len(rows))),
            "words": [[0]] * len(rows),
        },
        features=datasets.Features(
            {
                "input_ids": lists,
                "readouts": lists,
                "labels": datasets.List(datasets.Value("int64")),
                "example": datasets.Value("int64"),
                "words": lists,
            }
        ),
    )
    encoded = Encoded(TASKS["xnli"], EncodingSettings(), dataset, len(rows), 0, "random")
    if phase == "evaluation":
        return list(evaluation_batches(encoded, token_budget=EVALUATION_BUDGET, pad_id=1))
    steps = training_steps(
        encoded, batch_size=setting.batch_size, token_budget=2**16, seed=setting.seed, pad_id=1
    )
    return [batch for step in itertools.islice(steps, setting.steps) for batch in step.micro_batches]


class PeftModel(nn.Module):
    """PEFT's PrefixTuning on transformers' XGLM under bfloat16 autocast, with a linear head."""

    def __init__(self, setting: Setting) -> None:
        """Build with random weights in float32, as PEFT's own examples do."""
        super().__init__()
        config = xglm_config(setting)
        prompt = PrefixTuningConfig(
            task_type="FEATURE_EXTRACTION",
            num_virtual_tokens=setting.prompt_length,
            num_layers=config.num_layers,
            num_attention_heads=config.attention_heads,
            token_dim=config.d_model,
            num_transformer_submodules=1,
        )
        self.model = get_peft_model(XGLMModel(config), prompt)
        self.head = nn.Linear(config.d_model, NUM_LABELS)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `[batch, labels]`."""
        with torch.autocast(batch.input_ids.device.type, torch.bfloat16):
            positions = torch.arange(batch.input_ids.shape[1], device=batch.columns.device)
            mask = (positions <= batch.columns[:, None]).long()
            hidden = self.model(input_ids=batch.input_ids, attention_mask=mask).last_hidden_state
            return self.head(hidden[batch.rows, batch.columns]).float()


class OurModel(nn.Module):
    """The task model of xlprompt on the same shapes."""

    def __init__(self, setting: Setting, *, dropout: bool) -> None:
        """Build with random weights in bfloat16."""
        super().__init__()
        config = xglm_config(setting)
        if not dropout:
            config.dropout = config.attention_dropout = 0.0
        model = AutoModel.from_config(config, dtype=torch.bfloat16)
        backbone = Backbone(model, name="random", fingerprint="random")
        generator = torch.Generator().manual_seed(setting.seed)
        settings = PromptSettings(length=setting.prompt_length)
        prompts = settings.prompts(backbone, generator)
        head = LinearHead(backbone.hidden_size, NUM_LABELS, generator)
        self.model = TaskModel(backbone, settings, prompts, head, generator)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `[batch, labels]`."""
        return self.model(batch.input_ids, batch.rows, batch.columns)


def xglm_config(setting: Setting) -> XGLMConfig:
    """XGLM-564M's shapes with a chosen number of layers."""
    return XGLMConfig(num_layers=setting.layers)


def rows_of(phase: str, setting: Setting, round_: int) -> list[np.ndarray]:
    """The examples of one round."""
    return examples(setting, "train" if phase == "training" else "test", round_)


def build(variant: str, setting: Setting) -> nn.Module:
    """The model of a variant, on its device."""
    torch.manual_seed(setting.seed)
    if variant.startswith("peft"):
        return PeftModel(setting).to(setting.device)
    return OurModel(setting, dropout=variant.endswith("on")).to(setting.device)


def batches_of(variant: str, rows: Sequence[np.ndarray], setting: Setting, phase: str) -> list[Batch]:
    """How a variant cuts the same rows into batches, on the device."""
    if variant.startswith("ours"):
        made = our_batches(rows, setting, phase)
    else:
        made = padded_batches(rows, setting, LONGEST if variant == "peft, padded" else None)
    return [batch.to(setting.device) for batch in made]


def train(model: nn.Module, work: Sequence[Batch]) -> None:
    """One optimiser step a batch."""
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    for batch in work:
        functional.cross_entropy(model(batch), batch.labels).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()


@torch.inference_mode()
def evaluate(model: nn.Module, work: Sequence[Batch]) -> None:
    """One prediction a batch."""
    model.eval()
    for batch in work:
        model(batch).argmax(-1).cpu()


def seconds(run: Callable[[], None], device: str) -> float:
    """Wall time of a call, waiting for the device."""
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def peak_memory(variant: str, phase: str, setting: Setting) -> int:
    """Work on the largest batch of a round, in a fresh process, and return its peak memory in bytes."""
    model = build(variant, setting)
    work = batches_of(variant, rows_of(phase, setting, 0), setting, phase)
    (train if phase == "training" else evaluate)(
        model, [max(work, key=lambda batch: batch.input_ids.numel())]
    )
    return peak_memory_bytes(torch.device(setting.device))


def measure(phase: str, setting: Setting, rounds: int, console: Console) -> dict[str, dict[str, float]]:
    """Tokens per second and speed ratios of all variants in one phase."""
    work_on = train if phase == "training" else evaluate
    # Without gradients dropout is off whatever the setting, so one of ours is enough.
    variants = [name for name in VARIANTS if phase == "training" or name != "ours, dropout on"]
    models = {variant: build(variant, setting) for variant in variants}
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    tokens = []
    for variant in variants:  # warm up: the first batch allocates
        work_on(models[variant], batches_of(variant, rows_of(phase, setting, 0), setting, phase)[:1])
    for round_ in range(rounds):
        rows = rows_of(phase, setting, round_)
        tokens.append(sum(map(len, rows)))
        for variant in variants if round_ % 2 == 0 else reversed(variants):
            work = batches_of(variant, rows, setting, phase)
            times[variant].append(seconds(lambda v=variant, w=work: work_on(models[v], w), setting.device))
        console.print(
            f"{phase}, round {round_ + 1} of {rounds}: "
            + ", ".join(f"{variant} {times[variant][-1]:.1f} s" for variant in variants)
        )
    figures: dict[str, dict[str, float]] = {}
    for variant in variants:
        figures[variant] = {
            "tokens_per_second": statistics.median(
                n / t for n, t in zip(tokens, times[variant], strict=True)
            ),
            "times_peft_dynamic": _ratio(times["peft, dynamic"], times[variant]),
            "times_peft_padded": _ratio(times["peft, padded"], times[variant]),
            "seconds": statistics.median(times[variant]),
        }
    return figures


def _ratio(reference: Sequence[float], own: Sequence[float]) -> float:
    """Median over rounds of how many times faster `own` is than `reference` on the same examples."""
    return statistics.median(a / b for a, b in zip(reference, own, strict=True))


def table(phase: str, figures: dict[str, dict[str, float]], setting: Setting) -> Table:
    """Figures of one phase."""
    made = Table(title=f"{phase}: XGLM-564M shapes, {setting.layers} layers, batch {setting.batch_size}")
    for column in ("variant", "tokens/s", "x PEFT dynamic", "x PEFT padded to 128", "peak memory"):
        made.add_column(column, justify="left" if column == "variant" else "right")
    for variant, row in figures.items():
        made.add_row(
            variant,
            f"{row['tokens_per_second']:,.0f}",
            f"{row['times_peft_dynamic']:.2f}",
            f"{row['times_peft_padded']:.2f}",
            f"{row['peak_memory_bytes'] / 2**30:.2f} GiB",
        )
    return made


@click.command(context_settings={"show_default": True})
@click.option("--layers", default=24, help="Layers of XGLM-564M's shape (24 is the whole model).")
@click.option("--prompt-length", default=16, help="Prompt slots in every layer.")
@click.option("--batch-size", default=16, help="Examples a step.")
@click.option("--steps", default=8, help="Training steps a round.")
@click.option("--evaluation-steps", default=16, help="Batches of as many examples a round of evaluation.")
@click.option("--rounds", default=3, help="Rounds; figures are medians over them.")
@click.option("--device", default=None, help="cpu or cuda.  [default: cuda where there is one]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures here.")
def main(
    layers: int,
    prompt_length: int,
    batch_size: int,
    steps: int,
    evaluation_steps: int,
    rounds: int,
    device: str | None,
    json_path: Path | None,
) -> None:
    """Compare training and evaluation speed with PEFT's PrefixTuning on the same examples."""
    console = Console()
    device = choose_device(device)
    setting = Setting(layers, prompt_length, batch_size, steps, evaluation_steps, device)
    results: dict[str, object] = {"setting": {**vars(setting), "rounds": rounds}}
    for phase in ("training", "evaluation"):
        figures = measure(phase, setting, rounds, console)
        for variant, row in figures.items():
            row["peak_memory_bytes"] = in_own_process(
                f"the memory of {variant!r}", peak_memory, variant, phase, setting
            )
        console.print(table(phase, figures, setting))
        results[phase] = figures
    if json_path is not None:
        write_results(json_path, results, device, console)


if __name__ == "__main__":
    main()
