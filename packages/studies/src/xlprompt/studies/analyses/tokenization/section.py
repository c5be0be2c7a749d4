"""What findings.py found, laid out: tables and figures for a terminal, a file or the report."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.correlation import RankCorrelation
from xlprompt.evaluation.comparison.statistics import SAMPLES
from xlprompt.studies.analyses.tokenization.figure import language_scatter
from xlprompt.studies.analyses.tokenization.findings import (
    ALL_TASKS,
    FEWEST_FOR_AN_INTERVAL,
    FIGURES,
    PARALLEL_LABELS,
    PARALLEL_LENGTHS,
    Interval,
    LanguageTokenization,
    TokenizationAnalysis,
)
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, number_text

_SHORT = {
    "tokens_per_word": "tok/word",
    "characters_per_token": "char/tok",
    "whole_words": "whole %",
    "single_character_tokens": "1-char %",
    "unknown_tokens": "unk %",
    "tokens_to_english": "x en",
}
_FORM = {name: ".1f" if "%" in short else ".2f" for name, short in _SHORT.items()}
_RATIOS = ("tokens_per_word", "characters_per_token", "tokens_to_english")  # drawn on a logarithmic axis
_TOKENS = "pre-training tokens (logarithmic)"


def tokenization_section(
    analysis: TokenizationAnalysis, *, model: str, text: str, notes: Sequence[str]
) -> Section:
    """A tokenizer's figures on one text, and what they go with.

    Args:
        analysis: From tokenization_analysis.analyze.
        model: Whose tokenizer.
        text: What was tokenized, such as "the pos test set in mini".
        notes: Sentences on where the differences come from, or why there are none.
    """
    content: list[Table | Image] = [
        _figures(analysis, model, text),
        _intervals(analysis),
        *_scatters(analysis),
    ]
    tasks = list(dict.fromkeys(row.task for row in analysis.correlations))
    content += [_correlations(analysis, name, first=name == tasks[0]) for name in tasks]
    return Section(f"Tokenization of {text}", tuple(content), " ".join(notes))


def _used(analysis: TokenizationAnalysis) -> list[str]:
    return [name for name in FIGURES if any(name in row.figures for row in analysis.languages)]


def _figures(analysis: TokenizationAnalysis, model: str, text: str) -> Table:
    used = _used(analysis)
    return Table(
        f"How {model} cuts {text}",
        ("language", *(_SHORT[name] for name in used), "parallel"),
        tuple(
            (
                f"{language(row.language).name} ({row.language})",
                *(_value(name, row.figures.get(name)) for name in used),
                _parallel(row),
            )
            for row in analysis.languages
        ),
        f"{'; '.join(f'{_SHORT[name]}: {FIGURES[name]}' for name in used)}. Words are the annotated ones, "
        "cut as they are encoded, or in pairs what stands between spaces; they are not counted where a "
        "language writes no spaces and nothing is annotated, or where each annotated word is a character. A "
        "word kept whole is one known token. Characters are code points, without spaces; among the tokens of "
        "one character are bytes and bare spaces. Parallel to English: examples with equal ids have lengths "
        f"with a rank correlation (as given) of {PARALLEL_LENGTHS} or more, and pairs equal labels in "
        f"{PARALLEL_LABELS:.0%}; only then are tokens set in relation to English.",
    )


def _intervals(analysis: TokenizationAnalysis) -> Table:
    used = _used(analysis)
    return Table(
        "95 % intervals of these figures",
        ("", "n", *(_SHORT[name] for name in used)),
        tuple(
            (
                row.language,
                f"{row.examples:,}",
                *(_ends(name, row.figures.get(name)) for name in used),
            )
            for row in analysis.languages
        ),
        f"Percentiles over {SAMPLES:,} resamples of the n examples, pairs with the same first text together: "
        "what other text of this kind would change.",
    )


def _parallel(row: LanguageTokenization) -> str:
    found = row.parallel
    if row.language == "en":
        return ABSENT
    if found.lengths is None:
        return "no ids"
    return f"{'yes' if found.holds else 'no'} {found.lengths:.2f}"


def _value(name: str, figure: Interval | None) -> str:
    return number_text(None if figure is None else figure.value, _FORM[name])


def _ends(name: str, figure: Interval | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return ABSENT
    return f"{figure.low:{_FORM[name]}}–{figure.high:{_FORM[name]}}"


def _correlations(analysis: TokenizationAnalysis, task: str, *, first: bool) -> Table:
    notes = []
    if first:
        notes.append(
            "Spearman's rho over n zero-shot languages with pre-training tokens, its 95 % interval by the "
            f"bootstrap over languages (from {FEWEST_FOR_AN_INTERVAL} on), p by permutation and not "
            "corrected for the number of rows. Given tokens (and family): partial; a language alone in its "
            "family says nothing there and is left out."
        )
    if task == ALL_TASKS:
        notes.append(
            "Here the difference of a language is its effect over the tasks, with the tasks' own effects "
            "removed by least squares."
        )
    return Table(
        f"Rank correlation with the difference between methods, {task}",
        ("figure", "rho", "given tokens", "given tokens and family"),
        tuple(
            (
                _SHORT[row.figure],
                *map(_rho, (row.plain, row.given_tokens, row.given_tokens_and_family)),
            )
            for row in analysis.correlations
            if row.task == task and row.plain.rho is not None
        ),
        " ".join(notes),
    )


def _rho(found: RankCorrelation) -> str:
    if found.rho is None or found.p_value is None:
        return ABSENT
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" [{found.low:+z.2f}, {found.high:+z.2f}]"
    return f"{found.rho:+z.2f}{interval}\np {found.p_value:.2g}, n {found.languages}"


def _scatters(analysis: TokenizationAnalysis) -> list[Image]:
    """Each figure against the difference over all tasks, or without a study against pre-training tokens."""
    effects = analysis.effects or {}
    task = ALL_TASKS if ALL_TASKS in effects else next(iter(effects), "")
    tokens = {row.language: float(language(row.language).tokens) for row in analysis.languages}
    images = []
    for name in _used(analysis):
        values = {row.language: row.figures[name].value for row in analysis.languages if name in row.figures}
        if len(set(values.values())) < 2:
            continue
        if task:
            points = {
                code: (value, effects[task][code]) for code, value in values.items() if code in effects[task]
            }
            labels, log = (FIGURES[name], f"difference in points, {task}"), (name in _RATIOS, False)
            title = f"Difference by {FIGURES[name]}; hollow: low resources"
        else:
            points = {code: (tokens[code], value) for code, value in values.items() if tokens[code]}
            labels, log = (_TOKENS, FIGURES[name]), (True, name in _RATIOS)
            title = f"{FIGURES[name].capitalize()}; hollow: low resources"
        if points:
            images.append(Image(title, language_scatter(points, labels, log=log, zero=bool(task))))
    return images


def tokenization_answers(analysis: TokenizationAnalysis, *, model: str) -> list[str]:
    """Which languages are cut most and least finely, and whether that goes with where prompts win."""
    name = "tokens_per_word"
    known = {row.language: row.figures[name].value for row in analysis.languages if name in row.figures}
    if len(known) < 2:
        return []
    most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    said = [
        f"{model} cuts {language(most).name} most finely ({known[most]:.2f} tokens a word) and "
        f"{language(least).name} least ({known[least]:.2f})."
    ]
    for row in analysis.correlations:
        plain = row.plain
        if row.figure != name or plain.rho is None or plain.low is None or plain.high is None:
            continue
        ruling = "decided" if plain.low > 0 or plain.high < 0 else "undecided"
        said.append(
            f"{row.task}: rank correlation of tokens a word with the difference between methods "
            f"{plain.rho:+.2f} (95 % interval {plain.low:+.2f} to {plain.high:+.2f}), {ruling}."
        )
    return said
