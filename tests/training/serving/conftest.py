"""Runs of every kind of task on one tiny backbone, and one that changes its backbone."""

import io

import pytest
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.training import train

TRAINED = (
    ("xnli", "prompt"),
    ("pos", "prompt"),
    ("xcopa", "prompt"),
    ("xquad", "prompt"),
    ("pos", "lora"),
)


@pytest.fixture(scope="package")
def trained(tiny_xglm, tmp_path_factory):
    """A store, and in it the ids of runs by task and method."""
    folder = tmp_path_factory.mktemp("serving")
    data, store = write_data(folder / "data"), folder / "mlruns"
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(folder / "cache"))
        for task, method in TRAINED:
            source = {"source": str(data)}
            if task in ("xcopa", "xquad"):
                source = {"source": "mini", "limit": 8, "languages": ["en"]}
            recipe = tiny_recipe(
                task, tiny_xglm, data, method=method, data=source, evaluation={"language_model_rows": 0}
            )
            schedule = recipe.schedule.model_copy(update={"steps": 2, "token_budget": 2048})
            recipe = recipe.model_copy(update={"schedule": schedule})
            found[task, method] = train(recipe, store=store, console=Console(file=io.StringIO())).run_id
    return store, found
