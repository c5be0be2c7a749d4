"""The top level is as designed, and each distribution builds a wheel with its own files and no others."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("data", "models", "evaluation", "training", "studies", "cli")
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "environment.yml",
    "experiments",
    "findings",
    "mlruns",
    "packages",
    "pyproject.toml",
    "requirements.lock",
    "tests",
}

pytestmark = pytest.mark.integration


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, so nothing says which files belong to the repository")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in listing.stdout.split("\0") if name]


def test_the_top_level_is_as_designed():
    assert {path.parts[0] for path in tracked()} == TOP_LEVEL


def test_only_the_readme_of_the_store_is_in_the_repository():
    assert [str(path) for path in tracked() if path.parts[0] == "mlruns"] == ["mlruns/README.md"]


def test_tests_mirror_the_packages():
    folders = {path.parts[1] for path in tracked() if path.parts[0] == "tests" and len(path.parts) > 2}
    assert folders == {*PACKAGES, "support", "house", "e2e"}


@pytest.mark.parametrize("package", PACKAGES)
def test_xlprompt_stays_a_namespace(package):
    """An __init__.py there would hide the other five distributions."""
    assert not (ROOT / "packages" / package / "src" / "xlprompt" / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_its_own_files_and_no_others(package, tmp_path):
    source = tmp_path / package
    shutil.copytree(ROOT / "packages" / package, source, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, capture_output=True, text=True, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    own = f"xlprompt/{package}/"
    assert {
        name for name in names if not name.startswith((own, f"xlprompt_{package}-0.1.0.dist-info/"))
    } == set()
    assert {f"{own}__init__.py", f"{own}py.typed"} <= set(names)
