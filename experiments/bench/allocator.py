"""What keeping freed memory saves in a training step on a CPU: xglm-nano's pretraining, with and without.

    python experiments/bench/allocator.py

Each variant runs in processes of its own, in turns; the figure is the median over rounds of the ratio
within a round.
"""

import statistics
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import click

RECIPE = Path(__file__).parents[1] / "nano" / "xglm-nano.yaml"
STEPS = 40


def seconds_per_step(kept: bool) -> float:
    """Mean time of a pretraining step in this process, after some steps to warm up."""
    from xlprompt.data.mini.corpus import language_shares, passages
    from xlprompt.models import load_tokenizer
    from xlprompt.models.backbone.backbone import locate
    from xlprompt.training.machine.allocator import keep_freed_memory
    from xlprompt.training.pretraining.loss import next_token_loss
    from xlprompt.training.pretraining.recipe import PretrainingRecipe
    from xlprompt.training.pretraining.text import token_rows
    from xlprompt.training.recipes.settings import load_settings

    if kept and not keep_freed_memory():
        raise click.ClickException("the allocator here is not glibc's: there is nothing to compare")
    import torch
    from transformers import XGLMForCausalLM

    recipe = load_settings(RECIPE, PretrainingRecipe)
    model = XGLMForCausalLM.from_pretrained(locate("xglm-nano"), dtype=torch.float32)
    text = list(islice(passages(language_shares(recipe.exponent), seed="bench"), 2000))
    rows = sorted(
        token_rows(text, load_tokenizer("xglm-nano"), recipe.max_length), key=lambda row: len(row.ids)
    )
    count = recipe.token_budget // 64
    batches = [rows[start : start + count] for start in range(0, len(rows) - count, count)][:STEPS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(batch: list) -> None:
        loss, _ = next_token_loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for batch in batches[:5]:
        step(batch)
    started = time.perf_counter()
    for batch in batches:
        step(batch)
    return (time.perf_counter() - started) / len(batches)


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=3, help="Pairs of processes.")
@click.option("--one", type=click.Choice(["kept", "returned"]), hidden=True)
def main(rounds: int, one: str | None) -> None:
    """Compare a training step that keeps freed memory with one that returns it to the system."""
    if one:
        click.echo(f"{seconds_per_step(one == 'kept'):.4f}")
        return
    ratios = []
    for number in range(rounds):
        order = ("kept", "returned") if number % 2 == 0 else ("returned", "kept")
        found = {
            variant: float(
                subprocess.run(
                    [sys.executable, __file__, "--one", variant], capture_output=True, text=True, check=True
                ).stdout
            )
            for variant in order
        }
        ratios.append(found["returned"] / found["kept"])
        click.echo(
            f"round {number + 1}: returned {found['returned']:.3f} s a step, kept {found['kept']:.3f} s"
        )
    click.echo(f"keeping freed memory is {statistics.median(ratios):.2f} times as fast")


if __name__ == "__main__":
    main()
