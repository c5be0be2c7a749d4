"""A last layer at read-outs alone against the whole layer, by read-outs a row: what MOST_READ is chosen from.

    OMP_NUM_THREADS=1 python experiments/bench/readouts.py

One layer of XGLM-564M's shape in bfloat16, 16 rows of 40 tokens, forward; CPU seconds, the best pass.
"""

import time

import click
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModel, XGLMConfig

from xlprompt.models.backbone import backbone as backbone_module
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.backbone.readouts import Readouts

ROWS, LENGTH = 16, 40
READ = (1, 4, 10, 20, 28, 32, 36, 40)


@torch.no_grad()
def seconds(backbone: Backbone, ids: torch.Tensor, readouts: Readouts) -> float:
    """CPU time of one pass."""
    started = time.process_time()
    backbone(ids, readouts=readouts)
    return time.process_time() - started


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Passes of each kind; the best counts.")
def main(repeats: int) -> None:
    """Print how many times as fast the layer is, by the read-outs of a row."""
    backbone_module.MOST_READ = 1.0
    config = XGLMConfig(num_layers=1, dropout=0.0, attention_dropout=0.0)
    model = AutoModel.from_config(config, dtype=torch.bfloat16)
    backbone = Backbone(model, name="random", fingerprint="random").eval()
    backbone.freeze()
    few = backbone._last_layer
    ids = torch.randint(4, 256_000, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    table = Table("read-outs of 40 tokens", "times as fast")
    for read in READ:
        rows, columns = torch.arange(ROWS).repeat_interleave(read), torch.arange(read).repeat(ROWS)
        readouts, best = Readouts.of(rows, columns, ROWS), {}
        for _ in range(repeats):
            for way in (few, "whole"):
                backbone._last_layer = way
                best[way] = min(best.get(way, float("inf")), seconds(backbone, ids, readouts))
        table.add_row(str(read), f"{best['whole'] / best[few]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
