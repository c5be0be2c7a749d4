"""A study's report: one self-contained HTML page and a Markdown file with the same tables.

It lays out what comparison.py and verdicts.py found and computes no statistics of its own. Where the runs
come from is not its business: it is given comparisons and what is known of each run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison import Comparison, Difference
from xlprompt.evaluation.statistics import Estimate, Spread
from xlprompt.evaluation.study_figures import against_tokens, cost_against_score, heat_map
from xlprompt.evaluation.verdicts import Verdict

_ABSENT = "–"
_SIGNS = {"supported": "✓", "not supported": "✗", "undecided": "?"}

_STYLE = """
:root{color-scheme:light}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:0 1rem 2rem;color:#111}
h1{font-size:1.6rem;line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #999}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.5rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
th{border-bottom:1px solid #555}td.long{white-space:normal;min-width:16rem}
img{display:block;max-width:100%;height:auto;margin:1rem 0}
.note{font-size:.875rem;color:#444}
@media print{body{max-width:none;font-size:10pt}.scroll{overflow:visible}tr,img{break-inside:avoid}
th,td{white-space:normal;padding:.15rem .3rem}}
"""


@dataclass(frozen=True)
class RunFacts:
    """What is known of one run besides its predictions; None where it is not.

    Attributes:
        task: Task name.
        method: Method name.
        seed: Its seed.
        model: Name of the backbone.
        total_params: Parameters of the backbone.
        trainable_params: Those trained, head included.
        trainable_percent: The same in percent of all.
        seconds: What the run took.
        memory_mib: Peak memory.
    """

    task: str
    method: str
    seed: int
    model: str
    total_params: int | None = None
    trainable_params: int | None = None
    trainable_percent: float | None = None
    seconds: float | None = None
    memory_mib: float | None = None


@dataclass(frozen=True)
class Table:
    """A table as text, the same for both files."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class _Figure:
    title: str
    svg: str


@dataclass(frozen=True)
class _Section:
    title: str
    content: tuple[Table | _Figure, ...]


def write_study_report(
    folder: str | Path,
    comparison: Comparison,
    verdicts: Sequence[Verdict],
    runs: Sequence[RunFacts],
    *,
    title: str = "Prompt tuning and full fine-tuning across languages",
    notes: Sequence[str] = (),
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md`.

    Args:
        folder: Where they go; made where it does not exist.
        comparison: From comparison.compare.
        verdicts: From verdicts.judge.
        runs: The runs compared.
        title: Of the page.
        notes: Sentences about the selection of runs, such as what was left out.

    Returns:
        Paths of the page and of the Markdown file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sections = _sections(comparison, verdicts, runs)
    page, text = folder / "report.html", folder / "report.md"
    page.write_text(_html(title, sections, notes), encoding="utf-8")
    text.write_text(_markdown(title, sections, notes), encoding="utf-8")
    return page, text


def tables(comparison: Comparison, verdicts: Sequence[Verdict], runs: Sequence[RunFacts]) -> list[Table]:
    """All tables of the report, in its order."""
    return [
        part
        for section in _sections(comparison, verdicts, runs, figures=False)
        for part in section.content
        if isinstance(part, Table)
    ]


def _sections(
    comparison: Comparison, verdicts: Sequence[Verdict], runs: Sequence[RunFacts], figures: bool = True
) -> list[_Section]:
    sections = [
        _Section("The claims", (_claims(verdicts),)),
        _Section("What was run", (_setup(comparison, runs),)),
    ]
    overview: list[Table | _Figure] = [_tallies(comparison)]
    if figures:
        overview.append(
            _Figure(f"{comparison.method} minus {comparison.baseline} by language", heat_map(comparison))
        )
    sections.append(_Section("Wins, ties and losses", tuple(overview)))
    for name in comparison.tasks:
        parts: list[Table | _Figure] = [_languages(comparison, name), _groups(comparison, name)]
        if figures:
            parts.append(_Figure(f"{name}: scores against tokens", against_tokens(comparison, name)))
        sections.append(_Section(name, tuple(parts)))
    if costs := _costs(comparison, runs):
        parts = [_cost_table(costs)]
        points = [(row.task, row.method, row.seconds, row.score) for row in costs if row.score is not None]
        if figures and points:
            parts.append(_Figure("Zero-shot mean against seconds", cost_against_score(points)))
        sections.append(_Section("Cost", tuple(parts)))
    return sections


def _claims(verdicts: Sequence[Verdict]) -> Table:
    return Table(
        "The paper's four claims",
        ("claim", "verdict", "evidence", "rule"),
        tuple(
            (
                f"{number}. {each.claim}",
                f"{_SIGNS[each.verdict]} {each.verdict}",
                str(each.evidence["reason"]),
                each.rule,
            )
            for number, each in enumerate(verdicts, 1)
        ),
        "The rules were fixed before the figures. Undecided is what the data cannot tell; it is no evidence "
        "against a claim.",
    )


def _setup(comparison: Comparison, runs: Sequence[RunFacts]) -> Table:
    rows = []
    for task, method in _cells(comparison):
        of_cell = [run for run in runs if (run.task, run.method) == (task, method)]
        settings = comparison.tasks[task]
        seeds = settings.method_seeds if method == comparison.method else settings.baseline_seeds
        rows.append(
            (
                task,
                method,
                ", ".join(str(seed) for seed in seeds),
                ", ".join(dict.fromkeys(run.model for run in of_cell)) or _ABSENT,
                _span([run.total_params for run in of_cell], ",.0f"),
                _span([run.trainable_params for run in of_cell], ",.0f"),
                _span([run.trainable_percent for run in of_cell], ".4g"),
                settings.metric,
                settings.split,
            )
        )
    columns = (
        "task",
        "method",
        "seeds",
        "model",
        "parameters",
        "trained",
        "trained (%)",
        "metric",
        "scored on",
    )
    trained = language(comparison.train_language).name
    return Table(
        "Runs",
        columns,
        tuple(rows),
        f"Trained on {trained}. Trained parameters include the head, those of all not; so their share may "
        "pass 100 %.",
    )


def _tallies(comparison: Comparison) -> Table:
    names = {row.task: row.correlation for row in comparison.correlations}
    return Table(
        f"{comparison.method} against {comparison.baseline}, by language",
        ("task", "wins", "ties", "losses", "ahead", "rho with tokens", "95 % interval", "p"),
        tuple(
            (
                row.task,
                str(row.wins),
                str(row.ties),
                str(row.losses),
                str(row.ahead),
                _number(names[row.task].rho, "+.2f"),
                _interval(names[row.task].low, names[row.task].high, "+.2f"),
                _number(names[row.task].p_value, ".2g"),
            )
            for row in comparison.tallies
        ),
        "A win or a loss is significant at 5 % after Holm's correction over the task's languages; a tie is "
        "no proof of equality. Ahead: higher mean, significant or not. Rho: rank correlation of the "
        "difference with pre-training tokens over zero-shot languages.",
    )


def _languages(comparison: Comparison, task: str) -> Table:
    spreads = {(row.language, row.method): row.spread for row in comparison.scores if row.task == task}
    rows = []
    for row in comparison.differences:
        if row.task != task:
            continue
        rows.append(
            (
                f"{language(row.language).name} ({row.language})",
                language(row.language).resource_level,
                _mean(spreads[row.language, comparison.method]),
                _mean(spreads[row.language, comparison.baseline]),
                *_difference(row.estimate),
                _number(row.p_adjusted, ".2g"),
                _better(comparison, row),
            )
        )
    columns = (
        "language",
        "resources",
        comparison.method,
        comparison.baseline,
        "difference",
        "95 % interval",
        "p (Holm)",
        "better",
    )
    return Table(
        f"{task}: scores by language",
        columns,
        tuple(rows),
        f"{comparison.tasks[task].metric} in percent, mean ± standard deviation over seeds; difference in "
        "points. The better method is named only where the difference is significant after Holm. "
        "Intervals are those of one language alone.",
    )


def _better(comparison: Comparison, row: Difference) -> str:
    return {"win": f"▲ {comparison.method}", "loss": f"▼ {comparison.baseline}", "tie": ""}[row.outcome]


def _groups(comparison: Comparison, task: str) -> Table:
    return Table(
        f"{task}: means over groups of languages",
        (
            "grouping",
            "group",
            "languages",
            comparison.method,
            comparison.baseline,
            "difference",
            "95 % interval",
        ),
        tuple(
            (
                row.grouping,
                row.group,
                ", ".join(row.languages),
                f"{row.method:.1f}",
                f"{row.baseline:.1f}",
                *_difference(row.estimate),
            )
            for row in comparison.groups
            if row.task == task
        ),
        "Each language counts once; intervals are not corrected for the number of groups.",
    )


@dataclass(frozen=True)
class _Cost:
    task: str
    method: str
    seconds: float
    memory_mib: float | None
    score: float | None


def _costs(comparison: Comparison, runs: Sequence[RunFacts]) -> list[_Cost]:
    rows = []
    zero_shot = {row.task: row for row in comparison.groups if row.grouping == "zero-shot"}
    for task, method in _cells(comparison):
        of_cell = [run for run in runs if (run.task, run.method) == (task, method)]
        seconds = [run.seconds for run in of_cell if run.seconds is not None]
        memory = [run.memory_mib for run in of_cell if run.memory_mib is not None]
        if not seconds:
            continue
        score = None
        if task in zero_shot:
            group = zero_shot[task]
            score = group.method if method == comparison.method else group.baseline
        mean_memory = float(np.mean(memory)) if memory else None
        rows.append(_Cost(task, method, float(np.mean(seconds)), mean_memory, score))
    return rows


def _cost_table(costs: Sequence[_Cost]) -> Table:
    return Table(
        "Cost and score",
        ("task", "method", "seconds of a run", "peak memory (MiB)", "zero-shot mean"),
        tuple(
            (
                row.task,
                row.method,
                f"{row.seconds:.1f}",
                _number(row.memory_mib, ",.0f"),
                _number(row.score, ".1f"),
            )
            for row in costs
        ),
        "Means over seeds. Seconds include scoring and depend on the machine and on what else ran there.",
    )


def _cells(comparison: Comparison) -> list[tuple[str, str]]:
    return [
        (task, method) for task in comparison.tasks for method in (comparison.method, comparison.baseline)
    ]


def _number(value: float | None, form: str) -> str:
    return _ABSENT if value is None else f"{value:{form}}"


def _interval(low: float | None, high: float | None, form: str) -> str:
    return _ABSENT if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def _difference(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:+.1f}", _interval(estimate.low, estimate.high, "+.1f")


def _mean(summary: Spread) -> str:
    return f"{summary.mean:.1f} ± {_number(summary.deviation, '.1f')}"


def _span(values: Sequence[float | None], form: str) -> str:
    known = sorted({f"{value:{form}}" for value in values if value is not None})
    return " to ".join([known[0], known[-1]][: len(known)]) if known else _ABSENT


def _html(title: str, sections: Sequence[_Section], notes: Sequence[str]) -> str:
    body = [f"<h1>{escape(title)}</h1>"]
    body += [f'<p class="note">{escape(note)}</p>' for note in notes]
    for section in sections:
        body.append(f"<section><h2>{escape(section.title)}</h2>")
        body += [_html_table(part) if isinstance(part, Table) else _img(part) for part in section.content]
        body.append("</section>")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(f"<tr>{''.join(map(_td, row))}</tr>\n" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>{note}"
    )


def _td(text: str) -> str:
    # Sentences wrap; figures and names stay on one line.
    wraps = ' class="long"' if len(text) > 40 else ""
    return f"<td{wraps}>{escape(text)}</td>"


def _img(figure: _Figure) -> str:
    # As an image of its own, since the ids of several SVGs in one page would clash.
    data = base64.b64encode(figure.svg.encode()).decode()
    return f'<img alt="{escape(figure.title)}" src="data:image/svg+xml;base64,{data}">'


def _markdown(title: str, sections: Sequence[_Section], notes: Sequence[str]) -> str:
    lines = [f"# {_cell(title)}", *(f"\n{_cell(note)}" for note in notes)]
    for section in sections:
        lines.append(f"\n## {_cell(section.title)}")
        for part in section.content:
            if isinstance(part, Table):
                lines += [
                    f"\n### {_cell(part.title)}\n",
                    _row([_cell(name) for name in part.columns]),
                    _row(["---"] * len(part.columns)),
                ]
                lines += [_row([_cell(value) for value in row]) for row in part.rows]
                lines += [f"\n{_cell(part.note)}"] if part.note else []
    return "\n".join(lines) + "\n"


def _row(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def _cell(text: str) -> str:
    """Text that neither ends a cell nor begins a tag."""
    plain = " ".join(text.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
