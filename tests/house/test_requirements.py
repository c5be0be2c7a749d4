"""The lock, environment.yml and the pyproject.tomls say the same, and every import is declared."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("data", "models", "evaluation", "training", "studies", "cli")
# Who may import whom: data, models <- evaluation <- training <- studies <- cli.
BELOW = {
    "data": set(),
    "models": set(),
    "evaluation": {"data", "models"},
    "training": {"data", "models", "evaluation"},
    "studies": {"data", "models", "evaluation", "training"},
    "cli": {"data", "models", "evaluation", "training", "studies"},
}
FIXED_BY_THE_STUDY = {"mlflow", "torch", "transformers", "datasets", "deepspeed", "seqeval", "click"}
# Installed at their first use and only then (a model under its own licence), so not part of the environment.
ON_DEMAND = {"gemma"}
# What only a CUDA build of torch asks for.
CUDA_ONLY = re.compile(r"nvidia-|cuda-|triton$")


def project(package: str) -> dict:
    return tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())["project"]


def declared(package: str) -> list[Requirement]:
    lines = list(project(package)["dependencies"])
    for extra, more in project(package).get("optional-dependencies", {}).items():
        lines += [] if extra in ON_DEMAND else more
    return [Requirement(line) for line in lines]


def tools() -> list[Requirement]:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [Requirement(line) for lines in groups.values() for line in lines]


def direct() -> list[Requirement]:
    everything = [requirement for package in PACKAGES for requirement in declared(package)] + tools()
    return [requirement for requirement in everything if not requirement.name.startswith("xlprompt-")]


def lock_lines() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def lock() -> dict[str, str]:
    pins = (line.split("==") for line in lock_lines())
    return {canonicalize_name(name): version for name, version in pins}


def test_the_lock_holds_sorted_exact_pins_and_nothing_else():
    lines = lock_lines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []
    assert lines == sorted(lines, key=str.upper)
    assert len(lock()) == len(lines)


def test_the_lock_leaves_cuda_to_the_build_of_torch():
    assert [name for name in lock() if CUDA_ONLY.match(name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_lock_satisfies_a_distributions_requirements(package):
    pins = lock()
    for requirement in declared(package):
        if not requirement.name.startswith("xlprompt-"):
            assert pins.get(canonicalize_name(requirement.name), "absent") in requirement.specifier, str(
                requirement
            )


def test_the_lock_satisfies_the_tools():
    pins = lock()
    for requirement in tools():
        assert pins.get(canonicalize_name(requirement.name), "absent") in requirement.specifier, str(
            requirement
        )


def test_the_lock_holds_what_its_own_packages_ask_for():
    pins, absent = lock(), []
    for name in pins:
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            wanted = canonicalize_name(requirement.name)
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if (
                needed
                and not CUDA_ONLY.match(wanted)
                and pins.get(wanted, "absent") not in requirement.specifier
            ):
                absent.append(f"{name} asks for {requirement}; the lock has {pins.get(wanted)}")
    assert absent == []


def test_environment_yml_names_the_direct_requirements_with_the_locks_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    pins = lock()
    expected = sorted({f"{canonicalize_name(r.name)}=={pins[canonicalize_name(r.name)]}" for r in direct()})
    written = [line for line in pip["pip"] if not line.startswith("-e ")]
    assert written == expected


def test_environment_yml_installs_the_six_distributions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    editable = [line for line in environment["dependencies"][-1]["pip"] if line.startswith("-e ")]
    assert editable == [f"-e ./packages/{package}" for package in PACKAGES]


def test_the_packages_that_the_study_is_fixed_on_are_in_the_environment():
    assert {requirement.name for requirement in direct()} >= FIXED_BY_THE_STUDY


@pytest.mark.parametrize("package", PACKAGES)
def test_a_distribution_depends_on_those_below_it_only(package):
    ours = {r.name.removeprefix("xlprompt-") for r in declared(package) if r.name.startswith("xlprompt-")}
    assert ours <= BELOW[package]


def test_the_distributions_share_version_license_and_oldest_python():
    shared = {(p["version"], p["license"], p["requires-python"]) for p in map(project, PACKAGES)}
    assert shared == {("0.1.0", "Apache-2.0", ">=3.11")}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_distribution_declares_what_it_imports(package):
    """Installed alone, it must find everything: a library that another distribution brings is no excuse."""
    names = {canonicalize_name(r.name) for r in declared(package)} | {f"xlprompt-{package}"}
    # Installed on demand, and imported only after that.
    on_demand = [
        line for e in ON_DEMAND for line in project(package).get("optional-dependencies", {}).get(e, [])
    ]
    names |= {canonicalize_name(Requirement(line).name) for line in on_demand}
    owners = importlib.metadata.packages_distributions()
    undeclared = []
    for file in sorted((ROOT / "packages" / package / "src").rglob("*.py")):
        for module in imported_modules(file):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names:
                continue
            if top == "xlprompt":
                needed = {"xlprompt-" + module.split(".")[1]}
            else:
                needed = {canonicalize_name(owner) for owner in owners.get(top, [top])}
            if not needed & names:
                undeclared.append(f"{file.relative_to(ROOT)} imports {module}")
    assert undeclared == []


def imported_modules(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module)
    return modules - {"xlprompt"}
