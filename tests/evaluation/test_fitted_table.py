"""Tables on terminals from 40 columns on: every figure stands whole in one line, whatever the table."""

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from xlprompt.evaluation import LanguageResult, Score, TransferReport, score_table
from xlprompt.evaluation.fitted_table import show_table
from xlprompt.evaluation.scores.alignment_table import alignment_table, sweep_table

WIDTHS = [30, 40, 60, 80, 120]


def printed(table, width):
    console = Console(file=io.StringIO(), width=width)
    show_table(console, table)
    return console.file.getvalue()


def cells_of_figures(table):
    for column in table.columns:
        if column.justify == "right":
            yield from (str(cell).strip() for cell in column.cells)


@pytest.fixture
def report():
    codes = ("en", "de", "sw", "th", "eu")
    results = {
        code: LanguageResult(
            code,
            100,
            900,
            {"accuracy": Score(100.0 - 9 * i, 1.3), "f1": Score(50.3, 12.1)},
            93.4,
            "PROPN",
            55.0,
            i > 3,
        )
        for i, code in enumerate(codes)
    }
    return TransferReport("pos", "test", "accuracy", "en", results)


def tables(report):
    wide = Table(title="a study", box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for name in ("task", "method", "variant"):
        wide.add_column(name, no_wrap=True)
    for name in ("share", "seeds", "English", "zero-shot", "gap", "min"):
        wide.add_column(name, justify="right", no_wrap=True)
    wide.add_row(
        "xnli", "finetune", "a-very-long-name-of-a-variant", "100.02", "3/3", *["100.0 ± 10.5"] * 3, "123.4"
    )
    kinds = ("mean", "mean_scale", "principal", "subspace")
    points = {kind: {5: 43.21, 100: 51.0, None: 60.0} for kind in kinds}
    return {
        "scores": score_table(report),
        "alignment": alignment_table(report, dict.fromkeys(kinds, report)),
        "sweep": sweep_table("a sweep", "sentences", 40.0, points),
        "study": wide,
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["scores", "alignment", "sweep", "study"])
def test_no_figure_is_cut_or_broken_at_any_width(report, name, width):
    table = tables(report)[name]
    text = printed(table, width)
    assert "…" not in text
    for cell in cells_of_figures(table):
        assert any(cell in line for line in text.splitlines()), cell
    if width >= 40:
        assert max(map(len, text.splitlines())) <= width


def test_each_part_of_a_table_names_its_rows(report):
    text = printed(score_table(report), 40)
    parts = text.count("─\n")
    assert parts == 2
    assert text.count("Swahili") == text.count("Basque") == parts
    assert text.count("trained on English") == 1


def test_a_table_that_fits_is_printed_as_it_is(report):
    console = Console(file=io.StringIO(), width=120)
    console.print(score_table(report))
    assert printed(score_table(report), 120) == console.file.getvalue()
