"""Imports run one way: data, models <- evaluation <- training <- studies <- cli; others are found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("data", "models", "evaluation", "training", "studies", "cli")
LINT_IMPORTS = [
    sys.executable,
    "-c",
    "from importlinter.cli import lint_imports_command; lint_imports_command()",
]

pytestmark = pytest.mark.integration


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    sources = os.pathsep.join(str(root / "packages" / package / "src") for package in PACKAGES)
    environment = {**os.environ, "PYTHONPATH": sources, "NO_COLOR": "1", "COLUMNS": "200"}
    command = [*LINT_IMPORTS, "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        source = Path("packages", package, "src")
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_repository_keeps_the_import_direction():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "7 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("data", "models"),
        ("models", "data"),
        ("data", "evaluation"),
        ("evaluation", "training"),
        ("training", "studies"),
        ("studies", "cli"),
        ("models.backbone", "models.methods"),
        ("training.store", "training.runs"),
        ("studies.grid", "studies.reports"),
        ("evaluation.answers", "evaluation.exports"),
        ("training.exports", "training.serving"),
    ],
)
def test_an_import_against_the_direction_is_found(copy, importer, imported):
    module = copy.joinpath(
        "packages", importer.split(".")[0], "src", "xlprompt", *importer.split("."), "wrong_way.py"
    )
    module.write_text(f"import xlprompt.{imported}\n")
    result = lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"xlprompt.{importer}.wrong_way -> xlprompt.{imported}" in result.stdout
