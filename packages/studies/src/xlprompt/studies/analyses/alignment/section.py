"""What findings.py holds, laid out: tables and figures for a terminal, a file or the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.statistics import spread
from xlprompt.evaluation.comparison.verdicts import Verdict
from xlprompt.studies.analyses.alignment.figures import curves_figure, gains_by_language
from xlprompt.studies.analyses.alignment.findings import Curve, Gain, is_head, leading_kind
from xlprompt.studies.in_words import points, ruled
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, interval, of_one_seed, over_seeds

_SWEPT = {"sentences": "number of unlabelled sentences", "layer": "decoder layer"}


def alignment_section(
    gains: Sequence[Gain],
    verdicts: Mapping[str, Sequence[Verdict]],
    curves: Sequence[Curve],
    notes: Sequence[str] = (),
    advice: Sequence[Table] = (),
) -> Section:
    """The section of one model.

    Args:
        gains: By method and kind; all of one model, each over the tasks that its method has.
        verdicts: The claims by kind of alignment, `none` first; empty where they could not be judged.
        curves: By task, method and what was swept.
        notes: Sentences about the selection of runs.
        advice: Tables that say which alignment to take; they come first.
    """
    tasks = list(dict.fromkeys(name for gain in gains for name in gain.comparison.tasks))
    content: list[Table | Image] = list(advice)
    if verdicts:
        content.append(_verdicts(verdicts))
    for name in tasks:
        of_task = [gain for gain in gains if name in gain.comparison.tasks]
        content.append(_zero_shot(of_task, name))
        if any(gain.comparison.zero_shot(name) for gain in of_task):
            kind = leading_kind(of_task, name)
            figure = gains_by_language([gain for gain in of_task if gain.kind == kind], name)
            content.append(Image(f"{name}: points gained by {kind}, by language", figure))
        content += _curves([curve for curve in curves if curve.task == name])
    for name in dict.fromkeys(curve.task for curve in curves):  # swept, without predictions of all seeds
        if name not in tasks:
            content += _curves([curve for curve in curves if curve.task == name])
    return Section("Alignment without labels", tuple(content), " ".join([*_how(gains, verdicts), *notes]))


def changed_verdicts(verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """Whether alignment changes verdicts, in plain sentences."""
    plain, *others = verdicts.values()
    kinds = list(verdicts)[1:]
    sentences = []
    for number, (before, *after) in enumerate(zip(plain, *others, strict=True), start=1):
        by_outcome: dict[str, list[tuple[str, Verdict]]] = {}
        for kind, verdict in zip(kinds, after, strict=True):
            if verdict.verdict != before.verdict:
                by_outcome.setdefault(verdict.verdict, []).append((kind, verdict))
        for outcome, found in by_outcome.items():
            reasons = "; ".join(f"{kind}: {verdict.evidence['reason']}" for kind, verdict in found)
            sentences.append(
                f"Claim {number} is {before.verdict} without alignment ({before.evidence['reason']}) and "
                f"{outcome} with {_listed([kind for kind, _ in found])} ({reasons})."
            )
    if not sentences:
        return "Alignment changes none of the verdicts."
    return " ".join([*sentences, "All other verdicts stay as they are."])


def _how(gains: Sequence[Gain], verdicts: Mapping[str, Sequence[Verdict]]) -> list[str]:
    trained = language(gains[0].comparison.train_language).name if gains else "the training language"
    sentences = [
        f"The trained models, scored again with each language's hidden states moved to the place of "
        f"{trained}'s by moments of unlabelled text, none of it from the test set; {trained} itself is never "
        "moved, so its scores stay. Nothing was trained for this. Gains are taken seed by seed."
    ]
    if verdicts:
        sentences.append(changed_verdicts(verdicts))
    return sentences


def _verdicts(verdicts: Mapping[str, Sequence[Verdict]]) -> Table:
    rows = tuple(
        (f"{number}. {of_claim[0].claim}", *(verdict.verdict for verdict in of_claim))
        for number, of_claim in enumerate(zip(*verdicts.values(), strict=True), start=1)
    )
    return Table(
        "The paper's claims without and with alignment",
        ("claim", *verdicts),
        rows,
        "Both methods are aligned alike. The rules are the report's; the experiment on token granularity, "
        "where it has been done, was done without alignment.",
    )


def _zero_shot(gains: Sequence[Gain], task: str) -> Table:
    """A row for each method without alignment, and one for each kind."""
    rows = []
    for method in dict.fromkeys(gain.method for gain in gains):
        of_method = [gain for gain in gains if gain.method == method]
        first = of_method[0].comparison
        rows.append((method, "none", *_scores(first, task, first.baseline), ABSENT, ABSENT))
        rows += [
            (
                method,
                gain.kind,
                *_scores(gain.comparison, task, gain.comparison.method),
                *_gained(gain.comparison, task),
            )
            for gain in of_method
        ]
    comparison = gains[0].comparison
    others = sum(code not in comparison.trained_languages for code in comparison.tasks[task].examples)
    seeds = {gain.method: gain.comparison.tasks[task].method_seeds for gain in gains}
    return Table(
        f"{task}: zero-shot mean over {how_many(others, 'language')} by alignment",
        (
            "method",
            "alignment",
            language(comparison.train_language).name,
            "zero-shot",
            "collapsed",
            "gain [95 %]",
            "better, worse",
        ),
        tuple(rows),
        f"{comparison.tasks[task].metric} on {_examples(comparison, task)} test examples a language, in "
        f"percent, {_over_seeds(seeds)}. Gain: of the zero-shot mean, with "
        "its interval over seeds and test examples; of one seed ± the standard error over examples. Better, "
        "worse: in how many languages, at 5 % after Holm's correction over the task's. Collapsed: languages "
        "that fall onto one label with some seed.",
    )


def _over_seeds(seeds: Mapping[str, tuple[int, ...]]) -> str:
    """What the scores are, with the seeds of each method."""
    if of_one_seed(seeds.values()) or len(set(seeds.values())) == 1:
        return over_seeds(seeds.values())
    listed = "; ".join(f"{method} {' '.join(map(str, of_method))}" for method, of_method in seeds.items())
    return f"mean ± standard deviation over seeds ({listed})"


def _examples(comparison: Comparison, task: str) -> str:
    numbers = sorted(set(comparison.tasks[task].examples.values()))
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"


def _scores(comparison: Comparison, task: str, method: str) -> tuple[str, str, str]:
    """A method's score in the training language, its zero-shot mean, and its collapsed languages."""
    rows = [row for row in comparison.scores if (row.task, row.method) == (task, method)]
    trained = next((row for row in rows if row.language == comparison.train_language), None)
    zero_shot = comparison.zero_shot_by_seed(task, method)
    others = [row for row in rows if row.language not in comparison.trained_languages]
    return (
        ABSENT if trained is None else trained.spread.text(),
        ABSENT if zero_shot is None else spread(zero_shot).text(),
        str(sum(row.collapsed > 0 for row in others)),
    )


def _gained(comparison: Comparison, task: str) -> tuple[str, str]:
    """The gain with its interval, and in how many languages it is one or a loss."""
    row = comparison.zero_shot(task)
    if row is None:
        return ABSENT, ABSENT
    found = row.estimate
    if found.low is None or found.high is None:  # one seed: nothing is significant
        error = "" if found.example_stderr is None else f" ± {found.example_stderr:.1f}"
        return f"{found.value:+z.1f}{error}", ABSENT
    tally = next(tally for tally in comparison.tallies if tally.task == task)
    gain = f"{found.value:+z.1f} {interval(found.low, found.high, 'z.1f')}"
    return gain, f"{tally.wins} / {tally.losses}"


def _curves(curves: Sequence[Curve]) -> list[Table | Image]:
    """A table and a figure for each thing that was swept."""
    content: list[Table | Image] = []
    for swept in dict.fromkeys(curve.swept for curve in curves):
        of_sweep = [curve for curve in curves if curve.swept == swept]
        title = f"{of_sweep[0].task}: zero-shot mean by {_SWEPT[swept]}"
        content += [_curve_table(title, of_sweep), Image(title, curves_figure(of_sweep))]
    return content


def _curve_table(title: str, curves: Sequence[Curve]) -> Table:
    swept = curves[0].swept
    values = sorted(
        {value for curve in curves for points in curve.points.values() for value in points},
        key=lambda value: (is_head(swept, value), value),
    )
    rows = tuple(
        (
            curve.method,
            kind,
            curve.none.text(),
            *(points[value].text() if value in points else ABSENT for value in values),
        )
        for curve in curves
        for kind, points in curve.points.items()
    )
    seeds = {curve.method: curve.seeds for curve in curves}
    return Table(
        title,
        (
            "method",
            "alignment",
            "none",
            *("head" if is_head(swept, value) else str(value) for value in values),
        ),
        rows,
        f"{curves[0].metric}, percent, {_over_seeds(seeds)}. "
        + (
            "Columns: sentences (or pairs) of a language at most; of the training language, of which there "
            "is plenty, always up to a thousand."
            if swept == "sentences"
            else "Columns: the layer whose states are moved; head: what the head reads."
        ),
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def alignment_answers(gains: Sequence[Gain]) -> list[str]:
    """What each kind of alignment changes, by method: a sentence each."""
    said = []
    for gain in gains:
        found = [
            (task, row.estimate) for task in gain.comparison.tasks if (row := gain.comparison.zero_shot(task))
        ]
        if not found:
            continue
        rulings = [ruled(estimate, "better", "worse") for _, estimate in found]
        counts = ", ".join(f"{rulings.count(ruling)} {ruling}" for ruling in ("better", "worse", "undecided"))
        task, most = max(found, key=lambda each: abs(each[1].value))
        said.append(
            f"{gain.method} with {gain.kind}: of {how_many(len(found), 'task')}, {counts} "
            f"in the zero-shot mean. Largest change: {task}, {points(most)}."
        )
    return said
