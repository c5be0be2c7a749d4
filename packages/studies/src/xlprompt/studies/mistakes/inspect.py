"""Where one run errs, alone or against another, from its stored predictions; no model is needed for that.

The one exception is `most_confident`: predictions are stored without their probabilities, so the model is
asked again, about the examples that it has answered wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xlprompt.evaluation.answers.predictions import SavedPredictions
from xlprompt.evaluation.mistakes.confusions import Confusions, confusions
from xlprompt.evaluation.mistakes.flips import Flips, flips
from xlprompt.studies.errors import StudyError
from xlprompt.training.errors import RunError
from xlprompt.training.exports.stored import stored_predictions, texts_again
from xlprompt.training.inputs.chosen_data import with_data_at
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.database import find_artifacts, open_reader
from xlprompt.training.store.find import find_run_id, name_of
from xlprompt.training.store.recipe_file import RECIPE_FILE, no_recipe, stored_recipe

Texts = Mapping[tuple[str, int], tuple[Any, ...]]
"""Texts of examples by language and place."""


@dataclass(frozen=True)
class StoredRun:
    """A run with its predictions.

    Attributes:
        run_id: Its id.
        name: Its name, or of an evaluation that and the beginning of its id.
        trained_on: Code of the language that it was trained on.
        recipe: What it was done by; None of a run that does not say, as those imported by earlier versions.
        predictions: By language.
    """

    run_id: str
    name: str
    trained_on: str
    recipe: Recipe | None
    predictions: Mapping[str, SavedPredictions]


@dataclass(frozen=True)
class ConfidentMistake:
    """A wrong answer with the probability that the model gives it, from 0 to 1."""

    language: str
    place: int
    id: str
    right: str
    given: str
    probability: float


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        run: The run.
        confusions: What it takes for what.
        against: The run that it was compared with, if one was named.
        flips: Examples that one of the two answers right and the other wrong.
        texts: Texts of the examples that are shown, where the data are still there.
        note: Why texts are missing, if they are.
        confident: The wrong answers that the model was asked about again, the surest first.
    """

    run: StoredRun
    confusions: Confusions
    against: StoredRun | None = None
    flips: Flips | None = None
    texts: Texts = field(default_factory=dict)
    note: str = ""
    confident: tuple[ConfidentMistake, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "run": self.run.run_id,
            "name": self.run.name,
            **self.confusions.to_dict(),
            "against": self.against and self.against.run_id,
            "flips": self.flips and self.flips.to_dict(),
            "confident": [asdict(each) for each in self.confident],
            "texts": [
                {"language": code, "place": place, "texts": list(texts)}
                for (code, place), texts in self.texts.items()
            ],
            "note": self.note,
        }


def read_run(
    which: str, store: Path, *, split: str, languages: Sequence[str] | None, source: str | None
) -> StoredRun:
    """A run of the store with its predictions.

    Args:
        which: As `find_run_id` takes it.
        store: Folder of the MLflow store.
        split: `test` or `validation`.
        languages: Those that are wanted, besides the one trained on; None for all that were scored.
        source: Where its data lie now, if not where they lay.

    Raises:
        TrackingError, RunError: There is no such run, or it has no such predictions.
    """
    run_id = find_run_id(which, store)
    artifacts = find_artifacts(store, run_id)
    run = open_reader(store).get_run(run_id)
    trained_on = run.data.params.get("data.train_language", "en")
    wanted = languages
    if languages is not None and trained_on not in languages:
        with_it = [*languages, trained_on]
        there = (artifacts / "predictions" / f"{with_it[-1]}.{split}.jsonl.gz").is_file()
        wanted = with_it if there else languages
    predictions = stored_predictions(store, artifacts, run_id, split, wanted)
    recipe = None
    if (artifacts / RECIPE_FILE).is_file() or source is not None:
        recipe = stored_recipe(artifacts, run_id)
        if source is not None:
            recipe = with_data_at(recipe, source)
    name = name_of(run) if run.data.tags.get("job") == "train" else f"{run.info.run_name} ({run_id[:8]})"
    return StoredRun(run_id, name, trained_on, recipe, predictions)


def inspect_run(run: StoredRun, against: StoredRun | None = None) -> Inspection:
    """Count what a run takes for what, and compare it with another example by example.

    Raises:
        DataError: The two did not answer the same examples.
    """
    found = confusions([run.predictions], run.trained_on)
    compared = None if against is None else flips([run.predictions], [against.predictions])
    return Inspection(run, found, against, compared)


def texts_of(run: StoredRun, wanted: Mapping[str, Sequence[int]]) -> tuple[Texts, str]:
    """Texts of examples, by language and place, and why they are missing, if they are.

    Data that are not there any more, or are others, are no error: what was counted stays true.
    """
    texts: dict[tuple[str, int], tuple[Any, ...]] = {}
    for code, places in wanted.items():
        try:
            rows = texts_again(_recipe_of(run), run.predictions[code])
        except (RunError, ValueError, OSError) as error:  # a DataError is a ValueError
            return texts, f"Texts are not shown: {error}"
        texts.update({(code, place): rows[place] for place in places})
    return texts, ""


def most_confident(
    run: StoredRun,
    store: Path,
    *,
    number: int,
    languages: Sequence[str] | None,
    device: str | None,
    model: str | None,
) -> tuple[ConfidentMistake, ...]:
    """Ask the model again about what it has answered wrong, and give the answers that it is surest of.

    Args:
        run: A training run, whose checkpoint is in the store.
        store: Folder of the MLflow store.
        number: How many at most.
        languages: Of which; None for all that the run has.
        device: As in `train`.
        model: Where the backbone lies now, if not where it lay.

    Raises:
        StudyError: Its sentences have an answer a word, which no single probability is of, or it is not
            trained.
        RunError, DataError: It does not say which data its answers are of, or they are not there any more.
    """
    some = next(iter(run.predictions.values()))
    if any(len(row) > 1 for row in some.predicted):
        raise StudyError(f"run {run.name} answers word by word: --confident is of one answer a text")
    recipe = _recipe_of(run)
    from xlprompt.data.sources.unlabeled import given_rows
    from xlprompt.evaluation.mistakes.pairs import answer_pairs
    from xlprompt.training.runs.predictor import open_predictor
    from xlprompt.training.store.find import find_checkpoint

    checkpoint, _ = find_checkpoint(run.run_id, store)
    predictor = open_predictor(checkpoint, device=device, model=model)
    found: list[ConfidentMistake] = []
    for code in languages or run.predictions:
        saved = run.predictions[code]
        pairs = [row[0] for row in answer_pairs(saved)]
        places = [place for place, (right, given) in enumerate(pairs) if right != given]
        if not places:
            continue
        texts = texts_again(recipe, saved)
        asked = [texts[place][0] if len(texts[place]) == 1 else texts[place] for place in places]
        answers = predictor.answer(given_rows(predictor.task, asked), language=code).rows
        for place, each in zip(places, answers, strict=True):
            right, given = pairs[place]
            found.append(ConfidentMistake(code, place, saved.ids[place], right, given, each.probability))
    return tuple(sorted(found, key=lambda each: -each.probability)[:number])


def _recipe_of(run: StoredRun) -> Recipe:
    if run.recipe is None:
        raise no_recipe(run.run_id)
    return run.recipe
