"""What the tests of commands share: a runner, data that can be learned, and a recipe of seconds."""

import json

import pytest
import yaml
from click.testing import CliRunner

from xlprompt.cli.main import main

SIZES = {"train": 32, "validation": 8, "test": 8}


@pytest.fixture(scope="session")
def xlprompt():
    """Calls the command in this process: `xlprompt("params", "--json")` gives click's result."""

    def call(*arguments, **options):
        return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)

    return call


@pytest.fixture(scope="session")
def xnli_folder(tmp_path_factory):
    """XNLI in English and German as JSON Lines; the label can be read off the hypothesis."""
    folder = tmp_path_factory.mktemp("my data")
    for language in ("en", "de"):
        for split, count in SIZES.items():
            rows = [
                {"premise": f"The man has {i} coats.", "hypothesis": "book " * (1 + i % 3), "label": i % 3}
                for i in range(count)
            ]
            path = folder / "xnli" / f"{language}.{split}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory, tiny_xglm, xnli_folder):
    """A recipe that trains a tiny model for four steps."""
    recipe = {
        "task": "xnli",
        "model": str(tiny_xglm),
        "data": {"source": str(xnli_folder)},
        "encoding": {"max_length": 64},
        "prompt": {"length": 4},
        "optimizer": {"learning_rate": 0.01},
        "schedule": {"steps": 4, "batch_size": 8, "token_budget": 256, "evaluate_every": 2},
        "precision": "float32",
    }
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path
