"""What it saves to read a beginning once that several texts have, in CPU seconds.

    python experiments/bench/beginnings.py --data FOLDER --languages en,hi --threads 1
    python experiments/bench/beginnings.py --data FOLDER --layers 6 --precision bfloat16 --tokenizer FOLDER

Scores XNLI's test sets out of a folder, each text in a row of its own and with beginnings shared, in turns; a
figure is the median over rounds of the ratio within a round. Then rows of several lengths are read, as many
tokens of each: `xlprompt.data.encoding.beginnings` weighs sharing by what a token costs in longer rows.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from transformers import AutoTokenizer, XGLMConfig, XGLMModel

from xlprompt.data import TASKS
from xlprompt.data.encoding.encode import encode
from xlprompt.data.sources import open_source
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation import Predictions, predict
from xlprompt.models import (
    HeadSettings,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
)
from xlprompt.models.backbone.backbone import Backbone

TOKENS = 4096  # a batch
LENGTHS = (32, 64, 128, 256, 448)  # xglm-nano has 512 positions


@click.command()
@click.option("--data", required=True, help="A folder with test sets of XNLI.")
@click.option("--languages", default="en", show_default=True, help="Codes, with commas.")
@click.option("--rows", default=2000, show_default=True, help="Most pairs of a language.")
@click.option("--model", default="xglm-nano", show_default=True, help="What reads, unless --layers is given.")
@click.option("--layers", type=int, help="Random weights of XGLM-564M's shapes, of so many layers.")
@click.option("--tokenizer", help="A folder; the model's own by default.")
@click.option("--max-length", default=128, show_default=True)
@click.option("--precision", default="float32", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(**options: Any) -> None:
    """Measure and print."""
    console = Console()
    torch.set_num_threads(options["threads"])
    if options["tokenizer"]:
        tokenizer = AutoTokenizer.from_pretrained(Path(options["tokenizer"]))
    else:
        tokenizer = load_tokenizer(options["model"])
    backbone = (
        load_backbone(options["model"], dtype=options["precision"])
        if options["layers"] is None
        else random_backbone(options["layers"], len(tokenizer), options["precision"])
    )
    model = build_task_model(
        backbone, tokenizer, num_labels=3, method=PromptSettings(length=16), head=HeadSettings(), seed=0
    ).eval()
    source, settings = open_source(options["data"]), EncodingSettings(max_length=options["max_length"])
    for language in options["languages"].split(","):
        pairs = source.load(TASKS["xnli"], language, "test")
        pairs = pairs.select(range(min(options["rows"], len(pairs))))
        encoded = encode(pairs, TASKS["xnli"], tokenizer, settings, language=language)
        ratios, equal = [], 0.0

        def scored(share: bool, encoded: Any = encoded) -> Callable[[], Predictions]:
            def score() -> Predictions:
                model.backbone.reads_trees = share
                return predict(model, encoded, token_budget=TOKENS, pad_id=1, device="cpu")

            return score

        for _ in range(options["rounds"]):
            (plain, before), (shared, after) = timed(scored(False)), timed(scored(True))
            ratios.append(plain / shared)
            equal = statistics.mean(a == b for a, b in zip(before.labels, after.labels, strict=True))
        console.print(
            f"{language}: {encoded.lengths.mean():.0f} tokens a text; {statistics.median(ratios):.2f} times "
            f"as fast ({min(ratios):.2f} to {max(ratios):.2f}), {plain:.1f} s and {shared:.1f} s in the last "
            f"round; {100 * equal:.2f} % of the labels are the same"
        )
    cost_by_length(model, options["rounds"], console)


def cost_by_length(model: TaskModel, rounds: int, console: Console) -> None:
    """Print what a batch costs by the length of its rows, against the shortest."""
    seconds: dict[int, list[float]] = {length: [] for length in LENGTHS}
    with torch.no_grad():
        for _ in range(rounds):
            for length, found in seconds.items():
                ids = torch.randint(4, 1000, (TOKENS // length, length))
                where = torch.arange(len(ids))
                found.append(timed(lambda ids=ids, where=where: model(ids, where, where * 0))[0])
    for length, found in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(found, seconds[LENGTHS[0]], strict=True))
        console.print(f"rows of {length} tokens: {ratio:.2f} times the time of rows of {LENGTHS[0]}")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and what the work gives."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def random_backbone(layers: int, vocabulary: int, precision: str) -> Backbone:
    """Random weights in XGLM-564M's shapes."""
    torch.manual_seed(0)
    config = XGLMConfig(num_layers=layers, vocab_size=vocabulary, dropout=0.0, attention_dropout=0.0)
    return Backbone(XGLMModel(config).to(getattr(torch, precision)), name="random", fingerprint="")


if __name__ == "__main__":
    main()
