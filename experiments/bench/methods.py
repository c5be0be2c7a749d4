"""Every method against full fine-tuning on the same batches: time of a step, peak memory, checkpoint bytes.

    make bench-methods                        # XGLM-564M, whole model, random weights; 16 GB of memory
    python experiments/bench/methods.py --layers 4 --rounds 3 --json methods.json

A ratio of times is the median over rounds of the ratio within a round (see `common.paired_rounds`). Lengths
follow XNLI's, and a step's rows are of about one length, as in training.
"""

import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from common import (
    NUM_LABELS,
    Measurement,
    Rounds,
    Setting,
    choose_device,
    our_model,
    paired_rounds,
    peak_memory,
    synchronize,
    times_as_fast,
    tokens_per_second,
    write_results,
    xnli_lengths,
)
from rich import box
from rich.console import Console
from rich.table import Table

from xlprompt.data.encoding.batches import Batch, TrainingStep
from xlprompt.evaluation.processes import Processes
from xlprompt.models import (
    AdapterSettings,
    BitfitSettings,
    FinetuneSettings,
    HeadOnly,
    Ia3Settings,
    LoraSettings,
    Method,
    PromptSettings,
)
from xlprompt.training.fitting.choose_engine import EngineChoice, choose_engine, open_engine
from xlprompt.training.fitting.engine import Engine
from xlprompt.training.machine.allocator import keep_freed_memory
from xlprompt.training.machine.environment import peak_memory_bytes
from xlprompt.training.machine.speed import device_peak_flops
from xlprompt.training.recipes.recipe import OptimizerSettings
from xlprompt.training.runs.cost import folder_bytes
from xlprompt.training.store.checkpoint import CheckpointMetadata, save_checkpoint


@dataclass(frozen=True)
class Variant:
    """What trains, beside the head, and by which engine."""

    method: Method
    engine: EngineChoice = EngineChoice("torch")


PROMPT, REFERENCE = "prompt", "finetune"
VARIANTS = {
    PROMPT: Variant(PromptSettings()),
    "head": Variant(HeadOnly()),
    "lora": Variant(LoraSettings()),
    "ia3": Variant(Ia3Settings()),
    "adapter": Variant(AdapterSettings()),
    "bitfit": Variant(BitfitSettings()),
    REFERENCE: Variant(FinetuneSettings()),
    "finetune, embedding frozen": Variant(FinetuneSettings(train_embeddings=False)),
    "finetune, DeepSpeed ZeRO 1": Variant(FinetuneSettings(), choose_engine("finetune")),
}


def take_step(engine: Engine, batch: Batch) -> None:
    """One optimizer step."""
    engine.step(TrainingStep([batch], decisions=len(batch.labels), num_tokens=batch.num_tokens), 1.0)


def batches(setting: Setting, round_: int) -> list[Batch]:
    """A warm-up batch, the longest, and those that are timed: random ids with XNLI's English lengths."""
    generator = np.random.default_rng((setting.seed, round_))
    drawn = xnli_lengths(generator, setting.batch_size * setting.steps)
    lengths = np.sort(drawn)[::-1].reshape(setting.steps, -1)
    timed = [_batch(row, generator) for row in lengths[generator.permutation(setting.steps)]]
    return [_batch(lengths[0], generator), *timed]


def _batch(lengths: np.ndarray, generator: np.random.Generator) -> Batch:
    rows = torch.arange(len(lengths))
    ids = torch.from_numpy(generator.integers(4, 256_000, (len(lengths), lengths.max())))
    return Batch(
        input_ids=ids,
        rows=rows,
        columns=torch.from_numpy(lengths - 1),
        labels=rows % NUM_LABELS,
        examples=rows,
        words=torch.zeros_like(rows),
        groups=None,
        num_tokens=int(lengths.sum()),
    )


def measure(name: str, round_: int, setting: Setting) -> Measurement:
    """One variant in one round, in the first with its checkpoint; runs in a process of its own."""
    keep_freed_memory()
    variant, device = VARIANTS[name], torch.device(setting.device)
    method = variant.method
    if isinstance(method, PromptSettings):
        method = PromptSettings(length=setting.prompt_length)
    model = our_model(method, setting).train()
    state = variant.engine.memory(model.budget(), "bfloat16", processes=1)
    flops = model.flops  # counted before an engine has the weights
    warm_up, *timed = batches(setting, round_)
    settings = OptimizerSettings(learning_rate=1e-5)
    with open_engine(variant.engine, model, settings, device, Processes(device=device)) as engine:
        take_step(engine, warm_up)  # allocates, the optimizer's state too
        synchronize(setting.device)
        started = time.perf_counter()
        for batch in timed:
            take_step(engine, batch)
        synchronize(setting.device)
        seconds = time.perf_counter() - started
        peak = peak_memory_bytes(device)
        stored = checkpoint_bytes(engine.weights()) if round_ == 0 else None
    lengths = [int(column) + 1 for batch in timed for column in batch.columns]
    return Measurement(
        seconds=seconds,
        tokens=sum(batch.num_tokens for batch in timed),
        flops=flops.step(lengths),
        state_bytes=state.total,
        peak_memory_bytes=peak,
        checkpoint_bytes=stored,
    )


def checkpoint_bytes(weights: dict[str, torch.Tensor]) -> int:
    """Size of a checkpoint that is really saved, without a model folder's configuration and tokenizer."""
    metadata = CheckpointMetadata({}, "random", "random", "xnli", ("0", "1", "2"), {}, 0, "accuracy", 0.0)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "checkpoint", weights, metadata)
        return folder_bytes(Path(folder))


def summary(rounds: Rounds, peak_flops: float) -> dict[str, dict[str, float]]:
    """Medians over rounds; of times also in relation to fine-tuning in the same round."""
    reference = rounds[REFERENCE]
    figures = {}
    for name, own in rounds.items():
        steps = [one.seconds for one in own]
        figures[name] = {
            "seconds": statistics.median(steps),
            "tokens_per_second": tokens_per_second(own),
            "share_of_finetune_seconds": 1 / times_as_fast(own, reference),
            "share_of_finetune_flops": own[0].flops / reference[0].flops,
            "model_flops_utilization": statistics.median(one.flops / one.seconds for one in own) / peak_flops,
            "state_bytes": own[0].state_bytes,
            "peak_memory_bytes": peak_memory(own),
            "checkpoint_bytes": float(own[0].checkpoint_bytes or 0),
        }
    return figures


def table(figures: dict[str, dict[str, float]], setting: Setting) -> Table:
    """All figures, and a last line with those of the prompt in relation to fine-tuning's."""
    made = Table(
        title=f"XGLM-564M shapes, {setting.layers} layers, batch {setting.batch_size}, prompt length "
        f"{setting.prompt_length}, {setting.device}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    columns = ("variant", "s/step", "tokens/s", "MFU", "state\nGiB", "peak\nGiB", "saved\nMB")
    for column in columns:
        made.add_column(column, justify="left" if column == "variant" else "right", no_wrap=True)
    for name, row in figures.items():
        made.add_row(
            name,
            f"{row['seconds'] / setting.steps:.3g}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['model_flops_utilization']:.0%}",
            f"{row['state_bytes'] / 2**30:.2f}",
            f"{row['peak_memory_bytes'] / 2**30:.2f}",
            f"{row['checkpoint_bytes'] / 1e6:,.1f}",
        )
    prompt, reference = figures[PROMPT], figures[REFERENCE]
    made.add_section()
    made.add_row(
        "prompt : finetune",
        f"{prompt['share_of_finetune_seconds']:.2f}",
        f"{1 / prompt['share_of_finetune_seconds']:.2f}",
        "",
        f"{prompt['state_bytes'] / reference['state_bytes']:.2f}",
        f"{prompt['peak_memory_bytes'] / reference['peak_memory_bytes']:.2f}",
        f"1:{reference['checkpoint_bytes'] / prompt['checkpoint_bytes']:,.0f}",
    )
    return made


@click.command(context_settings={"show_default": True})
@click.option("--layers", default=24, help="Layers of XGLM-564M's shape (24 is the whole model).")
@click.option("--prompt-length", default=15, help="Prompt slots in every layer.")
@click.option("--batch-size", default=16, help="Examples a step.")
@click.option("--steps", default=4, help="Timed steps a round; one more warms up.")
@click.option("--rounds", default=3, help="Rounds; figures are medians over them.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(VARIANTS)),
    help="Beside prompt and finetune.  [default: all]",
)
@click.option("--device", default=None, help="cpu or cuda.  [default: cuda where there is one]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures here.")
def main(
    layers: int,
    prompt_length: int,
    batch_size: int,
    steps: int,
    rounds: int,
    only: tuple[str, ...],
    device: str | None,
    json_path: Path | None,
) -> None:
    """Compare every method with full fine-tuning on the same batches."""
    console = Console()
    device = choose_device(device)
    setting = Setting(layers, prompt_length, batch_size, steps, device)
    variants = [name for name in VARIANTS if not only or name in {PROMPT, REFERENCE, *only}]
    found = paired_rounds("a method's step", variants, measure, rounds, console, setting)
    peak = device_peak_flops(torch.device(device), "bfloat16")
    figures = summary(found, peak.flops_per_second)
    console.print(table(figures, setting))
    console.print(
        "state: weights, gradients and optimizer by formula; saved: the checkpoint. "
        f"MFU: of {peak.flops_per_second / 1e12:.3g} TFLOP/s ({peak.source}). "
        f"prompt : finetune, model FLOPs: {figures[PROMPT]['share_of_finetune_flops']:.2f}",
        highlight=False,
    )
    if json_path is not None:
        results = {
            "setting": {**vars(setting), "rounds": rounds},
            "peak": asdict(peak),
            "figures": figures,
        }
        write_results(json_path, results, device, console)


if __name__ == "__main__":
    main()
