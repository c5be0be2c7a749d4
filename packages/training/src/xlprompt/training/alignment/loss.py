"""Trains alignment in: each step also pulls another language's hidden states to the training language's.

What `xlprompt.models.alignment` does to a trained model by its moments, training does here to the model
itself: one language is drawn for each step, some of its unlabelled text is read, and how far its states lie
from the training language's is added to the loss. The text is what `moments.py` chooses, never a test set.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from xlprompt.data.encoding.batches import Batch, RandomRows
from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.models import AlignmentLossSettings, moment_distance
from xlprompt.training.alignment.moments import find_text, read_text
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.preparation import Setup, Split
from xlprompt.training.store.tracker import DatasetRecord

_STREAM = 7  # keeps these draws apart from those of other things by the same seed


class AlignmentLoss:
    """A recipe's alignment loss, with the text that it reads."""

    def __init__(self, setup: Setup, languages: Sequence[str]) -> None:
        """Read and encode the unlabelled text.

        Args:
            setup: The run's.
            languages: Those that will be scored.

        Raises:
            RunError: A language that the recipe names has no unlabelled text, or none of them has any.
            DataError: The text is not as it should be.
        """
        recipe = setup.recipe
        self._settings: AlignmentLossSettings = recipe.alignment_loss
        self._seed, self._device, self._share = recipe.seed, setup.device, 1 / setup.processes.size
        wanted = self._settings.languages
        trained = recipe.data.train_languages
        splits = {
            code: _unlabelled(setup, code, self._settings.sentences)
            for code in (recipe.data.train_language, *(wanted or languages))
            if code == recipe.data.train_language or code not in trained
        }
        without = [code for code in wanted or () if splits[code] is None]
        found = {code: split for code, split in splits.items() if split is not None}
        if without or len(found) < 2 or recipe.data.train_language not in found:
            which = f"of '{without[0]}'" if without else "of a language that is scored and not trained on"
            raise RunError(
                f"alignment_loss reads unlabelled text, and {setup.source.name} has none {which} (a "
                f"development or training set of {recipe.task}). Set alignment_loss.languages to some that "
                "have it, or alignment_loss.weight to 0"
            )
        self._splits = found
        rows = {
            code: RandomRows(
                split.encoded,
                rows=self._settings.rows,
                token_budget=recipe.schedule.token_budget,
                pad_id=setup.pad_id,
            )
            for code, split in found.items()
        }
        self._target = rows.pop(recipe.data.train_language)
        self._others = rows

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that are pulled to the training language."""
        return tuple(self._others)

    @property
    def fingerprint(self) -> str:
        """Of the text that is read."""
        return fingerprint_of([each.fingerprint for each in self._splits.values()])

    def reads(self) -> Unlabelled:
        """How much text a step reads."""
        others = tuple(int(length) for rows in self._others.values() for length in rows.lengths)
        return Unlabelled(self._settings.rows, others, tuple(map(int, self._target.lengths)))

    def records(self) -> list[DatasetRecord]:
        """What the tracker is told of the text."""
        return [replace(split.record, context=f"unlabelled-{code}") for code, split in self._splits.items()]

    def of_step(self, step: int) -> StepPenalty:
        """What is added to the loss of a step, counted from 1; it depends on seed and step alone.

        All processes that share a step read the same rows: moments do not add up from parts of them.
        """
        draw = (_STREAM, self._seed, step)
        language = tuple(self._others)[_below(len(self._others), *draw)]
        return StepPenalty(
            self._others[language].draw(*draw, 1).to(self._device),
            self._target.draw(*draw, 2).to(self._device),
            weight=self._settings.weight * self._share,
            scale=self._settings.moments == "mean_scale",
        )


def alignment_loss(setup: Setup, languages: Sequence[str]) -> AlignmentLoss | None:
    """What the recipe adds to the loss, or None; arguments and errors are those of `AlignmentLoss`."""
    return AlignmentLoss(setup, languages) if setup.recipe.alignment_loss.weight else None


class StepPenalty:
    """Called with the model, the weighted distance between the states of two batches.

    Attributes:
        distance: After the call, the distance without the weight: a detached scalar.
    """

    def __init__(self, own: Batch, target: Batch, *, weight: float, scale: bool) -> None:
        """Compare the states of `own`, which get gradients, with those of `target`."""
        self._own, self._target, self._weight, self._scale = own, target, weight, scale
        self.distance = torch.zeros((), device=own.input_ids.device)

    def __call__(self, model: nn.Module) -> Tensor:
        """This process's share of what is added to the loss, a float32 scalar."""
        with torch.no_grad():
            target = _states(model, self._target)
        distance = moment_distance(_states(model, self._own), target, scale=self._scale)
        self.distance = distance.detach()
        return distance * self._weight


def _states(model: nn.Module, batch: Batch) -> Tensor:
    states: Tensor = model(batch.input_ids, batch.rows, batch.columns, only_states=True)
    return states


def _unlabelled(setup: Setup, language: str, sentences: int) -> Split | None:
    text = find_text(setup, language, sentences)
    return None if text is None else read_text(setup, language, text)


def _below(count: int, *seed: int) -> int:
    """An evenly drawn number below `count`; of 64 random bits, so that the remainder's bias is nothing."""
    return int(np.random.PCG64(np.random.SeedSequence(seed)).random_raw() % count)


@dataclass(frozen=True)
class Unlabelled:
    """The text that an alignment loss reads at each step.

    Attributes:
        rows: Rows of one language, and as many of the training language.
        lengths: Tokens of each row of the languages that are pulled.
        target_lengths: Tokens of each row of the training language.
    """

    rows: int
    lengths: Collection[int]
    target_lengths: Collection[int]
