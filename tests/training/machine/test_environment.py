import subprocess
from importlib.metadata import version

import pytest
import torch

from xlprompt.training.machine.environment import (
    git_revision,
    package_versions,
    peak_memory_bytes,
    read_environment,
    usable_cores,
)

CPU = torch.device("cpu")


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "recipe.yaml").write_text("task: xnli\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_revision_is_that_of_the_recipes_repository(repository):
    revision = git_revision(repository / "recipe.yaml")
    assert revision is not None
    assert len(revision.commit) == 40
    assert not revision.dirty


def test_changed_files_make_the_revision_dirty_and_new_ones_do_not(repository):
    (repository / "new.txt").write_text("new")
    assert not git_revision(repository / "recipe.yaml").dirty
    (repository / "recipe.yaml").write_text("task: pos\n")
    assert git_revision(repository / "recipe.yaml").dirty


def test_outside_a_repository_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path) is None


def test_without_git_there_is_no_revision(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision(repository) is None


def test_the_environment_names_versions_machine_and_device(repository):
    environment = read_environment(repository_of=repository, device=CPU).to_dict()
    assert environment["packages"]["torch"] == version("torch")
    assert environment["device"] == "cpu"
    assert environment["cores"] == usable_cores() >= 1
    assert environment["cpu"]
    assert environment["git"]["commit"]


def test_packages_that_are_not_installed_are_left_out():
    assert "mlflow" in package_versions()
    assert None not in package_versions().values()


def test_peak_memory_is_in_bytes():
    assert peak_memory_bytes(CPU) > 50 * 2**20  # torch alone takes more
