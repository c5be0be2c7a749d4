"""Attention with a prompt, written out against SDPA, by length: what WRITTEN_OUT_MAX_KEYS is chosen from.

    python experiments/bench/attention.py

About 1,024 text tokens a call and 16 prompt slots, bfloat16; the best of several calls, in milliseconds.
"""

import time
from types import SimpleNamespace

import click
import torch
from rich.console import Console
from rich.table import Table

from xlprompt.models import prompted_attention
from xlprompt.models.backbone import attention

SHAPES = {"XGLM-564M": (16, 16, 64), "Gemma 3 270M": (4, 1, 256)}  # heads, kv heads, head dim
LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
TOKENS = 1024
PROMPT_LENGTH = 16


def milliseconds(
    shape: tuple[int, int, int], length: int, *, training: bool, written_out: bool, repeats: int
) -> float:
    """Best time of one call, with its backward pass when training."""
    attention.WRITTEN_OUT_MAX_KEYS = 10**9 if written_out else 0
    heads, kv_heads, head_dim = shape
    generator = torch.Generator().manual_seed(0)

    def states(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator).bfloat16().requires_grad_(training)

    batch = max(1, TOKENS // length)
    query = states(batch, heads, length, head_dim)
    key, value = states(batch, kv_heads, length, head_dim), states(batch, kv_heads, length, head_dim)
    prompts = states(1, 2, kv_heads, PROMPT_LENGTH, head_dim)
    module = SimpleNamespace(layer_idx=0)
    best = float("inf")
    with torch.set_grad_enabled(training):
        for _ in range(repeats):
            started = time.perf_counter()
            output, _ = prompted_attention(module, query, key, value, layer_prompts={0: prompts[0]})
            if training:
                output.sum().backward()
            best = min(best, time.perf_counter() - started)
    return 1000 * best


@click.command()
@click.option("--repeats", default=10, show_default=True, help="Calls of each kind; the best counts.")
def main(repeats: int) -> None:
    """Print written-out attention beside SDPA, by model shape and length."""
    table = Table(title="milliseconds: written out / SDPA")
    for column in ("shape", "length", "training", "evaluation"):
        table.add_column(column, justify="left" if column == "shape" else "right")
    for name, shape in SHAPES.items():
        for length in LENGTHS:
            cells = []
            for training in (True, False):
                pair = [
                    milliseconds(shape, length, training=training, written_out=written_out, repeats=repeats)
                    for written_out in (True, False)
                ]
                cells.append(f"{pair[0]:.1f} / {pair[1]:.1f}")
            table.add_row(name, str(length), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
