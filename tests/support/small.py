"""Data of a few sentences, models of a few weights and recipes of a few steps, for tests that train."""

import json
import random
from pathlib import Path

import torch

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import Batch, TrainingStep
from xlprompt.data.encoding.encode import encode
from xlprompt.data.sources import open_source
from xlprompt.evaluation.answers.language_model import language_model_loss
from xlprompt.models import (
    FinetuneSettings,
    HeadOnly,
    HeadSettings,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
)
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict

MINI_TASKS = tuple(name for name, task in TASKS.items() if open_source("mini").languages(task, "test"))
"""Those that the mini benchmark has, and experiments/mini a recipe of."""

WORDS = {
    "en": ["woman", "man", "book", "train", "reads", "walks", "red", "the", "station", "outside"],
    "de": ["Frau", "Mann", "Buch", "Zug", "liest", "geht", "rot", "der", "Bahnhof", "draußen"],
    "sw": [
        "mwanamke",
        "mtu",
        "kitabu",
        "treni",
        "anasoma",
        "anatembea",
        "nyekundu",
        "bustani",
        "katika",
        "nje",
    ],
}
TAGS = ["NOUN", "NOUN", "NOUN", "NOUN", "VERB", "VERB", "ADJ", "DET", "NOUN", "ADV"]
SIZES = {"train": 48, "validation": 24, "test": 20}


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_data(folder: Path) -> Path:
    """Small folders of XNLI (en, de, sw) and POS (en, de), training and development sets in English only."""
    draw = random.Random(0)
    for language, words in WORDS.items():
        for split, count in SIZES.items():
            if split != "test" and language != "en":
                continue
            pairs, sentences = [], []
            for _ in range(count):
                picked = draw.choices(range(len(words)), k=draw.randint(2, 6))
                text = " ".join(words[i] for i in picked)
                pairs.append({"premise": text, "hypothesis": words[picked[0]], "label": picked[0] % 3})
                sentences.append({"tokens": [words[i] for i in picked], "tags": [TAGS[i] for i in picked]})
            write_lines(folder / "xnli" / f"{language}.{split}.jsonl", pairs)
            if language != "sw":
                write_lines(folder / "pos" / f"{language}.{split}.jsonl", sentences)
    return folder


def tiny_recipe(task: str, model: Path, folder: Path, **changes: object) -> Recipe:
    """A recipe of eight steps; `changes` go into its sections by name."""
    values = {
        "task": task,
        "model": str(model),
        "precision": "float32",
        "data": {"source": str(folder)},
        "encoding": {"max_length": 64},
        "prompt": {"length": 4},
        "optimizer": {"learning_rate": 0.01},
        "schedule": {"steps": 8, "batch_size": 8, "token_budget": 128, "evaluate_every": 4},
        "evaluation": {"token_budget": 512},
    }
    for section, value in changes.items():
        values[section] = {**values.get(section, {}), **value} if isinstance(value, dict) else value
    return recipe_from_dict(values, origin="test")


def small_model(
    folder: Path,
    *,
    finetune: FinetuneSettings | None = FinetuneSettings(),  # noqa: B008
    dtype: str = "bfloat16",
    seed: int = 0,
) -> TaskModel:
    """A tiny backbone that is fine-tuned, or has a prompt, for three labels."""
    return build_task_model(
        load_backbone(str(folder), dtype=dtype),
        load_tokenizer(str(folder)),
        num_labels=3,
        method=finetune or PromptSettings(length=4),
        head=HeadSettings(),
        seed=seed,
    )


def loss_of_folder(folder: str | Path, recipe: Recipe, language: str = "de") -> float:
    """The language-model loss of a model folder, untouched, on a recipe's first test rows."""
    tokenizer, task = load_tokenizer(str(folder)), TASKS[recipe.task]
    backbone = load_backbone(str(folder), dtype=recipe.precision)
    model = build_task_model(
        backbone, tokenizer, num_labels=3, method=HeadOnly(), head=HeadSettings(), seed=0
    )
    rows = open_source(recipe.data.source).load(task, language, "test")
    encoded = encode(rows, task, tokenizer, recipe.encoding)
    settings = recipe.evaluation
    return language_model_loss(
        model,
        encoded,
        rows=settings.language_model_rows,
        token_budget=settings.token_budget,
        device="cpu",
    )


def small_steps(number: int, *, seed: int = 0) -> list[TrainingStep]:
    """Steps of one process with two micro-batches of different size."""
    generator = torch.Generator().manual_seed(seed)

    def batch(rows: int) -> Batch:
        ids = torch.randint(4, 100, (rows, 9), generator=generator)
        where = torch.arange(rows)
        columns = torch.full((rows,), 8)
        labels = torch.randint(0, 3, (rows,), generator=generator)
        return Batch(ids, where, columns, labels, where, torch.zeros_like(where), None, ids.numel())

    return [TrainingStep([batch(5), batch(3)], decisions=8, num_tokens=72) for _ in range(number)]
