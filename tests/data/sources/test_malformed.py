"""Every kind of malformed input is refused with its file, its line and what is wrong."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlprompt.data import DataError, check_folder, open_source, task

GOOD = '{"premise": "a", "hypothesis": "b", "label": 0}\n'
TAGGED = '{"tokens": ["Rome"], "tags": ["B-LOC"]}\n'
XNLI = "language\tgold_label\tsentence1\tsentence2\tpairID\n"
PAWSX = "id\tsentence1\tsentence2\tlabel\n"
WORD = "1\tYes\tyes\tINTJ\t_\t_\t0\troot\t_\t_\n"


@dataclass(frozen=True)
class Case:
    """A file, and what has to be said of it."""

    path: str
    content: str | bytes
    line: int | None
    said: str
    task: str = "xnli"
    language: str = "en"
    split: str = "test"


PLAIN = "xnli/en.test.jsonl"
CASES = {
    # JSON Lines
    "empty file": Case(PLAIN, "", None, "the file is empty"),
    "only blank lines": Case(PLAIN, "\n\n", None, "no usable xnli rows for en test"),
    "invalid JSON": Case(PLAIN, GOOD + "{'a'}\n", 2, "invalid JSON (Expecting property name"),
    "cut-off JSON": Case(PLAIN, GOOD + GOOD[:20], 2, "invalid JSON"),
    "endlessly nested JSON": Case(PLAIN, "[" * 100_000 + "\n", 1, "invalid JSON"),
    "JSON that is a list": Case(PLAIN, GOOD + '["a", "b", 0]\n', 2, "JSON but no object"),
    "JSON that is a number": Case(PLAIN, "3\n", 1, "JSON but no object"),
    "missing text column": Case(PLAIN, '{"premise": "a", "label": 0}\n', 1, "missing column 'hypothesis'"),
    "missing label": Case(PLAIN, GOOD + '{"premise": "a", "hypothesis": "b"}\n', 2, "missing column 'label'"),
    "unknown label": Case(
        PLAIN, GOOD.replace("0", '"maybe"'), 1, "unknown label 'maybe'. Labels of xnli: entailment"
    ),
    "label too high": Case(
        PLAIN, GOOD.replace("0", "3"), 1, "label 3 is out of range. Labels of xnli are 0 to 2"
    ),
    "label below zero": Case(PLAIN, GOOD.replace("0", "-1"), 1, "label -1 is out of range"),
    "label that is null": Case(PLAIN, GOOD.replace("0", "null"), 1, "unknown label None"),
    "label that is true": Case(PLAIN, GOOD.replace("0", "true"), 1, "unknown label True"),
    "label that is a fraction": Case(PLAIN, GOOD.replace("0", "1.0"), 1, "unknown label 1.0"),
    "blank premise": Case(PLAIN, GOOD + GOOD.replace('"a"', '" "'), 2, "premise is blank"),
    "blank hypothesis": Case(PLAIN, GOOD.replace('"b"', '""'), 1, "hypothesis is blank"),
    "premise that is null": Case(PLAIN, GOOD.replace('"a"', "null"), 1, "premise is not a string but null"),
    "premise that is a number": Case(
        PLAIN, GOOD.replace('"a"', "5"), 1, "premise is not a string but a number"
    ),
    "bad UTF-8": Case(PLAIN, GOOD.encode() + b'{"premise": "\xff"}\n', 2, "not UTF-8: byte 0xff at byte 14"),
    "Latin-1": Case(PLAIN, GOOD.replace("a", "é").encode("latin-1"), 1, "not UTF-8"),
    "UTF-16": Case(PLAIN, GOOD.encode("utf-16"), 1, "NUL byte"),
    "byte-order mark": Case(PLAIN, b"\xef\xbb\xbf" + GOOD.encode(), 1, "byte-order mark"),
    "NUL byte": Case(PLAIN, GOOD + GOOD.replace("a", "\0"), 2, "NUL byte"),
    "not gzip": Case("xnli/en.test.jsonl.gz", GOOD, 1, "not a gzip file"),
    "truncated gzip": Case(
        "xnli/en.test.jsonl.gz", gzip.compress(GOOD.encode() * 5, mtime=0)[:-12], None, "truncated or damaged"
    ),
    "damaged gzip": Case(
        "xnli/en.test.jsonl.gz",
        gzip.compress(GOOD.encode(), mtime=0)[:10] + b"\xff" * 30,
        1,
        "truncated or damaged",
    ),
    "pairs in a tagging task": Case("ner/en.test.jsonl", GOOD, 1, "missing column 'tokens'", "ner"),
    "more tokens than tags": Case(
        "ner/en.test.jsonl",
        TAGGED + '{"tokens": ["a", "b"], "tags": ["O"]}\n',
        2,
        "2 tokens but 1 tag",
        "ner",
    ),
    "more tags than tokens": Case(
        "ner/en.test.jsonl", '{"tokens": ["a"], "tags": ["O", "O"]}\n', 1, "1 token but 2 tags", "ner"
    ),
    "empty sentence": Case(
        "ner/en.test.jsonl", TAGGED + '{"tokens": [], "tags": []}\n', 2, "a sentence without words", "ner"
    ),
    "empty token": Case(
        "ner/en.test.jsonl", '{"tokens": ["a", ""], "tags": [0, 0]}\n', 1, "token 2 is empty", "ner"
    ),
    "token that is a number": Case(
        "ner/en.test.jsonl", '{"tokens": [4], "tags": [0]}\n', 1, "token 1 is not a string", "ner"
    ),
    "tokens that are a string": Case(
        "ner/en.test.jsonl",
        '{"tokens": "a b", "tags": [0, 0]}\n',
        1,
        "tokens is not a list but a string",
        "ner",
    ),
    "unknown tag": Case(
        "ner/en.test.jsonl", '{"tokens": ["a"], "tags": ["B-MISC"]}\n', 1, "label 'B-MISC'", "ner"
    ),
    "tag out of range": Case(
        "pos/en.test.jsonl", '{"tokens": ["a"], "tags": [17]}\n', 1, "17 is out of range", "pos"
    ),
    "tag of another task": Case("pos/en.test.jsonl", TAGGED, 1, "unknown label 'B-LOC'", "pos"),
    # XNLI and MultiNLI
    "XNLI without its label column": Case(
        "xnli.test.tsv", XNLI.replace("gold_label", "label"), 1, "missing column 'gold_label'"
    ),
    "XNLI without a language column": Case(
        "xnli.test.tsv", "gold_label\tsentence1\tsentence2\n", 1, "'language'"
    ),
    "XNLI without anything": Case("xnli.test.tsv", "", None, "the file is empty"),
    "XNLI with a header only": Case("xnli.test.tsv", XNLI, None, "no usable xnli rows for en test"),
    "XNLI row cut off": Case(
        "xnli.test.tsv", XNLI + "en\tneutral\ta\n", 2, "3 columns where the header has 5"
    ),
    "XNLI row with a stray tab": Case(
        "xnli.test.tsv", XNLI + "en\tneutral\ta\tb\tc\td\n", 2, "6 columns where the header has 5"
    ),
    "XNLI unknown label": Case(
        "xnli.test.tsv", XNLI + "en\tNeutral\ta\tb\t1\n", 2, "unknown label 'Neutral'"
    ),
    "XNLI blank sentence": Case("xnli.test.tsv", XNLI + "en\tneutral\t \tb\t1\n", 2, "sentence1 is blank"),
    "XNLI with a byte-order mark": Case("xnli.test.tsv", "\ufeff" + XNLI, 1, "byte-order mark"),
    "XNLI JSON row without a language": Case(
        "xnli.test.jsonl",
        '{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n',
        1,
        "column 'language'",
    ),
    "XNLI JSON row without a label": Case(
        "xnli.test.jsonl",
        '{"language": "en", "sentence1": "a", "sentence2": "b"}\n',
        1,
        "column 'gold_label'",
    ),
    "MultiNLI row without a label": Case(
        "multinli_1.0_train.jsonl", '{"sentence1": "a", "sentence2": "b"}\n', 1, "'gold_label'", split="train"
    ),
    "XNLI-MT with an unknown label": Case(
        "multinli.train.en.tsv", "premise\thypo\tlabel\na\tb\t0\n", 2, "unknown label '0'", split="train"
    ),
    "XNLI-MT without its header": Case(
        "multinli.train.en.tsv",
        "a\tb\tneutral\n",
        1,
        "missing column 'premise', 'hypo', 'label'",
        split="train",
    ),
    # PAWS-X
    "PAWS-X unknown label": Case(
        "x-final/en/test_2k.tsv", PAWSX + "1\ta\tb\t2\n", 2, "unknown label '2'", "pawsx"
    ),
    "PAWS-X wrong columns": Case(
        "x-final/en/test_2k.tsv", PAWSX + "1\ta\tb\n", 2, "3 columns where", "pawsx"
    ),
    "PAWS-X without a column": Case(
        "x-final/en/test_2k.tsv", "id\tsentence1\tlabel\n", 1, "'sentence2'", "pawsx"
    ),
    # PAN-X
    "PAN-X line without a tab": Case(
        "en/test", "en:a\tO\nen:b O\n", 2, "no tab between token and tag", "ner"
    ),
    "PAN-X without tags": Case("en/test", "en:a\nen:b\n", 1, "XTREME's test files without tags", "ner"),
    "PAN-X three columns": Case("en/test", "en:a\tO\nen:b\tX\tO\n", 2, "3 columns instead of 2", "ner"),
    "PAN-X in another language": Case(
        "en/test", "en:a\tO\n\nde:b\tO\n", 3, "does not begin with 'en:'", "ner"
    ),
    "PAN-X without a prefix": Case("en/test", "en:a\tO\nb\tO\n", 2, "'b' does not begin with 'en:'", "ner"),
    "PAN-X unknown tag": Case("en/test", "en:a\tO\nen:b\tB-MISC\n", 2, "unknown tag 'B-MISC'", "ner"),
    "PAN-X empty token": Case("en/test", "en:\tO\n", 1, "an empty token", "ner"),
    "PAN-X empty file": Case("en/test", "", None, "the file is empty", "ner"),
    # CoNLL-U
    "CoNLL-U nine columns": Case(
        "en_ewt-ud-test.conllu", WORD + "2\ta\ta\tX\t_\t_\t0\troot\t_\n", 2, "9 columns instead of 10", "pos"
    ),
    "CoNLL-U unknown tag": Case(
        "en_ewt-ud-test.conllu", WORD.replace("INTJ", "UH"), 1, "unknown tag 'UH'", "pos"
    ),
    "CoNLL-U gap in the ids": Case(
        "en_ewt-ud-test.conllu", WORD + WORD.replace("1", "3"), 2, "id 3 is out of order after word 1", "pos"
    ),
    "CoNLL-U without a blank line": Case(
        "en_ewt-ud-test.conllu", WORD + WORD, 2, "id 1 is out of order after word 1", "pos"
    ),
    "CoNLL-U range backwards": Case(
        "en_ewt-ud-test.conllu", WORD + WORD.replace("1", "2-1", 1), 2, "id 2-1 is out of order", "pos"
    ),
    "CoNLL-U empty node out of place": Case(
        "en_ewt-ud-test.conllu", WORD + WORD.replace("1", "4.1", 1), 2, "id 4.1 is out of order", "pos"
    ),
    "CoNLL-U id that is no number": Case(
        "en_ewt-ud-test.conllu", WORD.replace("1", "a"), 1, "'a' is no CoNLL-U", "pos"
    ),
    "CoNLL-U comments without words": Case(
        "en_ewt-ud-test.conllu", WORD + "\n# sent_id = 2\n\n", 3, "a sentence without words", "pos"
    ),
    "CoNLL-U empty form": Case(
        "en_ewt-ud-test.conllu", WORD.replace("Yes", ""), 1, "an empty word form", "pos"
    ),
}


def write(root: Path, path: str, content: str | bytes) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_malformed_input_is_refused_with_file_line_and_reason(tmp_path, case):
    file = write(tmp_path, case.path, case.content)
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path)).load(task(case.task), case.language, case.split)
    error = caught.value
    assert error.file == str(file)
    assert case.said in str(error)
    assert str(error).startswith(f"{file}:{error.line}: " if error.line else f"{file}: ")
    if case.line is not None:
        assert error.line == case.line


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_checking_reports_what_loading_refuses(tmp_path, case):
    write(tmp_path, case.path, case.content)
    problems = check_folder(tmp_path).problems
    assert {problem.file for problem in problems} == {case.path}
    assert any(case.said in f"{problem.message}. {problem.fix}" for problem in problems)


# Files whose task, language or split cannot be told are listed when the data they may hold are asked for.
NOT_UNDERSTOOD = {
    "unknown language": ("xnli/xx.test.jsonl", GOOD, "unknown language 'xx'"),
    "unknown split": ("xnli/en.trian.jsonl", GOOD, "not a file that this package knows"),
    "JSON Lines of no known task": ("data/en.test.jsonl", '{"text": "a"}\n', "cannot tell which task"),
    "JSON Lines of two possible tasks": (
        "data/en.test.jsonl",
        '{"tokens": ["a"], "tags": [0]}\n',
        "which task",
    ),
    "unknown table": ("table.tsv", "a\tb\n", "not a file that this package knows"),
    "PAWS-X outside a language folder": ("final/test_2k.tsv", PAWSX, "'final' is no language code"),
    "PAWS-X without a split": ("x-final/en/rows.tsv", PAWSX, "cannot tell the split of this PAWS-X file"),
    "XNLI without a split": ("rows.tsv", XNLI, "cannot tell the split of this XNLI file"),
    "XNLI-MT without a language": (
        "rows.tsv",
        "premise\thypo\tlabel\n",
        "cannot tell the language of this XNLI-MT",
    ),
    "XNLI-MT in an unknown language": ("multinli.train.xx.tsv", "", "unknown language 'xx'"),
    "PAN-X in an unknown language": ("xx/train", "xx:a\tO\n", "unknown language 'xx'"),
    "CoNLL-U with another name": ("test.conllu", WORD, "cannot tell language, treebank and split"),
    "CoNLL-U in an unknown language": ("xx_proiel-ud-test.conllu", WORD, "unknown language 'xx'"),
    "unreadable file without a known name": ("data/en.test.jsonl.gz", "no gzip", "cannot tell which task"),
}


@pytest.mark.parametrize(("path", "content", "said"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD.keys())
def test_a_file_that_is_not_understood_is_named(tmp_path, path, content, said):
    file = write(tmp_path, path, content)
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path))
    assert "no benchmark data in this folder" in str(caught.value)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    (problem,) = check_folder(tmp_path).problems
    assert problem.file == path
    assert said in problem.message


def test_a_link_to_nowhere_cannot_be_read(tmp_path):
    (tmp_path / "xnli").mkdir()
    (tmp_path / PLAIN).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"en\.test\.jsonl: cannot be read \(No such file or directory\)"):
        open_source(str(tmp_path)).load(task("xnli"), "en", "test")
    assert check_folder(tmp_path).problems[0].file == PLAIN


def test_a_file_without_permission_cannot_be_read(tmp_path, monkeypatch):
    # A test may run as root, whom permissions do not stop: the refusal is simulated where the file is opened.
    file = write(tmp_path, PLAIN, GOOD)
    source = open_source(str(tmp_path))
    real_open = Path.open

    def refuse(self, *args, **kwargs):
        if self == file:
            raise PermissionError(13, "Permission denied")
        return real_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"en\.test\.jsonl: cannot be read \(Permission denied\)"):
        source.load(task("xnli"), "en", "test")


def test_a_file_that_vanishes_after_the_folder_was_opened_is_named(tmp_path):
    file = write(tmp_path, PLAIN, GOOD)
    source = open_source(str(tmp_path))
    file.unlink()
    for read in (source.load, source.fingerprint):
        with pytest.raises(DataError, match=r"en\.test\.jsonl: cannot be read"):
            read(task("xnli"), "en", "test")


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such folder\. Give DATA=<folder>"):
        open_source(str(tmp_path / "nowhere"))


def test_a_folder_that_is_a_file_is_named(tmp_path):
    file = write(tmp_path, "file.tsv", "")
    with pytest.raises(DataError, match=r"file\.tsv: this is a file, not a folder"):
        open_source(str(file))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no benchmark data in this folder"):
        open_source(str(tmp_path))


def test_a_folder_that_cannot_be_meant_is_refused_before_all_of_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("xlprompt.data.sources.inventory._MOST_FILES", 3)
    for number in range(5):
        write(tmp_path, f"{number}.txt", "")
    with pytest.raises(DataError, match="more than 3 files"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(tmp_path, limit):
    write(tmp_path, PLAIN, GOOD)
    for source in (open_source(str(tmp_path)), open_source("hub")):
        with pytest.raises(DataError, match=f"limit is {limit}. It has to be 1 or more"):
            source.load(task("xnli"), "en", "test", limit=limit)


def test_a_problem_after_the_limit_is_still_refused(tmp_path):
    write(tmp_path, PLAIN, GOOD * 20 + "{\n")
    with pytest.raises(DataError, match=r":21: invalid JSON"):
        open_source(str(tmp_path)).load(task("xnli"), "en", "test", limit=1)


def test_no_name_says_what_to_give_instead():
    with pytest.raises(DataError, match="no source is named.*DATA=mini, DATA=hub or DATA=<folder>"):
        open_source(" ")


@pytest.mark.parametrize("first", ["en.test.jsonl.gz", "old/xnli/en.test.jsonl"])
def test_a_split_that_is_there_twice_is_refused_with_both_files(tmp_path, first):
    write(tmp_path, f"xnli/{first}", gzip.compress(GOOD.encode()) if first.endswith("gz") else GOOD)
    write(tmp_path, PLAIN, GOOD)
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path)).load(task("xnli"), "en", "test")
    assert caught.value.file == str(tmp_path)
    assert "xnli en test is there 2 times" in str(caught.value)
    assert first in str(caught.value)
    assert PLAIN in str(caught.value)


def test_two_formats_of_one_split_are_refused(tmp_path):
    write(tmp_path, "xnli/en.train.jsonl", GOOD)
    row = {"genre": "fiction", "gold_label": "neutral", "sentence1": "a", "sentence2": "b", "pairID": "1"}
    write(tmp_path, "multinli_1.0/multinli_1.0_train.jsonl", json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"is there 2 times.*Move all but one"):
        open_source(str(tmp_path)).load(task("xnli"), "en", "train")


def test_at_least_thirty_kinds_of_malformed_input_are_tried():
    assert len(CASES) >= 30
