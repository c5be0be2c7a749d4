"""A study's answer as a page and Markdown open with it."""

from __future__ import annotations

from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.other_methods import method_results
from xlprompt.studies.reports.answer.claims import VERDICTS_NOTE, claims
from xlprompt.studies.reports.answer.headline import headline, lead
from xlprompt.studies.reports.answer.methods_figure import described, methods_figure
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.page import Opening
from xlprompt.studies.reports.wording import of_one_seed, over_seeds, seeds_of


def opening(findings: StudyFindings, *, figures: bool = True) -> Opening:
    """Headline, figure and verdicts.

    Args:
        findings: What the study came to.
        figures: Whether with the figure.
    """
    comparison = findings.comparison
    results = method_results(comparison, findings.others, findings.runs) if figures else []
    return Opening(
        headline(comparison),
        lead(comparison, findings.runs),
        claims(findings.verdicts, findings.needs),
        methods_figure(results, wide=True),
        methods_figure(results, wide=False),
        described(results),
        (VERDICTS_NOTE, _reading(comparison)),
    )


def answer_lines(findings: StudyFindings) -> tuple[str, ...]:
    """The headline, then each claim's verdict in brief, as a terminal shows them."""
    verdicts = claims(findings.verdicts, findings.needs).rows
    return (
        headline(findings.comparison),
        *(f"{verdict}: {short} ({brief})" for short, verdict, brief, *_ in verdicts),
    )


def _scores(comparison: Comparison) -> str:
    of_seeds = seeds_of(comparison)
    return over_seeds(of_seeds) if of_one_seed(of_seeds) else "means over seeds"


def _reading(comparison: Comparison) -> str:
    return (
        f"Tasks {', '.join(comparison.tasks)}. Scores are {_scores(comparison)}; intervals "
        "allow for the draw of seeds and of test examples. Resource levels and pre-training tokens of "
        "languages are those of XGLM's data (CC100-XL) for every backbone; languages that XGLM did not see "
        "are in no correlation with them. The headline calls a method ahead where the 95 % interval of the "
        "difference of zero-shot means leaves out zero; nothing is corrected for the number of tasks."
    )
