"""Edits that make a finished run's result another one, and edits that do not."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from small import tiny_recipe, write_data

import xlprompt.studies.grid.code_version as code
from xlprompt.studies.grid.code_version import code_version, definitions_behind_a_result
from xlprompt.training import train

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.integration


@pytest.fixture
def sources(tmp_path):
    """A copy of all packages that may be edited."""
    for source in ROOT.glob("packages/*/src"):
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "tokenizer.json")
        shutil.copytree(source / "xlprompt", tmp_path / source.parent.name / "xlprompt", ignore=ignored)
    return tmp_path


def version(sources: Path) -> str:
    program = "from xlprompt.studies.grid.code_version import *; print(code_version())"
    paths = os.pathsep.join(str(folder) for folder in sorted(sources.iterdir()))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def find(sources: Path, definition: str) -> Path:
    """The file that a function or constant stands in, wherever that is."""
    pattern = re.compile(rf"^(def )?{definition}\b(\(|:| =)", flags=re.MULTILINE)
    (file,) = (path for path in sources.rglob("*.py") if pattern.search(path.read_text()))
    return file


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_version_is_the_same_in_another_process_and_another_place(sources):
    assert version(sources) == code_version()


def test_a_renamed_file_leaves_it(sources):
    loop = find(sources, "rate_factor")
    loop.rename(loop.with_name("going_round.py"))
    for path in sources.rglob("*.py"):
        text = path.read_text()
        path.write_text(re.sub(rf"\b(xlprompt\.training(?:\.\w+)*)\.{loop.stem}\b", r"\1.going_round", text))
    assert version(sources) == code_version()


def test_a_function_that_moves_to_another_file_leaves_it(sources):
    loop = find(sources, "rate_factor")
    text = loop.read_text()
    start = text.index("def rate_factor(")
    end = text.find("\n\n\n", start)
    module = ".".join(loop.relative_to(sources).with_suffix("").parts[1:-1])
    loop.with_name("rates.py").write_text(
        "from xlprompt.training.recipes.recipe import ScheduleSettings\n\n\n" + text[start:end]
    )
    rest = text[:start] + text[end:]
    loop.write_text(
        rest.replace("\nimport torch\n", f"\nimport torch\nfrom {module}.rates import rate_factor\n", 1)
    )
    assert version(sources) == code_version()


def test_text_for_readers_leaves_it(sources):
    edit(find(sources, "rate_factor"), '"""', '"""Reworded. ')
    edit(find(sources, "rate_factor"), "\nimport torch\n", "\n# A comment.\nimport torch\n")
    edit(
        find(sources, "load_recipe"), 'description="Optimizer steps.', 'description="Steps of the optimizer.'
    )
    edit(find(sources, "training_progress"), "steps: int", "steps: float")
    assert version(sources) == code_version()


def test_what_judges_shows_or_plans_leaves_it(sources):
    files = {name: find(sources, name) for name in ("judge", "check_folder", "score_table", "make_groups")}
    for name, file in files.items():
        file.write_text(file.read_text() + f"\n\ndef {name}():\n    return 1\n")
    assert version(sources) == code_version()


@pytest.mark.parametrize(
    ("definition", "old", "new"),
    [
        ("rate_factor", "(done + 1)", "(done + 2)"),
        ("BOOTSTRAP_SEED", "BOOTSTRAP_SEED = ", "BOOTSTRAP_SEED = 1 + "),
        ("prompted_attention", "AttentionInterface.register(", "AttentionInterface.register(*(), "),
        ("_CONTEXT_SHARE", "_CONTEXT_SHARE = ", "_CONTEXT_SHARE = 2 * "),
    ],
)
def test_an_edit_of_what_a_run_does_changes_it(sources, definition, old, new):
    edit(find(sources, definition), old, new)
    assert version(sources) != code_version()


def test_every_function_that_a_run_calls_is_among_those_that_the_walk_finds(tiny_xglm, tmp_path, monkeypatch):
    """Names that are looked up while a run goes on, which no walk over syntax trees sees, would be missed."""
    recipe = tiny_recipe(
        "xnli",
        tiny_xglm,
        write_data(tmp_path / "data"),
        evaluation={"alignment": {"kinds": ["none", "mean"]}},
        schedule={"steps": 2},
    )
    called = set()

    def note(frame, event, _):
        if event == "call" and f"{os.sep}xlprompt{os.sep}" in frame.f_code.co_filename:
            called.add((frame.f_code.co_filename, frame.f_code.co_qualname.split(".")[0]))

    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))
    sys.setprofile(note)
    try:
        train(recipe, store=tmp_path / "mlruns", console=Console(file=io.StringIO()))
    finally:
        sys.setprofile(None)
    monkeypatch.setattr(code, "WITHOUT_INFLUENCE", frozenset())
    known = {(str(code._source(one.module)), one.name) for one in definitions_behind_a_result()}
    missed = {f"{file}: {name}" for file, name in called - known if not name.startswith(("<", "__getattr__"))}
    assert not missed


def test_where_the_walk_stops_is_a_definition_that_a_run_reaches(monkeypatch):
    monkeypatch.setattr(code, "WITHOUT_INFLUENCE", frozenset())
    assert {one.name for one in definitions_behind_a_result()} >= code.WITHOUT_INFLUENCE
