"""From a store's aligned runs to what is recommended: the setting, fine-tuning beside it, and guards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xlprompt.data import TASKS
from xlprompt.evaluation.comparison.statistics import without_infinity
from xlprompt.studies.analyses.alignment.aligned_runs import Key, in_order
from xlprompt.studies.analyses.alignment.findings import Gain
from xlprompt.studies.analyses.alignment.recommended.against import Against, against_finetuning
from xlprompt.studies.analyses.alignment.recommended.cases import find_cases
from xlprompt.studies.analyses.alignment.recommended.guard import GuardResult, judge_guards
from xlprompt.studies.analyses.alignment.recommended.rule import Advice, advise
from xlprompt.studies.analyses.alignment.recommended.scored_settings import CellKey, find_cells
from xlprompt.studies.analyses.alignment.recommended.tables import advice_answers, advice_tables
from xlprompt.studies.grid.ledger import CellRun, Ledger
from xlprompt.studies.reports.page import Table


@dataclass(frozen=True)
class Recommended:
    """What is recommended for one model.

    Attributes:
        advice: Which setting to take; None where none was scored in every task and method.
        against: Prompt tuning against fine-tuning, with the default or else with the best setting.
        guards: Whether something without labels tells where alignment hurts.
    """

    advice: Advice | None
    against: tuple[Against, ...]
    guards: tuple[GuardResult, ...]

    def tables(self) -> list[Table]:
        """As the report shows it."""
        return advice_tables(self.advice, self.guards, self.against)

    def answers(self) -> list[str]:
        """In sentences."""
        return advice_answers(self.advice, self.guards)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "advice": None if self.advice is None else self.advice.to_dict(),
            "against": [without_infinity(asdict(each)) for each in self.against],
            "guards": [each.to_dict() for each in self.guards],
        }


def recommend(
    ledger: Ledger,
    scored: Sequence[CellRun],
    runs: Mapping[Key, CellRun],
    gains: Sequence[Gain],
    say: Callable[[str], None],
) -> dict[str, Recommended]:
    """By model.

    Args:
        ledger: Of the store.
        scored: All scored runs, newest first; those count that have tasks, methods and seeds of `runs`.
        runs: The runs that gains are of.
        gains: By method and kind.
        say: Is told what is being worked on.

    Raises:
        DataError: Runs of a task were not scored on the same examples.
    """
    seeds: dict[CellKey, set[int]] = {}
    methods = in_order(method for _, _, method, _ in runs)
    order = list(TASKS)
    for task, model, method, seed in sorted(
        runs, key=lambda key: (order.index(key[0]), key[1], methods.index(key[2]))
    ):
        seeds.setdefault((task, model, method), set()).add(seed)
    cells = find_cells(ledger, scored, seeds=seeds, say=say)
    found = {}
    for model in dict.fromkeys(model for _, model, *_ in runs):
        advice = advise(cells[model]) if cells.get(model) else None
        say(f"Guards that need no labels, for {model}")
        of_model = {key: run for key, run in runs.items() if key[1] == model}
        guards = judge_guards(find_cases(ledger, of_model, gains))
        against: tuple[Against, ...] = ()
        if advice is not None:
            against = against_finetuning(cells[model], advice.default or advice.settings[0].setting)
        found[model] = Recommended(advice, against, tuple(guards))
    return found
