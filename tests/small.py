"""Data of a few sentences and recipes of a few steps, for tests that run a whole training run."""

import json
import random
from pathlib import Path

from xlprompt.training.recipe import Recipe, recipe_from_dict

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
