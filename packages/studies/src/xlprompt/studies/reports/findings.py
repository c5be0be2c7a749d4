"""What is known of a study: all that its report and its summary are written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.decisive import Need
from xlprompt.evaluation.comparison.other_methods import OtherMethods
from xlprompt.evaluation.comparison.run_facts import Fertility, RunFacts
from xlprompt.evaluation.comparison.verdicts import Verdict
from xlprompt.studies.reports.page import Table


@dataclass(frozen=True)
class StudyFindings:
    """A study's two methods compared, and what stands beside.

    Attributes:
        comparison: From comparison.compare.
        verdicts: From verdicts.judge.
        runs: The runs compared, and those of further methods.
        heads: By method, its comparison with the head-only baseline, over the tasks that have such runs.
        others: From other_methods.compare_others.
        fertility: Tokens a word, where they are known.
        notes: Sentences about the selection of runs, such as what was left out.
        needs: From decisive.what_decides; empty where it was not asked.
        provenance: From answer.provenance, where it is known.
    """

    comparison: Comparison
    verdicts: Sequence[Verdict]
    runs: Sequence[RunFacts]
    heads: Mapping[str, Comparison] = field(default_factory=dict)
    others: OtherMethods = field(default_factory=dict)
    fertility: Fertility | None = None
    notes: Sequence[str] = ()
    needs: Sequence[Need | None] = ()
    provenance: Table | None = None
