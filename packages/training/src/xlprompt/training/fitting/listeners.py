"""What the training loop announces, and who writes it down: the store's curves and the training states.

The loop knows none of its listeners. Each hears every event, in the order in which they are given: a state is
saved after the curves have reached the store if the curves come first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from safetensors import SafetensorError

from xlprompt.evaluation import Score
from xlprompt.training.store.metric_names import (
    TRAIN_DISTANCE,
    TRAIN_LOSS,
    TRAIN_RATE,
    TRAIN_SPEED,
    VALIDATION_LOSS,
)
from xlprompt.training.store.tracker import Tracker
from xlprompt.training.store.training_state import Snapshot, TrainingStates

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """Over the steps since the last means; `distance` is that of an alignment loss, where there is one."""

    loss: float
    tokens_per_second: float
    distance: float | None


@dataclass
class Window:
    """Sums over the steps since the last means."""

    steps: int = 0
    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    distance: float = 0.0

    def add(self, loss: float, tokens: int, seconds: float, distance: float = 0.0) -> None:
        """Take in a step."""
        self.steps += 1
        self.loss += loss
        self.tokens += tokens
        self.seconds += seconds
        self.distance += distance

    def means(self, *, with_distance: bool = False) -> Means:
        """Over its steps; the speed is that of all of them."""
        distance = self.distance / self.steps if with_distance else None
        return Means(self.loss / self.steps, self.tokens / self.seconds, distance)


@dataclass(frozen=True)
class Step:
    """One optimizer step that is done.

    Attributes:
        number: Counted from 1.
        loss: Mean cross-entropy of the step's read-outs, in nats.
        learning_rate: Of the step.
        tokens_per_second: Real tokens.
        means: What a curve shows, every few steps; None in between.
    """

    number: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    means: Means | None = None


@dataclass(frozen=True)
class Development:
    """A score of the development set, and the best so far, which may be this one."""

    step: int
    score: Score
    loss: float
    best_score: float
    best_step: int


class Listener:
    """Hears what the training loop announces, and does nothing; others override what they listen to."""

    keeps_states = False
    """Whether `saved` does something, so that the state is worth collecting."""

    def stepped(self, step: Step) -> None:
        """One optimizer step is done."""

    def scored(self, development: Development) -> None:
        """The development set was scored; what this raises ends training."""

    def saved(self, state: Snapshot) -> None:
        """The state is whole: it is time to keep it. It may change with the next step."""

    def stopped(self, step: int) -> None:
        """A signal ends training after this step, whose state has been saved."""


class Curves(Listener):
    """Puts means and development scores into the store, by step."""

    def __init__(self, tracker: Tracker, score_name: str = "") -> None:
        """Let the development score have this name."""
        self._tracker, self._name = tracker, score_name

    def stepped(self, step: Step) -> None:
        """Log the means, when there are some."""
        if (means := step.means) is None:
            return
        figures = {TRAIN_LOSS: means.loss, TRAIN_SPEED: means.tokens_per_second}
        if means.distance is not None:
            figures[TRAIN_DISTANCE] = means.distance
        self._tracker.log_metrics({**figures, TRAIN_RATE: step.learning_rate}, step=step.number)

    def scored(self, development: Development) -> None:
        """Log the score and the loss."""
        figures = {self._name: development.score.value, VALIDATION_LOSS: development.loss}
        self._tracker.log_metrics(figures, step=development.step)

    def saved(self, state: Snapshot) -> None:
        """Let the store's curves reach as far as the state."""
        self._tracker.flush()


class KeptStates(Listener):
    """Writes training states; a disk that is full costs the state, not the run."""

    keeps_states = True

    def __init__(self, states: TrainingStates) -> None:
        """Write into the folder of `states`."""
        self._states = states

    def saved(self, state: Snapshot) -> None:
        """Write the best weights where they are new, and the state that refers to them."""
        try:
            if state.best:
                self._states.save_best(state.loop.best_step, state.best)
            self._states.save(state.loop, state.engine, state.random)
        except (OSError, SafetensorError) as error:  # in which safetensors says that a disk is full
            _log.warning(
                "The training state of step %d could not be written (%s). Training goes on; make room, or "
                "it can be resumed only from the state before",
                state.loop.step,
                error,
            )

    def stopped(self, step: int) -> None:
        """Say how to go on."""
        _log.warning("Stopped after step %d. --resume (with make: RESUME=1) goes on from there", step)
