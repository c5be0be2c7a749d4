"""What was found of runs' mistakes as sentences and tables, for the terminal, a page and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language, resource_order
from xlprompt.evaluation.mistakes.confusions import Confusion, Confusions
from xlprompt.evaluation.mistakes.flips import Flips
from xlprompt.evaluation.mistakes.pairs import EXACT
from xlprompt.studies.mistakes.inspect import Inspection, Texts
from xlprompt.studies.reports.page import Table
from xlprompt.studies.reports.wording import ABSENT, number_text

_SHOWN = 20  # rows of a table of confusions
_FEW_LABELS = 7  # up to so many have a column each
_HEADING = 16  # letters of a name in a heading
_LETTERS = 160  # of a text in a table


def answer(found: Inspection) -> str:
    """What was found, in a few sentences, the first of which is the answer."""
    sentences = [_where(found.run.name, found.confusions)]
    if found.against is not None and found.flips is not None:
        sentences.append(_flipped(found.run.name, found.against.name, found.flips))
    return " ".join(sentences)


def tables(found: Inspection, examples: int) -> list[Table]:
    """All tables, the examples' last.

    Args:
        found: What was found.
        examples: How many flips of each language are shown.
    """
    parts = confusion_tables("", found.confusions)
    if found.against is not None and found.flips is not None:
        parts.append(flip_table("", found.run.name, found.against.name, found.flips))
        if examples and found.flips.examples:
            parts.append(_examples(found, examples))
    if found.confident:
        parts.append(_confident(found))
    return parts


def confusion_tables(prefix: str, found: Confusions) -> list[Table]:
    """By language how much is wrong and what most often, then what is beyond the reference, and label shares.

    Args:
        prefix: Before the titles, such as `xnli, prompt: `.
        found: What was found.
    """
    parts = [_by_language(prefix, found)]
    if beyond := found.beyond:
        parts.append(_beyond(prefix, found, beyond))
    if found.use:
        parts.append(_label_use(prefix, found))
    return parts


def summary_table(found: Mapping[str, Mapping[str, Confusions]], trained: str) -> Table:
    """A study's confusions: by task and method how many are beyond the language trained on; the worst.

    Args:
        found: By task and method.
        trained: Code of the language that others are compared with.
    """
    rows = []
    for task, method, each in ((task, *item) for task, of_task in found.items() for item in of_task.items()):
        zero_shot = [code for code in each.wrong if code != trained]
        worst = max(zero_shot or each.wrong, key=each.wrong.__getitem__)
        rows.append(
            (
                task,
                method,
                f"{each.wrong[trained]:.1f}" if trained in each.wrong else ABSENT,
                f"{_name(worst)} {each.wrong[worst]:.1f}",
                f"{len(each.beyond)} of {each.tested}",
                "; ".join(
                    f"{one.language}: {_taken(one)}, {one.share:.0f} % ({one.there or 0:.0f} %)"
                    for one in each.beyond[:3]
                )
                or "none",
            )
        )
    return Table(
        f"Confusions beyond those in {language(trained).name}",
        ("task", "method", f"wrong in {trained} (%)", "most wrong in (%)", "significant", "costliest"),
        tuple(rows),
        "Significant: more frequent than in the language trained on, one-sided at 5 % after Holm over all "
        "confusions of the task and method, by the Mann-Whitney test of the examples' shares (of one seed "
        "with one answer a text by Fisher's exact test). In brackets: the percentage there.",
    )


def flip_table(prefix: str, first: str, second: str, found: Flips) -> Table:
    """Examples by who is right."""
    columns, who = _columns(first, second)
    return Table(
        f"{prefix}who is right",
        ("language", "both", *(f"only {name}" for name in columns), "rest", "p (Holm)"),
        tuple(
            (
                _name(each.language),
                str(each.both),
                str(each.first),
                str(each.second),
                str(each.neither),
                _p_text(each.p_value),
            )
            for each in sorted(found.counts, key=lambda each: resource_order(each.language))
        ),
        f"{who}Numbers of examples. Of a sentence, only means: right of more of its words; of several seeds, "
        "in all of them, and the other in none. p: exact sign test (McNemar's, for one answer a text), after "
        "Holm over the languages.",
    )


def _where(name: str, found: Confusions) -> str:
    worst = max(found.wrong, key=lambda code: found.wrong[code])
    if not found.wrong[worst]:
        return f"{name} errs nowhere: all of its answers are right."
    base = found.reference
    if base is None or len(found.wrong) < 2:
        return f"{name} errs most in {_name(worst)}: {found.wrong[worst]:.1f} % of its answers are wrong."
    there = f"{found.wrong[base]:.1f} % in {language(base).name}"
    opening = (
        f"{name} errs most in {_name(worst)}: {found.wrong[worst]:.1f} % of its answers are wrong, {there}."
    )
    beyond = found.beyond
    if not beyond:
        return (
            f"{opening} No confusion is significantly more frequent in a language than in "
            f"{language(base).name} ({found.tested} tests)."
        )
    most = beyond[0]
    return (
        f"{opening} {len(beyond)} of {found.tested} confusions tested are more frequent than in "
        f"{language(base).name}; the costliest: {_taken(most)} in {_name(most.language)} "
        f"({most.share:.0f} %, there {most.there or 0:.0f} %)."
    )


def _flipped(first: str, second: str, found: Flips) -> str:
    sure = [each for each in found.counts if each.significant]
    better = ", ".join(each.language for each in sure if each.first > each.second)
    worse = ", ".join(each.language for each in sure if each.first < each.second)
    parts = [f"{word} in {codes}" for word, codes in (("better", better), ("worse", worse)) if codes]
    where = f"It is significantly {' and '.join(parts)}." if parts else "Neither is better in any language."
    return (
        f"One of the two alone answers {how_many(found.first + found.second, 'example')} right: {first} "
        f"{found.first}, {second} {found.second}. {where}"
    )


def _columns(first: str, second: str) -> tuple[tuple[str, str], str]:
    """Headings for two runs, and which is which where their names are too long for headings."""
    if max(len(first), len(second)) <= _HEADING:
        return (first, second), ""
    return ("first", "second"), f"First: {first}; second: {second}. "


def _p_text(value: float | None) -> str:
    """Three digits, as a column of figures has them."""
    return ABSENT if value is None else "<.001" if value < 0.001 else f"{value:.3f}"


def _by_language(prefix: str, found: Confusions) -> Table:
    base = found.reference
    rows = []
    most = {code: next(rest) for code, rest in groupby(found.found, key=lambda each: each.language)}
    for code in sorted(found.wrong, key=resource_order):
        each = most.get(code)
        rows.append(
            (
                _name(code),
                f"{found.wrong[code]:.1f}",
                "none" if each is None else _taken(each),
                ABSENT if each is None else _times(each.times),
                ABSENT if each is None else f"{each.share:.1f}",
                *(() if base is None else _reference(each)),
            )
        )
    against = () if base is None else (f"% in {base}", "p (Holm)")
    note = "Wrong: percent of the answers. Then the most frequent confusion, how often it occurs, and its "
    note += "percentage of the answers that should have been the first label."
    return Table(
        f"{prefix}where it errs",
        ("language", "wrong", "most frequent confusion", "times", "%", *against),
        tuple(rows),
        note if base is None else f"{note} {_test(found)}",
    )


def _reference(each: Confusion | None) -> tuple[str, str]:
    if each is None:
        return ABSENT, ABSENT
    return number_text(each.there, ".1f"), _p_text(each.p_value)


def _test(found: Confusions) -> str:
    return (
        f"p: that it is no more frequent than in {language(found.reference or 'en').name}, one-sided, by "
        "Fisher's exact test of single answers, else by the Mann-Whitney test of the examples' shares; after "
        f"Holm over all {found.tested} confusions. Examples are taken as independent, which errs on the safe "
        "side where the test sets are parallel."
    )


def _beyond(prefix: str, found: Confusions, beyond: Sequence[Confusion]) -> Table:
    rows = tuple(
        (_name(each.language), _taken(each), _times(each.times), f"{each.share:.1f}", *_reference(each))
        for each in beyond[:_SHOWN]
    )
    more = f" The first {_SHOWN} of {len(beyond)}." if len(beyond) > _SHOWN else ""
    return Table(
        f"{prefix}more frequent than in {language(found.reference or 'en').name}",
        ("language", "confusion", "times", "%", f"% in {found.reference}", "p (Holm)"),
        rows,
        f"Significant at 5 % after Holm, by the answers that the difference costs.{more}",
    )


def _label_use(prefix: str, found: Confusions) -> Table:
    labels = list(dict.fromkeys(each.label for each in found.use))
    by_language = {code: list(rows) for code, rows in groupby(found.use, key=lambda each: each.language)}
    order = sorted(by_language, key=resource_order)
    title = f"{prefix}labels given, and true"
    if len(labels) <= _FEW_LABELS:
        return Table(
            title,
            ("language", *labels),
            tuple(
                (_name(code), *(f"{each.given:.1f} ({each.right:.1f})" for each in by_language[code]))
                for code in order
            ),
            "Percent of the answers given; in brackets, of the true labels.",
        )
    rows = []
    for code in order:
        by_excess = sorted(by_language[code], key=lambda each: each.right - each.given)
        often = [each for each in by_excess[:3] if each.given > each.right]
        rarely = [each for each in reversed(by_excess[-3:]) if each.given < each.right]
        texts = [
            ", ".join(f"{each.label} {each.given:.1f} ({each.right:.1f})" for each in some) or "none"
            for some in (often, rarely)
        ]
        rows.append((_name(code), *texts))
    return Table(
        title,
        ("language", "too often", "too rarely"),
        tuple(rows),
        "Percent of the answers given; in brackets, of the true labels. The three labels that differ most.",
    )


def _examples(found: Inspection, number: int) -> Table:
    assert found.flips is not None
    assert found.against is not None
    columns, who = _columns(found.run.name, found.against.name)
    rows = []
    for code, flipped in groupby(found.flips.examples, key=lambda each: each.language):
        for each in list(flipped)[:number]:
            text = _text(found.texts, code, each.place)
            rows.append((code, each.id, each.right, each.first, each.second, text))
    return Table(
        f"Flips, {number} of each language at most",
        ("language", "id", "right", *columns, "text"),
        tuple(rows),
        f"{who}{found.note or 'Of sentences, tags of the words that only one of the two has right.'}",
    )


def _confident(found: Inspection) -> Table:
    return Table(
        "Most confident mistakes",
        ("language", "id", "right", "given", "%", "text"),
        tuple(
            (
                each.language,
                each.id,
                each.right,
                each.given,
                f"{100 * each.probability:.1f}",
                _text(found.texts, each.language, each.place),
            )
            for each in found.confident
        ),
        "By the probability of what was answered, for which the model was asked again.",
    )


def _text(texts: Texts, code: str, place: int) -> str:
    parts = texts.get((code, place))
    if parts is None:
        return ABSENT
    text = " | ".join(" ".join(part) if isinstance(part, list) else str(part) for part in parts)
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]}…"


def _taken(each: Confusion) -> str:
    return each.given if each.right == EXACT else f"{each.right} taken for {each.given}"


def _times(times: float) -> str:
    return f"{times:.0f}" if float(times).is_integer() else f"{times:.1f}"


def _name(code: str) -> str:
    return f"{language(code).name} ({code})"
