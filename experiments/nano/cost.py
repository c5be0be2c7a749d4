"""What a pretraining step of each xglm-nano costs: `OMP_NUM_THREADS=1 python experiments/nano/cost.py`.

Counts CPU seconds, which other work on the machine hardly changes. The first steps are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xlprompt.data.mini.corpus import language_shares
from xlprompt.models import load_tokenizer
from xlprompt.training.pretraining.pretrain import _new_model, _Training
from xlprompt.training.pretraining.recipe import PretrainingRecipe
from xlprompt.training.pretraining.text import Text
from xlprompt.training.recipes.settings import load_settings

NANO = Path(__file__).parent
WARM_UP, STEPS = 3, 15


def measured() -> Iterator[tuple[PretrainingRecipe, float]]:
    """Each size's recipe and its CPU seconds a step, on the same batches and with the bundled tokenizer."""
    tokenizer = load_tokenizer("xglm-nano")
    recipes = [
        load_settings(NANO / f"xglm-nano{size}.yaml", PretrainingRecipe)
        for size in ("-0.5m", "-1m", "-2m", "", "-8m")
    ]
    text = Text(recipes[0], tokenizer, language_shares(recipes[0].exponent), 0, 0)
    batches = [batch for _, _, batch in islice(text, WARM_UP + STEPS)]
    for recipe in recipes:
        training = _Training(recipe, _new_model(recipe, tokenizer))
        for step, batch in enumerate(batches):
            if step == WARM_UP:
                started = time.process_time()
            training._set_rate(step)
            training._step(batch, step)
        yield recipe, (time.process_time() - started) / STEPS


if __name__ == "__main__":
    print("| model | parameters | CPU seconds a step | CPU hours |\n|---|--:|--:|--:|")
    for recipe, seconds in measured():
        hours = seconds * recipe.steps / 3600
        print(f"| {recipe.name} | {recipe.parameters:,} | {seconds:.2f} | {hours:.1f} |", flush=True)
