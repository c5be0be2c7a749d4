"""The top level is as designed, and each distribution builds a wheel with its own files and no others."""

import os
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
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "environment.yml",
    "experiments",
    "findings",
    "mlruns",
    "packages",
    "pyproject.toml",
    "requirements.lock",
    "tests",
}

SHARED = {"xlprompt/__init__.py", "xlprompt/__init__.pyi"}

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


def test_one_distribution_alone_has_the_shared_package_and_lets_the_others_join():
    owners = [p for p in PACKAGES if (ROOT / "packages" / p / "src" / "xlprompt" / "__init__.py").exists()]
    assert owners == ["studies"]


def test_the_shared_package_joins_what_lies_elsewhere_and_reads_nothing_heavy(tmp_path):
    """As installed by wheels, all in one folder but for one that is installed for editing."""
    installed, edited = tmp_path / "site-packages", ROOT / "packages" / "training" / "src"
    for package in PACKAGES:
        if package != "training":
            source = ROOT / "packages" / package / "src"
            shutil.copytree(
                source, installed, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import xlprompt; heavy = {'torch', 'mlflow', 'pandas'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "import xlprompt.training, xlprompt.data; print(xlprompt.training.__file__, xlprompt.data.__file__)"
    )
    command = [sys.executable, "-c", code, str(installed), str(edited)]
    # The checkout's own folders are left out, or they would come first.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        str(edited / "xlprompt" / "training" / "__init__.py"),
        str(installed / "xlprompt" / "data" / "__init__.py"),
    ]


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
    others = {name for name in names if not name.startswith((own, f"xlprompt_{package}-0.1.0.dist-info/"))}
    assert others == (SHARED if package == "studies" else set())
    assert {f"{own}__init__.py", f"{own}py.typed"} <= set(names)
