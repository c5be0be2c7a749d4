"""What a folder holds beside its data is named with what is not understood about it, and nothing waits."""

import os
import socket
from pathlib import Path

import pytest

from xlprompt.data import DataError, check_folder, open_source, task

XNLI_LINE = '{"language": "de", "gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n'
PAIR = '{"premise": "a", "hypothesis": "b", "label": 0}\n'


def write(path: Path, content: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("swa/test.txt", "Tanzania B-LOC\n. O\n\nLeo B-DATE\n", "one word and its tag a line"),
        ("swa/dev.txt", "Serikali NOUN\nya ADP\n", "one word and its tag a line"),
        ("test.txt", "-DOCSTART- -X- -X- O\n\nAnna NNP B-NP B-PER\n", "one word and its tag a line"),
        ("wnut.tsv", "word\tO\nRome\tB-LOC\n", "one word and its tag a line"),
        ("xnli.dev.ko.tsv", "sentence1\tsentence2\tgold_label\na\tb\tneutral\n", "has no column 'language'"),
        ("xnli/en.test.csv", "premise,hypothesis,label\n", "CSV is not read. Give JSON Lines"),
        ("xnli/test.parquet", "PAR1", "Parquet is not read. Give JSON Lines"),
        ("xnli/en.train.json", "[]", "JSON that is not in lines is not read"),
        ("xnli/en.test.xlsx", "PK", "a spreadsheet is not read"),
        ("data.tar.gz", "", "an archive, or packed other than by gzip. Unpack it"),
        ("xnli/en.test.jsonl.zst", "", "an archive, or packed other than by gzip. Unpack it"),
        ("xnli/en_test.jsonl", PAIR, "its name does not say language and split. Name it"),
        ("sources.jsonl", PAIR, "its name does not say language and split"),
        ("readme.csv", "a,b\n", "CSV is not read"),
        ("pairs.tsv", "a\tb\n", "its columns (a, b) are no benchmark's"),
        ("xnli/en.test.jsonl", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("xnli/English/test.jsonl", PAIR, "cannot tell the language: 'English' is no language code"),
    ],
)
@pytest.mark.parametrize("beside", [True, False], ids=["beside data", "alone"])
def test_each_file_is_named_with_what_is_not_understood_about_it(tmp_path, path, content, said, beside):
    write(tmp_path / path, content)
    if beside:
        write(tmp_path / "xnli" / "sw.test.jsonl", PAIR)
    (problem,) = check_folder(tmp_path).problems
    assert problem.file == path
    assert said in f"{problem.message}. {problem.fix}"
    if not beside:
        with pytest.raises(DataError, match="First of 1 problems: "):
            open_source(str(tmp_path))


def test_files_that_are_no_data_are_noted_and_documents_are_not(tmp_path):
    write(tmp_path / "xnli" / "sw.test.jsonl", PAIR)
    for name in ("README.md", "LICENSE.txt", "CITATION.cff", "stats.xml", "eval.log", "run.py"):
        write(tmp_path / name)
    write(tmp_path / "xnli.test.de.tsv", "language\tgold_label\tsentence1\tsentence2\n")
    report = check_folder(tmp_path)
    assert report.problems == []
    assert [note for note in report.warnings if "left out" in note] == [
        "left out, XNLI-MT's translation of a test set into English, by its name: xnli.test.de.tsv",
        "left out, not taken for data: eval.log, run.py, stats.xml",
    ]


def test_pipes_sockets_and_devices_are_noted_and_never_opened(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", PAIR)
    os.mkfifo(tmp_path / "notes")
    os.mkfifo(tmp_path / "xnli" / "de.test.jsonl")
    (tmp_path / "zero.tsv").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket"))
    report = check_folder(tmp_path)
    assert report.problems == []
    assert [note for note in report.warnings if "left out" in note] == [
        "left out, a device is not read: zero.tsv",
        "left out, a pipe is not read: notes, xnli/de.test.jsonl",
        "left out, a socket is not read: socket",
    ]
    assert len(open_source(str(tmp_path)).load(task("xnli"), "en", "test")) == 1


def test_links_to_nowhere_and_folders_called_like_files_are_problems(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", PAIR)
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "de.test.jsonl").mkdir()
    assert [(problem.file, problem.message) for problem in check_folder(tmp_path).problems] == [
        ("circle", "cannot be read (Too many levels of symbolic links)"),
        ("de.test.jsonl", "a folder with the name of a file"),
        ("gone", "cannot be read (No such file or directory)"),
    ]


def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path, monkeypatch):
    write(tmp_path / "xnli" / "en.test.jsonl", PAIR)
    shut = str(tmp_path / "shut")

    real = os.scandir
    (tmp_path / "shut").mkdir()

    def scandir(path):
        if str(path) == shut:
            raise PermissionError(13, "Permission denied", shut)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (problem,) = check_folder(tmp_path).problems
    assert (problem.file, problem.message) == ("shut", "cannot be read (Permission denied)")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-this-name/data", "\udcff"])
def test_a_name_that_no_folder_can_have_is_no_such_folder(tmp_path, name):
    for opened in (check_folder, lambda path: open_source(str(path))):
        with pytest.raises(DataError, match="there is no such folder|File name too long") as caught:
            opened(name if name.startswith("~") else tmp_path / name)
        str(caught.value).encode()


def test_names_are_escaped_in_a_report_and_kept_for_reading(tmp_path):
    for name in ("\udcff", "a\nb", "\x1b[31m", "[red]%?ü"):
        write(tmp_path / name / "xnli" / f"{'de' if name == '[red]%?ü' else 'xx'}.test.jsonl", PAIR)
    report = check_folder(tmp_path)
    assert [found.files for found in report.found] == [("[red]%?ü/xnli/de.test.jsonl",)]
    assert {problem.file.split("/")[0] for problem in report.problems} == {"\\xff", "a\\nb", "\\x1b[31m"}
    assert len(open_source(str(tmp_path)).load(task("xnli"), "de", "test")) == 1


def test_an_error_says_on_one_line_and_shortly_what_it_quotes():
    error = DataError("key \x1b]0;title\x07 " + "x" * 10_000, file="a\nb\udcff", line=1, fix="\x9b\ud83d")
    said = str(error)
    assert said.startswith("a\\nb\\xff:1: key \\x1b]0;title\\x07 xxx")
    assert said.endswith(" \\x9b\\ud83d")
    assert len(said) < 1100


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"premise": "a", "hypothesis": "b", "label": 0, "label": 1}', "the key 'label' stands twice"),
        ('{"premise": "a", "hypothesis": "b", "label": 0, "x": {"y": 1, "y": 2}}', "stands twice"),
        ('{"premise": "a", "hypothesis": "b", "label": ' + "9" * 5000 + "}", "a number that is too long"),
        ('{"premise": "a", "hypothesis": "b", "label": NaN}', "unknown label nan"),
        ('{"premise": "a", "hypothesis": "b", "label": 1e999}', "unknown label inf"),
        ('{"x": ' * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_json_that_python_reads_and_nobody_means_is_a_problem_with_its_line(tmp_path, content, said):
    write(tmp_path / "xnli" / "en.test.jsonl", PAIR + content + "\n")
    (problem,) = check_folder(tmp_path).problems
    assert problem.line == 2
    assert said in problem.message


def test_a_line_without_end_is_a_problem_and_not_read_into_memory(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", PAIR + "x" * (17 << 20))
    (problem,) = check_folder(tmp_path).problems
    assert (problem.line, problem.message) == (2, "the line is longer than 16 MiB")


@pytest.mark.parametrize("word", ["dev", "devel", "development", "val", "valid", "validation"])
@pytest.mark.parametrize(
    ("path", "content", "name", "language"),
    [
        ("xnli/de.{}.jsonl", PAIR, "xnli", "de"),
        ("xnli/de/{}.jsonl", PAIR, "xnli", "de"),
        ("pos/de/{}.jsonl", '{"tokens": ["a"], "tags": [0]}\n', "pos", "de"),
        ("xnli.{}.tsv", "language\tgold_label\tsentence1\tsentence2\nde\tneutral\ta\tb\n", "xnli", "de"),
        ("xnli.{}.jsonl", XNLI_LINE, "xnli", "de"),
        ("x-final/de/{}_2k.tsv", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n", "pawsx", "de"),
        ("de/{}", "de:a\tO\n", "ner", "de"),
        ("de_gsd-ud-{}.conllu", "1\ta\t_\tDET\t_\t_\t0\troot\t_\t_\n", "pos", "de"),
    ],
)  # fmt: skip
def test_a_development_set_has_the_same_names_in_every_format(tmp_path, word, path, content, name, language):
    write(tmp_path / path.format(word), content)
    report = check_folder(tmp_path)
    assert report.problems == []
    assert [(found.task, found.language, found.split) for found in report.found] == [
        (name, language, "validation")
    ]


def test_two_names_of_one_split_are_ambiguous(tmp_path):
    for name in ("de.dev.jsonl", "de.validation.jsonl"):
        write(tmp_path / "xnli" / name, PAIR)
    (problem,) = check_folder(tmp_path).problems
    assert "xnli de validation is there 2 times" in problem.message
