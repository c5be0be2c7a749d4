"""Copies of the benchmarks that a spreadsheet or pandas wrote are read without its marks, and no others."""

import csv
import io
from pathlib import Path

import pytest

from xlprompt.data import TASKS, check_folder, open_source, task
from xlprompt.data.sources.quoting import style_of
from xlprompt.data.sources.unlabeled import read_rows

HEADER = ["id", "sentence1", "sentence2", "label"]
ROWS = [["1", 'Sie sagte zweimal "nein" .', "Sie sagte nein .", "1"], ["2", '" A , b', "A", "0"]]


def written(rows: list[list[str]], quoting: int) -> str:
    """The file as the csv module and pandas write it."""
    file = io.StringIO()
    csv.writer(file, delimiter="\t", quoting=quoting, lineterminator="\n").writerows(rows)
    return file.getvalue()


def plain(rows: list[list[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


QUOTING = [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]


@pytest.mark.parametrize("quoting", QUOTING)
def test_a_quoted_copy_of_pawsx_gives_the_texts_of_the_published_file(tmp_path, quoting):
    for folder, content in (("a", plain([HEADER, *ROWS])), ("b", written([HEADER, *ROWS], quoting))):
        write(tmp_path / folder / "x-final" / "de" / "test_2k.tsv", content)
    first, second = (
        open_source(str(tmp_path / folder)).load(task("pawsx"), "de", "test").to_dict() for folder in "ab"
    )
    assert first == second
    assert first["first"] == [ROWS[0][1], ROWS[1][1]]
    assert check_folder(tmp_path / "b").problems == []


@pytest.mark.parametrize("quoting", QUOTING)
def test_a_quoted_copy_of_xnli_is_told_by_language_as_the_published_file_is(tmp_path, quoting):
    table = [["language", "gold_label", "sentence1", "sentence2"], ["de", "neutral", 'a "b"', "c"]]
    write(tmp_path / "xnli.dev.tsv", written(table, quoting))
    assert open_source(str(tmp_path)).load(task("xnli"), "de", "validation")["first"] == ['a "b"']


@pytest.mark.parametrize("quoting", QUOTING)
def test_a_quoted_copy_of_translated_training_text_is_read_without_its_marks(tmp_path, quoting):
    table = [["premise", "hypo", "label"], ['a "b"', "c", "contradictory"]]
    write(tmp_path / "multinli.train.de.tsv", written(table, quoting))
    assert open_source(str(tmp_path)).load(task("xnli"), "de", "train")["first"] == ['a "b"']


@pytest.mark.parametrize("quoting", QUOTING)
@pytest.mark.parametrize("header", [["premise", "hypothesis"], None])
def test_a_quoted_file_to_predict_is_read_without_its_marks(quoting, header):
    table = ([header] if header else []) + [['A "big" dog', "A dog"]]
    rows = read_rows(TASKS["xnli"], Path("pairs.tsv"), io.BytesIO(written(table, quoting).encode()))
    assert [row.texts for row in rows] == [('A "big" dog', "A dog")]


def test_marks_that_nothing_closes_leave_a_file_as_it_is(tmp_path):
    rows = [["1", '"Nein" , sagte sie .', 'Sie sagte " nein .', "1"], ["2", '" A "', '"', "0"]]
    write(tmp_path / "x-final" / "de" / "test_2k.tsv", plain([HEADER, *rows]))
    loaded = open_source(str(tmp_path)).load(task("pawsx"), "de", "test")
    assert list(loaded["first"]) == ['"Nein" , sagte sie .', '" A "']


def test_a_text_in_marks_that_are_nowhere_doubled_keeps_them(tmp_path):
    write(tmp_path / "x-final" / "de" / "test_2k.tsv", plain([HEADER, ["1", '"Nein ."', "Nein .", "1"]]))
    assert open_source(str(tmp_path)).load(task("pawsx"), "de", "test")["first"] == ['"Nein ."']


def test_quoted_rows_in_a_file_that_cannot_be_quoted_are_named_with_their_line(tmp_path):
    rows = [["1", '"a ""b"" c"', "d", "1"], ["2", '" stray', "e", "0"]]
    write(tmp_path / "x-final" / "de" / "test_2k.tsv", plain([HEADER, *rows]))
    (problem,) = check_folder(tmp_path).problems
    assert (problem.line, problem.message[:16]) == (2, "quoted as in CSV")


def test_an_export_to_json_lines_that_kept_the_marks_is_noted(tmp_path):
    write(
        tmp_path / "xnli" / "eu.test.jsonl",
        '{"id": "n7", "premise": "\\"a \\"\\"b\\"\\"\\"", "hypothesis": "c", "label": 0}\n',
    )
    report = check_folder(tmp_path)
    assert report.problems == []
    assert [
        warning
        for warning in report.warnings
        if "1 row looks quoted as in CSV" in warning and "n7" in warning
    ]


def test_one_doubled_mark_among_many_stray_ones_is_a_text_of_its_own():
    assert style_of([["a"], ['"x ""y"""'], ['"z'], ['z"']]) == "plain"


def test_a_header_that_names_a_column_twice_is_refused(tmp_path):
    twice = ["id", "sentence1", "sentence2", "sentence1", "label"]
    for path in ("x-final/fr/test_2k.tsv", "x-final/fr/train.tsv"):
        write(tmp_path / path, plain([twice, ["1", "a", "b", "c", "0"]]))
    language = ["language", "gold_label", "sentence1", "sentence2", "language"]
    write(tmp_path / "xnli.test.tsv", plain([language, ["de", "neutral", "a", "b", "fr"]]))
    problems = check_folder(tmp_path).problems
    assert [(problem.line, "twice" in problem.message) for problem in problems] == [(1, True)] * 3
    with pytest.raises(ValueError, match="text:1: the header names the column 'premise' twice"):
        read_rows(TASKS["xnli"], Path("text"), io.BytesIO(b"premise\thypothesis\tpremise\na\tb\tc\n"))
