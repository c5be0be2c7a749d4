"""Where a run took place: code revision, package versions, machine and peak memory.

Only looks; what is done with the answers is the tracker's business.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "xlprompt-data",
    "xlprompt-models",
    "xlprompt-evaluation",
    "xlprompt-training",
    "xlprompt-studies",
    "xlprompt-cli",
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "datasets",
    "safetensors",
    "seqeval",
    "scikit-learn",
    "mlflow",
    "numpy",
    "pydantic",
)


@dataclass(frozen=True)
class GitRevision:
    """The commit a file's repository stands at, and whether tracked files differ from it."""

    commit: str
    dirty: bool


@dataclass(frozen=True)
class Environment:
    """The machine and the software of a run; `git` is None outside a repository."""

    git: GitRevision | None
    packages: dict[str, str]
    python: str
    platform: str
    cpu: str
    cores: int
    device: str

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible data."""
        return asdict(self)


def read_environment(*, repository_of: Path | None, device: torch.device) -> Environment:
    """Describe the process, its machine and the repository that holds `repository_of` (a file or folder)."""
    return Environment(
        git=git_revision(repository_of) if repository_of else None,
        packages=package_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu_model(),
        cores=usable_cores(),
        device=device_name(device),
    )


def git_revision(path: Path) -> GitRevision | None:
    """The revision of the repository that `path` lies in; None without git, a repository or a commit."""
    folder = path if path.is_dir() else path.parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return GitRevision(commit=commit, dirty=bool(status))


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a result."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def cpu_model() -> str:
    """The processor's marketing name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_cores() -> int:
    """Cores this process may run on, which containers and batch systems set below the machine's number."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    if device.type != "cuda":
        return device.type
    import torch

    return torch.cuda.get_device_name(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory held so far: the GPU's allocations on cuda, else the process's resident set."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        # Not getrusage: its peak outlives exec, so a child would report its parent's.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(peak[1]) * 1024
    try:
        import resource  # absent on Windows
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # in bytes on macOS, in kibibytes elsewhere


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
