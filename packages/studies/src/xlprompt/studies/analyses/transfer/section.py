"""The section of a report on transfer between languages: a heat map, the same as a table, and kinship."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xlprompt.data.languages import language
from xlprompt.evaluation.style import WIDTH, is_dark, letters, svg_text
from xlprompt.studies.analyses.ablation.brief import brief_table
from xlprompt.studies.analyses.transfer.findings import TransferMatrix
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, interval, number_text

_SMALL = 7.0  # points


def transfer_section(name: str, matrices: Sequence[TransferMatrix]) -> Section:
    """For each task and method, its matrix as a figure and as a table, and the correlations with kinship.

    Args:
        name: Of the grid.
        matrices: By task and method.
    """
    content: list[Table | Image] = []
    for each in matrices:
        cell = f"{each.task} {each.method}"
        content += [Image(f"{cell}: score by training language", transfer_heat_map(each))]
        content += [_matrix(each, cell), _kinship(each, cell)]
    brief = brief_table(name, [_in_brief(each) for each in matrices])
    return Section("Transfer between languages", tuple(content), brief=brief)


def _in_brief(matrix: TransferMatrix) -> tuple[str, str, str]:
    """Task and method, the first training language with its zero-shot mean, and the others with theirs."""
    first, *others = (
        f"{source}: {ABSENT if mean is None else mean.text()}" for source, mean in matrix.zero_shot.items()
    )
    return f"{matrix.task} {matrix.method}", first, "; ".join(others)


def transfer_heat_map(matrix: TransferMatrix) -> str:
    """Test languages down, training languages across; a frame where they are the same."""
    values = matrix.means().T  # [test languages, training languages]
    codes = matrix.languages
    with letters():
        figure = Figure(figsize=(WIDTH, 1.3 + 0.21 * len(codes)), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(values, cmap="cividis", aspect="auto")  # the same for color-blind eyes
        for (row, column), value in np.ndenumerate(values):
            dark = is_dark(image.to_rgba(np.array([value]))[0])
            axes.text(
                column,
                row,
                f"{value:.0f}",
                ha="center",
                va="center",
                color="white" if dark else "black",
                fontsize=_SMALL,
            )
            if codes[row] == matrix.trained_on[column]:
                frame = Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor="#D55E00")
                frame.set_linewidth(1.8)
                axes.add_patch(frame)
        axes.set_xticks(range(len(matrix.trained_on)), matrix.trained_on)
        axes.set_yticks(range(len(codes)), [f"{language(code).name}  {code}" for code in codes])
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.set_xlabel("trained on")
        axes.xaxis.set_label_position("top")
        label = f"{matrix.metric} (%), mean over seeds; framed: trained on"
        figure.colorbar(image, ax=axes, label=label, location="bottom", fraction=0.04, pad=0.02)
        return svg_text(figure)


def _matrix(matrix: TransferMatrix, name: str) -> Table:
    scores = {(each.trained_on, each.language): f"{each.score.mean:.1f}" for each in matrix.scores}
    rows = [
        (
            language(code).name,
            *(f"{scores[source, code]}{' *' if source == code else ''}" for source in matrix.trained_on),
        )
        for code in matrix.languages
    ]
    means = [matrix.zero_shot[source] for source in matrix.trained_on]
    rows.append(("zero-shot mean", *(ABSENT if mean is None else f"{mean.mean:.1f}" for mean in means)))
    deviations = [None if mean is None else mean.deviation for mean in means]
    rows.append(("± over seeds", *(ABSENT if each is None else f"{each:.1f}" for each in deviations)))
    return Table(
        f"{name}: tested on, trained on",
        ("tested on", *matrix.trained_on),
        tuple(rows),
        f"{matrix.metric} in percent, mean over seeds; * in the language trained on, which also chose the "
        "checkpoint. Zero-shot mean: over the other languages, and its standard deviation over seeds.",
    )


def _kinship(matrix: TransferMatrix, name: str) -> Table:
    rows = [
        (
            each.trait,
            f"{each.sharing} of {each.pairs}",
            number_text(each.score_shared, ".1f"),
            number_text(each.score_other, ".1f"),
            number_text(each.rho, "+z.2f"),
            number_text(each.adjusted, "+z.2f"),
            interval(each.low, each.high, "+z.2f"),
            number_text(each.p_value, ".2g"),
        )
        for each in matrix.kinship
    ]
    return Table(
        f"{name}: transfer and kinship",
        ("the same", "pairs", "mean score", "of others", "rho", "adjusted rho", "95 % interval", "p"),
        tuple(rows),
        "Over pairs of a training and another test language: 1 if the language table gives both the same "
        "top-level family (or script), else 0; Spearman's rho with the mean score over seeds. Adjusted: with "
        "what is left of the scores without the effects of each training and each test language. Interval: "
        "test languages drawn again, for these training languages; p: families (or scripts) given to the "
        "languages at random. Not corrected for two tests.",
    )


def transfer_answer(matrix: TransferMatrix) -> str:
    """The best language to train on, and whether kinship explains scores, in a sentence or two."""
    means = {source: mean for source, mean in matrix.zero_shot.items() if mean is not None}
    what = f"{matrix.task} {matrix.method}"
    if not means:
        return f"{what}: no language was scored that was not trained on."
    best = max(means, key=lambda source: means[source].mean)
    said = f"{what}: trained on {language(best).name} it scores highest elsewhere, {means[best].text()}."
    for kinship in matrix.kinship:
        if kinship.adjusted is not None and kinship.low is not None and kinship.high is not None:
            ruling = "decided" if kinship.low > 0 or kinship.high < 0 else "undecided"
            said += (
                f" Rank correlation of the score with sharing a {kinship.trait} {kinship.adjusted:+.2f} "
                f"(95 % interval {kinship.low:+.2f} to {kinship.high:+.2f}), {ruling}."
            )
    return said
