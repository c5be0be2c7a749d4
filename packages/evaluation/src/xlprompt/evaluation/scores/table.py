"""A transfer report as a table for the terminal, readable at 80 columns.

Languages are grouped by how much of them was in XGLM's pre-training data, so that the eye finds whether
transfer follows resources. Printing is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from xlprompt.data.languages import language
from xlprompt.evaluation.scores.floors import TRIVIAL_ANSWER
from xlprompt.evaluation.scores.metrics import COLLAPSED, Score, metric_title
from xlprompt.evaluation.scores.transfer_scores import LanguageResult, TransferReport

_BESIDE = ("accuracy", "f1", "exact_match")  # metrics that have a column where they do not judge
_ABSENT = "–"
_UNDEFINED = "n/a"


def score_table(report: TransferReport, *, trained: bool = True) -> Table:
    """Lay out a report by resource level, most pre-training tokens first, with the means and the gap below.

    Args:
        report: The scores of one model.
        trained: Whether anything was trained. If not, the language that other methods train on stays out of
            the zero-shot mean, too.

    Returns:
        A table for `rich.console.Console.print`: the main metric and, where the task has one, a second one,
        each with its standard error; where there are labels, the majority baseline, the label predicted most
        often, and a mark at a collapse; where answers are parts of texts, the trivial baseline.

    Raises:
        DataError: A language code is not in the language table.
    """
    metrics = [
        report.metric,
        *(name for name in _BESIDE if name in report.metric_names and name != report.metric),
    ]
    labeled = any(result.top_predicted for result in report.results.values())
    trivial = any(result.trivial_baseline is not None for result in report.results.values())
    table = Table(
        title=f"{report.task} · {report.split} · "
        + (f"trained on {report.trained_on}" if trained else "without training"),
        caption=_legend(report, trained=trained, labeled=labeled, trivial=trivial),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("language", no_wrap=True)
    for metric in metrics:
        table.add_column(metric_title(report.task, metric), justify="right", no_wrap=True)
    if labeled:
        table.add_column("majority", justify="right", no_wrap=True)
        table.add_column("most predicted", no_wrap=True)
    if trivial:
        table.add_column("trivial", justify="right", no_wrap=True)

    level = None
    for result in report.by_resources():
        row = language(result.language)
        if row.resource_level != level:
            level = row.resource_level
            table.add_row(
                Text(
                    "unseen in pre-training" if level == "unseen" else f"{level} resources",
                    style="dim italic",
                )
            )
        mark = " *" if result.language in report.trained_languages else ""
        table.add_row(
            f" {row.name} ({result.language}){mark}",
            *(_with_error(result.scores[metric]) for metric in metrics),
            *((f"{result.majority:.1f}", _most_predicted(result)) if labeled else ()),
            *((_trivial([result]),) if trivial else ()),
            style="red" if result.collapsed else "",
        )
    table.add_section()
    zero_shot = len(report.zero_shot_scored)
    summaries = (
        (f"zero-shot mean ({zero_shot})", report.mean_zero_shot, report.zero_shot_scored),
        ("transfer gap", report.transfer_gap, ()),
        (f"mean ({len(report.scored_languages)})", report.mean, report.scored_languages),
    )
    for title, summary, codes in summaries:
        beaten = (_trivial([report.results[code] for code in codes]),) if trivial and codes else ()
        table.add_row(title, *(_with_error(summary(metric)) for metric in metrics), *beaten, style="bold")
    return table


def _legend(report: TransferReport, *, trained: bool, labeled: bool, trivial: bool) -> str:
    lines = [f"Percent ± standard error over the {report.split.partition('-')[0]} examples."]
    if report.train_language in report.results:
        whose = f"{language(report.train_language).name}'s" if report.also_trained_on else "its"
        mark = "trained on" if trained else "trained on by other methods"
        lines.append(f"* {mark}: not in the zero-shot mean; the gap is {whose} score minus that mean.")
    if labeled:
        lines.append("majority: accuracy of always giving the commonest true label.")
    if trivial:
        title = metric_title(report.task, report.metric)
        lines.append(f"trivial: {title} of answering with {TRIVIAL_ANSWER}.")
    if any(not each.is_defined for result in report.results.values() for each in result.scores.values()):
        of = "" if len(report.scored_languages) < len(report.results) else " of it"
        lines.append(f"n/a: no entity in the test set, so no F1; such a language is in no mean{of}.")
    if report.collapsed_languages:
        lines.append(f"! collapsed: {COLLAPSED}.")
    return "\n".join(lines)


def _with_error(result: Score | None) -> str:
    if result is None:
        return _ABSENT
    if not result.is_defined:
        return _UNDEFINED
    return f"{result.value:.1f} ± {_ABSENT if result.stderr is None else format(result.stderr, '.1f')}"


def _trivial(results: Sequence[LanguageResult]) -> str:
    """The mean trivial baseline of languages; a mean that lacks one is not shown."""
    known = [result.trivial_baseline for result in results if result.trivial_baseline is not None]
    return f"{sum(known) / len(known):.1f}" if known and len(known) == len(results) else _ABSENT


def _most_predicted(result: LanguageResult) -> str:
    return f"{result.top_predicted} {result.top_predicted_share:.0f} %{' !' if result.collapsed else ''}"
