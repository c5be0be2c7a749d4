"""Sections on a terminal of 80 columns: headings are broken, figures are not, and nothing is cut off."""

import io
from pathlib import Path

from rich.console import Console

from xlprompt.cli.tables import show_sections, show_tables
from xlprompt.evaluation.terminal import open_console
from xlprompt.studies.reports.page import Section, Table
from xlprompt.studies.reports.published_runs import read_published

RESULTS = Path(__file__).resolve().parents[2] / "experiments" / "results"
COLUMNS = ("method", "alignment", "English", "zero-shot", "collapsed", "gain [95 %]", "better, worse")
ROWS = (
    ("prompt", "none", "93.7 ± 0.0", "43.8 ± 2.9", "7", "–", "–"),
    ("finetune", "mean_scale", "95.2 ± 0.1", "61.6 ± 0.8", "0", "+17.7 [-1.3, 36.7]", "14 / 0"),
    ("head", "mean_scale", "100.0 ± 0.0", "58.8 ± 1.2", "1", "+11.7 [10.0, 13.4]", "2 / 0"),
)


def test_every_figure_stands_whole_in_its_line(tmp_path):
    console = Console(file=io.StringIO(), width=80)
    show_sections(console, [Section("s", (Table("scores", COLUMNS, ROWS, "note"),), "")], tmp_path)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for row in ROWS:
        (line,) = [line for line in lines if row[0] in line and row[1] in line]
        assert line.split() == " ".join(row).split()
    heading = " ".join(lines)
    assert all(word in heading for name in COLUMNS for word in name.split())


def test_long_words_are_folded_and_not_cut(tmp_path):
    console = Console(file=io.StringIO(), width=40)
    table = Table("t", ("variant", "score"), (("a" * 60, "81.2 ± 0.1"),), "")
    show_sections(console, [Section("s", (table,), "")], tmp_path)
    assert console.file.getvalue().count("a") >= 60
    assert "81.2 ± 0.1" in console.file.getvalue()


def drawn(table, width):
    console = open_console(file=io.StringIO(), width=width)
    show_tables(console, [table])
    return console.file.getvalue()


def test_every_table_of_a_published_study_has_all_its_words_at_80_columns():
    published = read_published(RESULTS / "gemma" / "runs.jsonl.gz")
    tables = [
        part for section in published.sections.values() for part in section.content if isinstance(part, Table)
    ]
    assert tables
    for table in tables:
        narrow, wide = drawn(table, 80), drawn(table, 400)
        assert max(map(len, narrow.splitlines())) <= 80, table.title
        assert {word for word in wide.split() if "─" not in word} <= {*narrow.split()}, table.title
