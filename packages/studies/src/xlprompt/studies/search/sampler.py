"""What a search tries next: Optuna's TPE, drawing by the seed and the trials before, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

COUNTING = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
ENDED = "ended"  # attribute of trials that count no more: why; absent where a process died or failed

_EVEN_DRAWS = 1000  # at values that nobody has, before what was drawn is taken as it is


class SeededSampler(BaseSampler):
    """Draws near the best, and evenly to begin with.

    A sampler that is seeded once draws its first values again whenever a search goes on in a new process.
    This one begins anew with each trial, by how many came before it.
    """

    def __init__(self, seed: int, startup_trials: int, space: Mapping[str, BaseDistribution]) -> None:
        """Draw nothing yet.

        Args:
            seed: The same seed and trials before give the same draw.
            startup_trials: How many trials must have ended before the others are drawn near the best.
            space: What is searched.
        """
        self._seed, self._startup_trials, self._space = seed, startup_trials, dict(space)
        self._begin([seed])

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed the draws."""
        before = [each for each in study.get_trials(deepcopy=False) if each.number < trial.number]
        counting = sum(each.state in COUNTING for each in before)
        # What has killed its process, or failed, is not drawn again at once; what was interrupted is.
        lost = sum(each.state == TrialState.FAIL and ENDED not in each.user_attrs for each in before)
        self._begin([self._seed, counting, lost])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Everything is drawn together."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Near the best or, to begin with and where that is taken, evenly."""
        others = study.get_trials(deepcopy=False, states=COUNTING)
        taken = [each.params for each in others if each.number != trial.number]
        values = self._tpe.sample_relative(study, trial, search_space)
        for _ in range(_EVEN_DRAWS):
            if values and values not in taken:
                break
            values = {
                key: self._even.sample_independent(study, trial, key, knob)
                for key, knob in search_space.items()
            }
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Evenly; only what is not in the space comes here."""
        return self._even.sample_independent(study, trial, param_name, param_distribution)

    def _begin(self, seeds: Sequence[int]) -> None:
        seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
        self._even = RandomSampler(seed)
        # Values that other workers are busy with count as bad, so that several do not draw the same.
        self._tpe = TPESampler(n_startup_trials=self._startup_trials, seed=seed, constant_liar=True)
