"""The trained models that a server has: loaded once, on as few backbones as they need, found by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlprompt.training.errors import RunError
from xlprompt.training.recipes.recipe import recipe_from_dict
from xlprompt.training.runs.predictor import (
    LoadedBackbone,
    Predictor,
    load_for_many,
    open_predictor,
    stands_beside_others,
)
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.database import find_model, find_run, open_reader, store_errors
from xlprompt.training.store.find import find_place
from xlprompt.training.store.labels import run_name
from xlprompt.training.store.metric_names import scored_languages


@dataclass(frozen=True)
class Served:
    """A model, and what it is called by.

    Attributes:
        name: The run's name, `xnli-prompt-xglm-nano-seed0`, with the start of its id where two have the same.
        run: The run's id, or the checkpoint's folder.
        predictor: It itself.
        scored: Codes of the languages that the run was scored in; none of a folder, which does not say.
    """

    name: str
    run: str
    predictor: Predictor
    scored: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The task's name."""
        return self.predictor.task.name

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of those it is offered in: trained on, of the task (own ones name none), named, scored."""
        data = self.predictor.recipe.data
        chosen = data.languages if isinstance(data.languages, tuple) else ()
        return tuple(
            dict.fromkeys((*data.train_languages, *self.predictor.task.languages, *chosen, *self.scored))
        )


class Shelf(Sequence[Served]):
    """The models of a server, in the order in which they were named."""

    def __init__(self, models: Sequence[Served]) -> None:
        """Name them; a task's name is enough where one model is of it.

        Raises:
            RunError: There is none, or one is named twice.
        """
        if not models:
            raise RunError("there is no model to serve. Name one run or more")
        twice = [name for name, times in Counter(each.name for each in models).items() if times > 1]
        if twice:
            raise RunError(f"{twice[0]} is named twice. Leave one out")
        self._models = tuple(models)
        tasks = Counter(each.task for each in models)
        self._found = {each.task: each for each in models if tasks[each.task] == 1}
        self._found |= {name: each for each in models for name in (each.run, each.name)}
        self._several = {task for task, times in tasks.items() if times > 1}

    def __getitem__(self, place: int) -> Served:  # type: ignore[override]
        """The model at a place."""
        return self._models[place]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._models)

    def __iter__(self) -> Iterator[Served]:
        """One after the other."""
        return iter(self._models)

    def find(self, name: str) -> Served:
        """The model of a task, a run's name or its id.

        Raises:
            KeyError: There is none, or there are several; the message says which there are.
        """
        if name in self._found:
            return self._found[name]
        known = [each for each in self._models if each.task == name] or list(self._models)
        names = ", ".join(each.name for each in known)
        if name in self._several:
            raise KeyError(f"there are {len(known)} models of {name}: name one of them, {names}")
        tasks = ", ".join(dict.fromkeys(each.task for each in known))
        raise KeyError(f"there is no {name[:60]!r} here; there are the tasks {tasks} and the models {names}")

    @property
    def backbones(self) -> int:
        """How many backbones are in memory."""
        return len({id(each.predictor.model.backbone) for each in self._models})


def load_shelf(
    runs: Sequence[str], store: Path, *, device: str | None = None, model: str | None = None
) -> Shelf:
    """Load the models of runs, those that can on one backbone.

    Args:
        runs: As `find_place` takes them.
        store: Folder of the MLflow store.
        device: As of `open_predictor`.
        model: As of `open_predictor`, of all of them.

    Raises:
        CheckpointError, ModelError, RunError, TrackingError: One cannot be found or loaded, or is twice.
    """
    backbones: list[LoadedBackbone] = []
    models: list[Served] = []
    for run in runs:
        place = find_place(run, store)
        folder = place if isinstance(place, Path) else find_model(store, place).directory
        scored = () if isinstance(place, Path) else _scored(store, place)
        checkpoint = load_checkpoint(folder)
        on = next((each for each in backbones if each.carries(checkpoint)), None)
        if on is None and stands_beside_others(checkpoint):
            on = load_for_many(checkpoint, device=device, model=model)
            backbones.append(on)
        predictor = open_predictor(checkpoint, device=device, model=model, on=on)
        name = run_name(recipe_from_dict(dict(checkpoint.metadata.recipe), origin=str(folder)))
        models.append(Served(name, str(place), predictor, scored))
    return Shelf(_told_apart(models))


def _scored(store: Path, run_id: str) -> tuple[str, ...]:
    """The languages that a run of the store was scored in."""
    client = open_reader(store)
    with store_errors(store):
        return scored_languages(find_run(client, run_id).data.metrics)


def _told_apart(models: Sequence[Served]) -> list[Served]:
    """With the beginning of the run's id behind a name that several have, or the name of the folder."""
    several = Counter(each.name for each in models)
    named = [f"{each.name}-{_place(each)}" if several[each.name] > 1 else each.name for each in models]
    places: dict[str, list[str]] = {}  # by name; a place that is given twice is one
    for name, each in zip(named, models, strict=True):
        places.setdefault(name, [])
        if each.run not in places[name]:
            places[name].append(each.run)
    return [
        replace(each, name=name if len(at := places[name]) == 1 else f"{name}-{at.index(each.run) + 1}")
        for name, each in zip(named, models, strict=True)
    ]


def _place(model: Served) -> str:
    """What tells a run or a folder from others; those of a store are `models/m-<id>/artifacts`."""
    path = Path(model.run)
    if path.name == "artifacts":
        return path.parent.name[:10]
    return path.name if path.is_absolute() or len(path.parts) > 1 else path.name[:8]
