"""The training state of a run that may be killed: written whole or not at all, and read back or refused.

A run's states lie in one folder: a folder for each of the last two saved steps, and the weights that scored
best so far. Everything is safetensors and JSON with checksums. The folder goes away when the run has
finished.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from xlprompt.data.strict_json import parse
from xlprompt.data.whole_files import flush_folder, write_through
from xlprompt.training.errors import CheckpointError
from xlprompt.training.store.stored_files import fit, read_document, read_weights, sealed, write_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from xlprompt.evaluation.processes import Processes

STATE_FORMAT = 2
KEPT = 2  # so that one that turns out to be damaged has another before it
_DOCUMENT = "state.json"
_TENSORS = "state.safetensors"


@dataclass(frozen=True)
class Identity:
    """What a training state belongs to; one of another recipe, data or backbone is refused.

    Attributes:
        run_id: The MLflow run, or None where nothing is tracked.
        recipe: The recipe by dotted key.
        data: Fingerprints of the training and development data.
        backbone: Fingerprint of the backbone's weights.
    """

    run_id: str | None
    recipe: dict[str, Any]
    data: str
    backbone: str


@dataclass(frozen=True)
class LoopState:
    """Where the loop stands after `step`; the weights and the optimizer are the engine's.

    Attributes:
        step: Steps done.
        best_step: Step of the best development score, 0 before the first.
        best_score: That score, or None before the first.
        curve: Development score by step.
        without_gain: Evaluations since the best one.
        tokens: Real tokens trained on.
        seconds: Training time.
        total_seconds: Time of everything since the run began, without that between two attempts.
        window: Sums since the last log line.
    """

    step: int = 0
    best_step: int = 0
    best_score: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    without_gain: int = 0
    tokens: int = 0
    seconds: float = 0.0
    total_seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A training state in memory.

    Attributes:
        loop: Where the loop stands.
        engine: The engine's tensors.
        random: States of the random generators.
        best: The best weights so far, as `TaskModel.trainable_state` gives them; empty before the first.
    """

    loop: LoopState
    engine: dict[str, Tensor]
    random: dict[str, Tensor]
    best: dict[str, Tensor]


class _Owned(BaseModel):
    """What says whose a state is; other keys are passed over."""

    model_config = ConfigDict(strict=True)

    identity: Identity


class _Document(_Owned):
    """What a state's JSON holds, its version and checksum aside."""

    sha256: str
    best: tuple[Annotated[str, Field(pattern=r"^best-\d+\.safetensors$")], str] | None
    loop: LoopState


class TrainingStates:
    """The states of one run, in a folder."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        """Nothing is written before the first state is saved."""
        self.folder = folder
        self.identity = identity
        self._best: tuple[str, str] | None = None  # file name and SHA-256

    def save_best(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Write the best weights, which later states refer to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"best-{step:06d}.safetensors"
        if self._best and self._best[0] == name:
            return
        self._best = (name, _write_tensors(self.folder / name, state))

    def save(self, loop: LoopState, engine: Mapping[str, Tensor], random: Mapping[str, Tensor]) -> None:
        """Write a state, and then delete those that are no longer needed.

        Raises:
            OSError: The disk is full or the like; the states before this one are intact.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f".new-{os.getpid()}"
        shutil.rmtree(new, ignore_errors=True)
        try:
            new.mkdir()
            tensors = {f"engine.{key}": value for key, value in engine.items()}
            tensors |= {f"random.{key}": value for key, value in random.items()}
            document = {
                "format_version": STATE_FORMAT,
                "sha256": _write_tensors(new / _TENSORS, tensors),
                "best": self._best,
                "identity": asdict(self.identity),
                "loop": asdict(loop),
            }
            write_through(new / _DOCUMENT, sealed(document))
            flush_folder(new)
            target = self.folder / f"step-{loop.step:06d}"
            shutil.rmtree(target, ignore_errors=True)  # the same step, written before a resume
            new.rename(target)
            flush_folder(self.folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        self._prune()

    def load(self, step: int | None = None) -> Snapshot:
        """Read the newest state, or that of a step.

        Raises:
            CheckpointError: It is missing, damaged, or belongs to another recipe, data set or backbone.
        """
        steps = saved_steps(self.folder)
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.folder}: no training state of step {step} here; there is {_listed(steps) or 'none'}"
            )
        chosen = steps[-1] if step is None else step
        place = self.folder / f"step-{chosen:06d}"
        earlier = [other for other in steps if other < chosen]
        hint = (
            f"Go on from the one before it with --resume-step {earlier[-1]}"
            if earlier
            else "There is none before it: train again"
        )
        document = _read_document(place / _DOCUMENT, hint)
        self._refuse_foreign(document.identity, place)
        tensors = read_weights(place / _TENSORS, document.sha256, hint)
        best: dict[str, Tensor] = {}
        if document.best:
            best = read_weights(self.folder / document.best[0], document.best[1], hint)
            self._best = document.best
        return Snapshot(document.loop, _section(tensors, "engine."), _section(tensors, "random."), best)

    def delete(self) -> None:
        """Remove the folder; the run has finished and its checkpoint holds what is worth keeping."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _refuse_foreign(self, saved: Identity, place: Path) -> None:
        own = self.identity
        changed = sorted(
            key
            for key in saved.recipe.keys() | own.recipe.keys()
            if saved.recipe.get(key) != own.recipe.get(key) and key not in FREE_KEYS
        )
        if changed:
            key = changed[0]
            raise CheckpointError(
                f"{place}: belongs to another recipe; it differs in {', '.join(changed)} ({key}: "
                f"{saved.recipe.get(key)!r} there, {own.recipe.get(key)!r} now). Resume with the recipe it "
                "was made by, or train anew without --resume"
            )
        for what, theirs, ours in (
            ("data", saved.data, own.data),
            ("backbone", saved.backbone, own.backbone),
        ):
            if theirs != ours:
                raise CheckpointError(
                    f"{place}: its {what} had the fingerprint {theirs[:16]}, and what is there now has "
                    f"{ours[:16]}. Bring the old {what} back, or train anew without --resume"
                )

    def _prune(self) -> None:
        steps = saved_steps(self.folder)
        for step in steps[:-KEPT]:
            shutil.rmtree(self.folder / f"step-{step:06d}", ignore_errors=True)
        needed = {self._best[0]} if self._best else set()
        for step in steps[-KEPT:]:
            try:
                named = parse(_Document, (self.folder / f"step-{step:06d}" / _DOCUMENT).read_bytes()).best
            except (OSError, ValueError):
                return  # damaged; nothing is deleted that it might refer to
            needed |= {named[0]} if named else set()
        for file in self.folder.glob("best-*.safetensors"):
            if file.name not in needed:
                file.unlink(missing_ok=True)


# Keys that decide nothing about the result, so that they may change between a run and its resumption. Where
# the data lie is one: what they are is known by their fingerprints.
FREE_KEYS = frozenset(
    {
        "data.source",
        "schedule.checkpoint_every",
        "evaluation.token_budget",
        "evaluation.curve_every",
        "evaluation.curve_examples",
    }
)


def saved_steps(folder: Path) -> list[int]:
    """The steps whose states lie in a folder, rising."""
    return sorted(int(path.name[5:]) for path in folder.glob("step-*") if path.name[5:].isdecimal())


def read_identity(folder: Path) -> Identity | None:
    """What the newest readable state of a folder belongs to."""
    for step in reversed(saved_steps(folder)):
        try:
            return parse(_Owned, (folder / f"step-{step:06d}" / _DOCUMENT).read_bytes()).identity
        except (OSError, ValueError):
            continue
    return None


def random_state(device: torch.device, processes: Processes) -> dict[str, Tensor]:
    """The states of the generators that dropout draws from, a row for each process, for process 0."""
    import torch

    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {name: processes.gather(state[None]) for name, state in states.items()}


def restore_random_state(states: Mapping[str, Tensor], device: torch.device, processes: Processes) -> None:
    """Put back what `random_state` gave; with another number of processes dropout is drawn anew."""
    import torch

    rank = processes.rank
    if len(states["cpu"]) != processes.size:
        return
    torch.set_rng_state(states["cpu"][rank].clone())  # torch takes a row of a tensor for something else
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"][rank], device)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write through a temporary name; returns the SHA-256."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        digest = write_tensors(temporary, tensors)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _read_document(path: Path, hint: str) -> _Document:
    document = read_document(
        path,
        kind="training state",
        version=STATE_FORMAT,
        hint=hint,
        remedy="Resume with the version of xlprompt that wrote it, or train anew without --resume",
    )
    return fit(_Document, document, path, hint)


def _section(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _listed(steps: list[int]) -> str:
    return ", ".join(map(str, steps))
