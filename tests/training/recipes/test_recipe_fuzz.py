"""Any recipe file and any value: a recipe comes out, or a RecipeError that says why not; nothing else."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xlprompt.studies.analyses.granularity.settings import Sweep
from xlprompt.studies.grid.grid import Grid
from xlprompt.studies.search.space import SearchFile
from xlprompt.training.errors import RecipeError
from xlprompt.training.pretraining.pretrain import PretrainingRecipe
from xlprompt.training.recipes.files import parse_value
from xlprompt.training.recipes.recipe import Recipe, recipe_to_dict
from xlprompt.training.recipes.settings import load_settings, valid_keys

SECONDS = float(os.environ.get("XLPROMPT_FUZZ_SECONDS", "12"))
EXAMPLES = int(SECONDS * 60)  # of each of the three tests, which take about 5 ms an example
KINDS = (Recipe, Grid, SearchFile, Sweep, PretrainingRecipe)
MINIMAL = b"""task: xnli
model: gemma-3-270m
optimizer: {learning_rate: 5e-3}
schedule: {steps: 10, batch_size: 4, token_budget: 512, evaluate_every: 5}
"""
FOREIGN = ("Input should", "Traceback", "instance of", "NoneType", "valid tuple", "dictionary")

pytestmark = pytest.mark.integration

WORDS = st.sampled_from(
    [
        "!!int x",
        "!!binary a",
        "&a [*a]",
        "*a",
        "<<",
        "010",
        "1:30",
        "0x",
        "1e999",
        ".nan",
        "-.inf",
        "9" * 5000,
    ]
    + [
        "2001-99-99",
        "null",
        "~",
        "",
        "true",
        "[",
        "{",
        "'",
        '"\\ud800"',
        '"\\UFFFFFFFF"',
        "\t",
        "---",
        "%YAML 9",
    ]
)
SCALARS = WORDS | st.text(max_size=20) | st.integers().map(str) | st.floats().map(str)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]")
        | st.lists(st.tuples(SCALARS, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def refusal(path, kind, values=None):
    """The message of a RecipeError, or None where there are settings; any other error is the test's."""
    try:
        overrides = {key: parse_value(value) for key, value in (values or {}).items()}
        recipe_to_dict(load_settings(path, kind, overrides))
    except RecipeError as error:
        return str(error)


def is_for_readers(message):
    """Whether it is in the words of recipes, and of a length that can be read."""
    return message is None or (0 < len(message) < 20_000 and not any(word in message for word in FOREIGN))


@fuzzed
@given(st.sampled_from(valid_keys(Recipe)), VALUES)
def test_a_value_is_taken_or_refused(tmp_path_factory, key, value):
    path = tmp_path_factory.getbasetemp() / "minimal.yaml"
    path.write_bytes(MINIMAL)
    assert is_for_readers(refusal(path, Recipe, {key: value}))


LINES = st.lists(
    st.tuples(
        st.sampled_from(["", "  ", "- ", "  - ", "\t"]),
        st.sampled_from([*{part for key in valid_keys(Recipe) for part in key.split(".")}, "extends", "<<"])
        | WORDS,
        VALUES,
    ).map(lambda line: f"{line[0]}{line[1]}: {line[2]}\n"),
    max_size=8,
)


@fuzzed
@given(st.sampled_from(KINDS), st.booleans(), LINES)
def test_a_file_of_lines_is_taken_or_refused(tmp_path_factory, kind, is_complete, lines):
    path = tmp_path_factory.getbasetemp() / "lines.yaml"
    text = "".join(lines).encode("utf-8", "surrogatepass")
    path.write_bytes((MINIMAL if is_complete else b"") + text)
    assert is_for_readers(refusal(path, kind))


@fuzzed
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=6)), max_size=4))
def test_a_damaged_file_is_taken_or_refused(tmp_path_factory, kind, damages):
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    content = MINIMAL
    for place, inserted in damages:
        content = content[:place] + inserted + content[place + len(inserted) :]
    path.write_bytes(content)
    assert is_for_readers(refusal(path, kind))
