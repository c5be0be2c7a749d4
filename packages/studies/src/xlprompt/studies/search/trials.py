"""The trials of a search, in an Optuna database that any number of workers on any machines may share.

No two trials have the same values, and together they are exactly as many as were asked for. No lock is
needed for that: who has drawn a trial looks at the others before it runs, and gives it up if its values are
there, or if enough trials came before it. A trial whose process has gone counts no more, so that another
takes its place.
"""

from __future__ import annotations

import datetime
import math
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from xlprompt.evaluation import Score
from xlprompt.studies.search.database import open_database
from xlprompt.studies.search.sampler import COUNTING, ENDED, SeededSampler
from xlprompt.studies.search.space import (
    Knob,
    PruningSettings,
    Range,
    SearchError,
    SearchFile,
    Space,
    Value,
    shipped_values,
)
from xlprompt.studies.search.trial import Pruned
from xlprompt.training.fitting.loop import TrainingDiverged
from xlprompt.training.machine.process_identity import is_gone, machine_of, this_process
from xlprompt.training.recipes.recipe import Recipe

_WITH_RESULT = (TrialState.COMPLETE, TrialState.PRUNED)
_UNNAMED_SECONDS = 120.0  # after which a trial whose process has not even given its name is given up
_FEWEST_FOR_IMPORTANCE = 4
_REPEATS = 20  # trials in a row that may be given up for their values


@dataclass(frozen=True)
class Trial:
    """A trial as the database has it.

    Attributes:
        number: Its number; there are gaps where a trial was given up.
        state: `pruned` was cut short, `diverged` ended without a finite loss.
        values: What was tried, by recipe key.
        shipped: Whether these are the recipe's own values.
        score: Its best development score so far, in percent.
        stderr: The standard error of that, in points, over the draw of the development examples.
        step: Step of its last score.
        seconds: What it took, or has taken by now.
        run_id: Its MLflow run.
        machine: The one that runs it, or has; None where it has not said so yet.
    """

    number: int
    state: Literal["running", "complete", "pruned", "diverged"]
    values: dict[str, Value]
    shipped: bool
    score: float | None
    stderr: float | None
    step: int | None
    seconds: float | None
    run_id: str | None
    machine: str | None = None


def open_trials(database: str, name: str, search: SearchFile, method: str, recipe: Recipe) -> SearchTrials:
    """The trials of a search, which is made in the database where it is not there yet.

    Args:
        database: Its URL as SQLAlchemy takes it.
        name: The search's name in it.
        search: The search file.
        method: The method in it.
        recipe: The shipped recipe, with what the command line changed.

    Raises:
        SearchError: The database cannot be used.
        RecipeError: The recipe does not lie in the space.
    """
    space = search.space_of(method)
    return SearchTrials(
        database,
        name,
        space,
        shipped_values(recipe, space, name),
        trials=search.trials,
        startup_trials=search.startup_trials,
        pruning=search.pruning,
        steps=recipe.schedule.steps,
        seed=recipe.seed,
    )


class Draw:
    """A trial that this process is to run: its number and values, and who hears of its scores."""

    def __init__(self, trial: optuna.Trial, values: dict[str, Value], *, spared: bool) -> None:
        """Begin with no score.

        Args:
            trial: Optuna's.
            values: By recipe key.
            spared: Never cut it short.
        """
        self.number, self.values = trial.number, values
        self.best: Score | None = None
        self.step = 0  # of the last score
        self._trial, self._spared = trial, spared

    def scored(self, step: int, score: Score) -> None:
        """Take a development score.

        Raises:
            Pruned: The trial is worth no more steps.
        """
        self.step = step
        if self.best is None or score.value > self.best.value:
            self.best = score
            self._trial.set_user_attr("stderr", score.stderr)
        self._trial.report(score.value, step)
        if not self._spared and self._trial.should_prune():
            raise Pruned(f"at step {step}")

    def runs_as(self, run_id: str) -> None:
        """Take note of the trial's MLflow run."""
        self._trial.set_user_attr("run_id", run_id)


class SearchTrials:
    """Draws trials, and keeps what came of them."""

    def __init__(
        self,
        database: str,
        name: str,
        space: Space,
        shipped: Mapping[str, Value],
        *,
        trials: int,
        startup_trials: int,
        pruning: PruningSettings | None,
        steps: int,
        seed: int,
    ) -> None:
        """Open the database, in which the search is made where it is not there yet.

        Args:
            database: Its URL as SQLAlchemy takes it.
            name: The search's name in it.
            space: What is searched.
            shipped: The values that it begins with.
            trials: How many trials there shall be.
            startup_trials: How many of them are drawn evenly.
            pruning: When a trial is cut short, or None for never.
            steps: Training steps of a trial.
            seed: The same seed gives the same trials, as long as one worker runs them.

        Raises:
            SearchError: The database cannot be used.
        """
        self._drawn = -1  # the last trial's number
        self._space = {key: _distribution(knob) for key, knob in space.items()}
        self.shipped = dict(shipped)
        size = math.prod(_number_of_values(knob) for knob in space.values())
        self.budget = int(min(trials, size))  # a small space may have fewer different ones
        storage = open_database(database)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            sampler=SeededSampler(seed, startup_trials, self._space),
            pruner=_pruner(pruning, steps),
            load_if_exists=True,
        )

    @property
    def are_complete(self) -> bool:
        """Whether there are enough, and all have ended."""
        ended = self._counting(*_WITH_RESULT)
        return len(ended) >= self.budget

    def trials(self) -> tuple[Trial, ...]:
        """All trials that count, by number."""
        return tuple(self._as_trial(each) for each in self._counting())

    def importances(self) -> dict[str, float]:
        """Share of the scores' variance over the space that each key explains, by fANOVA; a rough guess.

        Empty where there are too few trials, or all scores are equal.
        """
        study = self.scored()
        if len({each.value for each in study.trials}) < 2 or len(study.trials) < _FEWEST_FOR_IMPORTANCE:
            return {}
        return dict(optuna.importance.get_param_importances(study, evaluator=importance_evaluator()))

    def scored(self) -> optuna.Study:
        """The trials that have ended with a score, in memory.

        Trials that were cut short take part with their score until then: without them it would seem that what
        they have in common does not matter.
        """
        study = optuna.create_study(direction="maximize")
        for each in self.trials():
            if each.score is not None and each.state != "running":
                study.add_trial(
                    optuna.trial.create_trial(
                        params=dict(each.values), distributions=self._space, value=each.score
                    )
                )
        return study

    def give_up_dead(self) -> None:
        """End the trials whose processes have gone, so that they count no more."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)  # of other machines, which give signs of life
        for each in self._counting(TrialState.RUNNING):
            process = str(each.user_attrs.get("process", ""))
            if is_gone(process) or (not process and _age(each) > _UNNAMED_SECONDS):
                with suppress(ValueError, optuna.exceptions.OptunaError):  # another process was faster
                    self.study.tell(each.number, state=TrialState.FAIL)

    def run_next(self, train: Callable[[Draw], float | None]) -> bool:
        """Draw a trial and have it run; False where there are enough of them already.

        Args:
            train: Runs it: returns its best score, or None if it was pruned. `TrainingDiverged` is an outcome
                as well. Whatever else it raises ends the trial so that another takes its place, and is raised
                here too.

        Raises:
            SearchError: Only values that have been tried are drawn any more.
        """
        for _ in range(_REPEATS):
            self.give_up_dead()
            if len(self._counting()) >= self.budget:
                return False
            known = self._counting(*COUNTING, TrialState.WAITING)
            if not any(self._is_shipped(each) for each in known):
                self.study.enqueue_trial(self.shipped)
            try:
                self.study.optimize(partial(self._run, train), n_trials=1)
            except _GivenUp:
                continue
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                # SQLite locks no row, so two workers that ask at once may get the same waiting trial. They
                # run the same values from the same seed; who ends second finds it ended. An error of this
                # one's own would have ended it as failed. Who gave no sign of life for long, as on a machine
                # that was asleep, finds its trial given up, and another takes its place.
                ended = self._counting(*_WITH_RESULT, TrialState.FAIL)
                if self._drawn not in {each.number for each in ended if not _failed_by_itself(each)}:
                    raise
            except _Stopped as stopped:
                raise stopped.by from None
            return True
        raise SearchError("only values that have been tried already are drawn: widen the space")

    def _run(self, train: Callable[[Draw], float | None], trial: optuna.Trial) -> float:
        """Optuna's objective."""
        self._drawn = trial.number
        trial.set_user_attr("process", this_process())
        values = {key: _suggest(trial, key, knob) for key, knob in self._space.items()}
        if reason := self._why_not(trial.number, values):
            trial.set_user_attr(ENDED, reason)
            raise _GivenUp
        draw = Draw(trial, values, spared=values == self.shipped)
        started = time.monotonic()
        try:
            score = train(draw)
        except TrainingDiverged as error:
            trial.set_user_attr("diverged", str(error))
            raise optuna.TrialPruned from error
        except (KeyboardInterrupt, SystemExit) as by:
            trial.set_user_attr(ENDED, "interrupted")
            raise _Stopped(by) from by  # Optuna knows how to end a trial after an Exception only
        finally:
            trial.set_user_attr("seconds", time.monotonic() - started)
        if score is None:
            raise optuna.TrialPruned
        return score

    def _why_not(self, number: int, values: Mapping[str, Value]) -> str | None:
        """Why a trial must not run; asked when its values are in the database, where others see them too."""
        others = [each for each in self._counting() if each.number != number]
        if any(each.params == values for each in others):
            return "repeats another"
        if sum(each.number < number for each in others) >= self.budget:
            return "there are enough"
        return None

    def _counting(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or COUNTING)

    def _is_shipped(self, trial: FrozenTrial) -> bool:
        waiting = trial.state == TrialState.WAITING  # as nothing else does but the recipe's own values
        return waiting or trial.params == self.shipped

    def _as_trial(self, trial: FrozenTrial) -> Trial:
        known = trial.user_attrs
        states = {TrialState.COMPLETE: "complete", TrialState.RUNNING: "running", TrialState.PRUNED: "pruned"}
        return Trial(
            number=trial.number,
            state="diverged" if "diverged" in known else states[trial.state],  # type: ignore[arg-type]
            values={key: trial.params[key] for key in self._space if key in trial.params},
            shipped=trial.params == self.shipped,
            score=max(trial.intermediate_values.values(), default=None),
            stderr=known.get("stderr"),
            step=trial.last_step,
            seconds=known.get("seconds", _age(trial)),
            run_id=known.get("run_id"),
            machine=machine_of(str(known.get("process", ""))) or None,
        )


def importance_evaluator() -> optuna.importance.FanovaImportanceEvaluator:
    """Functional ANOVA, with the same trees every time."""
    return optuna.importance.FanovaImportanceEvaluator(seed=0)


class _GivenUp(Exception):  # noqa: N818 (never leaves this module)
    """A drawn trial that must not run."""


class _Stopped(Exception):  # noqa: N818 (never leaves this module)
    """What a signal raised, in a form that Optuna takes."""

    def __init__(self, by: KeyboardInterrupt | SystemExit) -> None:
        super().__init__(repr(by))
        self.by = by


def _pruner(pruning: PruningSettings | None, steps: int) -> optuna.pruners.BasePruner:
    if pruning is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.PercentilePruner(
        pruning.keep_percent,
        n_startup_trials=pruning.startup_trials,
        n_warmup_steps=round(pruning.warmup_share * steps),
    )


def _distribution(knob: Knob) -> BaseDistribution:
    if not isinstance(knob, Range):
        return CategoricalDistribution(knob)
    if knob.is_whole:
        return IntDistribution(int(knob.low), int(knob.high), log=knob.log)
    return FloatDistribution(knob.low, knob.high, log=knob.log)


def _suggest(trial: optuna.Trial, key: str, knob: BaseDistribution) -> Value:
    if isinstance(knob, IntDistribution):
        return trial.suggest_int(key, knob.low, knob.high, log=knob.log)
    if isinstance(knob, FloatDistribution):
        return trial.suggest_float(key, knob.low, knob.high, log=knob.log)
    assert isinstance(knob, CategoricalDistribution)
    value: Value = trial.suggest_categorical(key, knob.choices)
    return value


def _number_of_values(knob: Knob) -> float:
    if not isinstance(knob, Range):
        return len(knob)
    return knob.high - knob.low + 1 if knob.is_whole else math.inf


def _failed_by_itself(trial: FrozenTrial) -> bool:
    """Whether a trial's own process ended it: it says last what it took."""
    return trial.state == TrialState.FAIL and "seconds" in trial.user_attrs


def _age(trial: FrozenTrial) -> float:
    """Seconds since a trial began."""
    if trial.datetime_start is None:
        return 0.0
    return ((trial.datetime_complete or datetime.datetime.now()) - trial.datetime_start).total_seconds()
