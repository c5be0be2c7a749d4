"""Writes the lengths that bench.py draws from: how long XNLI's pairs are in a backbone's tokens.

python experiments/bench/lengths.py DATA --model gemma-3-270m
"""

import json
from pathlib import Path

import click
import numpy as np

from xlprompt.data import TASKS, open_source
from xlprompt.data.encoding.encode import encode
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.models import load_tokenizer

EXAMPLES_PER_LANGUAGE = 1000


@click.command()
@click.argument("data")
@click.option("--model", default="gemma-3-270m", show_default=True, help="Whose tokenizer to count with.")
def main(data: str, model: str) -> None:
    """Write percentiles of XNLI's lengths in DATA: English training pairs, test pairs of all languages."""
    task, source, tokenizer = TASKS["xnli"], open_source(data), load_tokenizer(model)

    def lengths(language: str, split: str, limit: int | None = None) -> np.ndarray:
        rows = source.load(task, language, split, limit=limit)
        return encode(rows, task, tokenizer, EncodingSettings(max_length=2048), language=language).lengths

    languages = source.languages(task, "test")
    test = np.concatenate([lengths(language, "test", EXAMPLES_PER_LANGUAGE) for language in languages])
    percents = np.arange(101)
    figures = {
        "about": f"Percentiles 0 to 100 of XNLI's pair lengths in tokens of {model}, specials counted: "
        f"English training pairs; at most {EXAMPLES_PER_LANGUAGE} test pairs of {', '.join(languages)}.",
        "train": np.percentile(lengths("en", "train"), percents).round().astype(int).tolist(),
        "test": np.percentile(test, percents).round().astype(int).tolist(),
    }
    path = Path(__file__).parent / "xnli_lengths.json"
    path.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    click.echo(f"{path}: median {figures['train'][50]} in training, {figures['test'][50]} in test")


if __name__ == "__main__":
    main()
