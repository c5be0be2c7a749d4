"""What is wrong with an own task's folder is said with file, row and field, by loading and by the check."""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xlprompt.data import DataError, check_folder, open_source

TOPICS = "text,label\na match,sport\nthe soup,food\n"
BOTH = {"en.train.csv": TOPICS, "en.test.csv": TOPICS}
ROW = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
SENTENCE = '{"tokens": ["a", "b"], "tags": ["O", "B-X"]}\n'
TAGGED = "a O\nb B-X\n\n"


class Case(NamedTuple):
    files: dict[str, str | bytes]
    file: str
    line: int | None
    said: str


def train(content: str | bytes, name: str = "en.train.csv", **more: str) -> dict[str, str | bytes]:
    return {name: content, **more}


def task(content: str) -> dict[str, str]:
    return {**BOTH, "task.yaml": content}


CASES = {
    "no column of labels": Case(
        train("text,kind\na,x\n"), "en.train.csv", None,
        "cannot tell the column of labels among text, kind. Say it in task.yaml: label:",
    ),
    "no column of texts": Case(train("id,label\n1,x\n"), "en.train.csv", None, "no column of texts"),
    "columns that could be texts": Case(
        train("text,label_text,label\na,b,x\n"), "en.train.csv", None,
        "are the texts: text, label_text. Say it in task.yaml: texts: [text, label_text] without those",
    ),
    "entities by tags that are none": Case(
        train("a O\nb ORG\nc PER\n", "en.train.conll", **{"task.yaml": "metrics: [f1]\n"}), "task.yaml", None,
        "metrics: f1 counts entities, whose tags are O, B-… and I-… (E-… and S-… too), and 'ORG' is none",
    ),
    "two scripts of a language in a column": Case(
        {"train.csv": "text,label,language\na,x,zh-Hans\nb,y,zh-Hant\nc,x,en\n"}, "train.csv", None,
        "language tells zh-Hans and zh-Hant, both Chinese (zh)",
    ),
    "spans in CSV": Case(
        train("context,question,answers\na b,c,b\na b,c,b\n"), "en.train.csv", 3,
        "answers is not a list but a string. An answer has a text and a start: give JSON Lines or Parquet",
    ),
    "columns of words named by no number": Case(
        train(TAGGED, "en.train.conll", **{"task.yaml": "texts: word\n"}), "task.yaml", None,
        "texts: is 'word', and a file of words in columns has no names for them",
    ),
    "an empty label": Case(train(TOPICS + "more,\n"), "en.train.csv", 4, "label is empty"),
    "an unknown label in the test alone": Case(
        BOTH | {"en.test.csv": TOPICS + "new,politics\n"}, "en.test.csv", 4,
        "unknown label 'politics' in label. The labels are food, sport",
    ),
    "a number that is a class's place and no label": Case(
        train("text,label\na,1\nb,2\n", **{"de.test.csv": "text,label\na,0\n"}), "de.test.csv", 2,
        "unknown label '0' in label. The labels are 1, 2",
    ),
    "a label with a fraction in CSV": Case(
        train("text,label\na,1.0\nb,2.5\n"), "en.train.csv", 3, "label is 2.5, a number with a fraction"
    ),
    "a label with a fraction in JSON": Case(
        train(ROW + '{"text": "c", "label": 1.5}\n', "en.train.jsonl"), "en.train.jsonl", 3,
        "label is 1.5, a number with a fraction",
    ),
    "a label that is null": Case(
        train(ROW + '{"text": "c", "label": null}\n', "en.train.jsonl"), "en.train.jsonl", 3,
        "label is not a label but null",
    ),
    "one label for all": Case(
        train("text,label\na,x\nb,x\n"), "en.train.csv", None, "all training rows have the label 'x'"
    ),
    "labels that differ in capitals": Case(
        train("text,label\na,Sport\nb,sport\n"), "en.train.csv", None,
        "the labels 'Sport' and 'sport' differ in capitals or spaces alone",
    ),
    "labels that are texts": Case(
        train("text,label\n" + "".join(f"a,{n}x\n" for n in range(30))), "en.train.csv", None,
        "30 labels in 30 rows: 'label' is hardly the label",
    ),
    "a text that is null": Case(
        BOTH | {"pl.test.jsonl": ROW.replace('"a"', "null").replace('"x"', '"food"')}, "pl.test.jsonl", 1,
        "text is not a string but null",
    ),
    "a blank text": Case(BOTH | {"pl.test.csv": "text,label\n ,food\n"}, "pl.test.csv", 2, "text is blank"),
    "another column in another language": Case(
        BOTH | {"pl.test.csv": "tekst,label\na,food\n"}, "pl.test.csv", 1, "missing column 'text'"
    ),
    "a column twice": Case(
        train("text,label,label\na,x,y\n"), "en.train.csv", 1, "the header names the column 'label' twice"
    ),
    "the header again": Case(train(TOPICS + TOPICS), "en.train.csv", 4, "the header stands here again"),
    "a cell too many": Case(
        train(TOPICS + "a, b,food\n"), "en.train.csv", 4, "3 columns where the header has 2"
    ),
    "a stray quotation mark": Case(
        train('text,label\n"a" match,sport\nb,food\n'), "en.train.csv", 2, "not CSV ("
    ),
    "a quotation mark that nothing closes": Case(
        train(TOPICS + '"never closed,food\nc,food\n'), "en.train.csv", 4, "not CSV (unexpected end of data)"
    ),
    "a byte-order mark": Case(
        train(b"\xef\xbb\xbf" + TOPICS.encode()), "en.train.csv", 1, "the file begins with a byte-order mark"
    ),
    "another encoding": Case(
        train("text,label\nschön,x\nb,y\n".encode("latin-1")), "en.train.csv", 2, "not UTF-8: byte 0xf6"
    ),
    "an empty file": Case(train(""), "en.train.csv", None, "the file is empty"),
    "a header without rows": Case(train("text,label\n"), "en.train.csv", None, "no rows"),
    "no training set": Case(
        {"en.test.csv": TOPICS, "task.yaml": "kind: classification\n"}, ".", None,
        "no training set, and so no labels",
    ),
    "no file at all": Case({"task.yaml": "name: mine\n"}, ".", None, "no file of this task"),
    "a language told nowhere": Case(
        {"train.csv": TOPICS, "test.csv": TOPICS}, "test.csv", None,
        "cannot tell the language. Name the file",
    ),
    "an unknown language in a column": Case(
        train("text,label,language\na,x,en\nb,y,klingonese\n", "train.csv"), "train.csv", 3,
        "unknown language 'klingonese' in language",
    ),
    "two files of one split": Case(
        BOTH | {"en/train.csv": TOPICS}, ".", None,
        "mine en train is there 2 times: en.train.csv, en/train.csv",
    ),
    "invalid JSON": Case(train(ROW + "{\n", "en.train.jsonl"), "en.train.jsonl", 3, "invalid JSON"),
    "a key that a row lacks": Case(
        train(ROW + '{"text": "c"}\n', "en.train.jsonl"), "en.train.jsonl", 3, "missing column 'label'"
    ),
    "fewer tags than words": Case(
        {"en.train.jsonl": SENTENCE + SENTENCE.replace(', "B-X"', ""), "en.dev.jsonl": SENTENCE},
        "en.train.jsonl", 2, "2 words in 'tokens' but 1 tag in 'tags'",
    ),
    "a training row that the development set takes": Case(
        {"en.train.conll": TAGGED, "en.test.conll": TAGGED}, "en.train.conll", None,
        "no train rows are left for en, as there is no development set",
    ),
    "a word without a tag": Case(
        train(TAGGED + "a O\nb\n", "en.train.conll"), "en.train.conll", 5,
        "1 column where the sentence begins with 2",
    ),
    "an unknown tag in the test": Case(
        {"en.train.conll": TAGGED + TAGGED, "en.test.conll": TAGGED + "c B-Y\n"}, "en.test.conll", 4,
        "unknown label 'B-Y' in tags, word 1",
    ),
    "a list written as text": Case(
        {"en.train.csv": "tokens,tags\n\"['a', 'b']\",\"['O', 'O']\"\n"}, "en.train.csv", 2,
        "tags is a list written as text",
    ),
    "a Git LFS pointer": Case(
        BOTH | {"pl.test.csv": "version https://git-lfs.github.com/spec/v1\noid\n"}, "pl.test.csv", None,
        "a Git LFS pointer",
    ),
    "a spreadsheet": Case(
        task("version: 1\n") | {"pl.test.xlsx": "PK"}, "pl.test.xlsx", None, "a spreadsheet is not read"
    ),
    "no Parquet": Case(train("PAR1", "en.train.parquet"), "en.train.parquet", None, "not a Parquet file"),
    "a task file with an unknown key": Case(
        task("lables: [a, b]\n"), "task.yaml", 1, "lables: there is no such key; did you mean label"
    ),
    "a task file with another kind": Case(
        task("\nkind: topics\n"), "task.yaml", 2,
        "kind: give classification, tagging, choice or span (found 'topics')",
    ),
    "a task file with a label twice": Case(
        task("labels: [food, sport, food]\n"), "task.yaml", 1, "labels: 'food' is there twice"
    ),
    "a task file with one label": Case(task("labels: [food]\n"), "task.yaml", 1, "labels: give at least 2"),
    "a task file with a bundled name": Case(
        task("kind: classification\nname: xnli\n"), "task.yaml", 2, "name: 'xnli' is a bundled task"
    ),
    "a task file with a key twice": Case(
        task("name: a\nname: b\n"), "task.yaml", 2, "'name' stands twice, in lines 1 and 2"
    ),
    "a task file that is no YAML": Case(task("name: [a\n"), "task.yaml", 2, "not valid YAML"),
    "a task file that is a list": Case(task("- a\n"), "task.yaml", 1, "expected 'key: value' lines"),
    "a task file with an unknown language": Case(
        task("language: klingonese\n"), "task.yaml", 1, "language: unknown language 'klingonese'"
    ),
    "a task file with another kind's metric": Case(
        task("metrics: [f1]\n"), "task.yaml", None, "metrics: 'f1' is none of classification; give accuracy"
    ),
    "a task file with a column that is not there": Case(
        task("texts: [body]\n"), "en.train.csv", None, "missing column 'body'. The columns: text, label"
    ),
    "a name that is a language by chance and a column of languages": Case(
        {
            "all.train.csv": "text,label,language\na match,sport,en\nthe soup,food,en\n",
            "all.test.csv": "text,label,language\na match,sport,en\nthe soup,food,de\n",
        },
        "all.test.csv", None, "is named as Allar (all), and its column language tells en, de. Name the file",
    ),
    "a task file with a language that no file takes": Case(
        {"my_train.csv": TOPICS, "my_test.csv": TOPICS, "task.yaml": "language: pl\n"}, "task.yaml", None,
        "says language: pl, and no file takes it: by its name my_test.csv, for one, is Burmese (my)",
    ),
    "a name with a word behind a code": Case(
        {"my-data.train.csv": TOPICS, "en.test.csv": TOPICS}, "my-data.train.csv", None,
        "cannot tell the language",
    ),
    "a task file with too few words for labels": Case(
        task("label_words: [one]\n"), "task.yaml", None, "label_words: 1 word for 2 labels"
    ),
}  # fmt: skip


def load_all(folder):
    source = open_source(str(folder))
    for split in ("train", "validation", "test"):
        for language in source.languages(source.own, split):
            source.load(source.own, language, split)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_malformed_task_is_refused_with_file_row_and_field(folder, case):
    root = folder(case.files)
    with pytest.raises(DataError) as caught:
        load_all(root)
    error = caught.value
    assert case.said in str(error)
    assert error.file == str(root if case.file == "." else root / case.file)
    assert error.line == case.line


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_check_reports_what_loading_refuses(folder, case):
    problems = check_folder(folder(case.files)).problems
    said = [(each.file, f"{each.message}. {each.fix}") for each in problems]
    assert any(file == case.file and case.said in text for file, text in said), said


def test_a_parquet_file_with_nested_columns_is_refused(folder):
    root = folder(BOTH)
    table = pa.table({"text": [{"en": "a"}], "label": ["food"]})
    pq.write_table(table, root / "pl.test.parquet")
    with pytest.raises(DataError, match=r"pl\.test\.parquet: the column 'text' is nested \(struct"):
        load_all(root)
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["food", None]}), root / "pl.test.parquet")
    with pytest.raises(DataError, match=r"pl\.test\.parquet:2: label is not a label but null"):
        load_all(root)


def found_and_wrong(root):
    report = check_folder(root)
    found = [(each.language, each.split, each.count) for each in report.found]
    return found, [(each.file, each.line, each.message) for each in report.problems]


def test_the_check_tells_every_file_whose_language_is_unknown_and_lists_the_others(folder):
    files = dict.fromkeys(
        ("en.train.csv", "en.dev.csv", "foo.test.csv", "sw.test.csv", "xx.test.csv"), TOPICS
    )
    found, wrong = found_and_wrong(folder(files))
    assert found == [("en", "train", 2), ("en", "validation", 2), ("sw", "test", 2)]
    assert wrong == [(f"{name}.test.csv", None, "cannot tell the language") for name in ("foo", "xx")]


def test_the_check_tells_every_file_without_a_language_where_none_has_one(folder):
    files = {"train.csv": TOPICS, "test.csv": TOPICS}
    found, wrong = found_and_wrong(folder(files))
    assert found == []
    assert wrong == [(name, None, "cannot tell the language") for name in ("test.csv", "train.csv")]


def test_the_check_tells_files_without_a_language_where_the_task_cannot_be_told_either(folder):
    files = {"en.train.csv": "text,kind\na,x\n", "foo.test.csv": TOPICS}
    found, wrong = found_and_wrong(folder(files))
    assert found == []
    assert wrong == [
        ("en.train.csv", None, "cannot tell the column of labels among text, kind"),
        ("foo.test.csv", None, "cannot tell the language"),
    ]


def test_the_check_tells_every_row_of_an_unknown_language_and_lists_the_known_ones(folder):
    table = "text,label,language\na match,sport,en\nb,food,klingonese\nthe soup,food,pl\nd,food,zz\n"
    files = {"train.csv": table, "dev.csv": table.replace("zz", "en"), "sw.test.csv": TOPICS}
    found, wrong = found_and_wrong(folder(files))
    assert found == [
        ("en", "train", 1), ("en", "validation", 2), ("sw", "test", 2), ("pl", "train", 1),
        ("pl", "validation", 1),
    ]  # fmt: skip
    assert wrong == [
        ("dev.csv", 3, "unknown language 'klingonese' in language"),
        ("train.csv", 3, "unknown language 'klingonese' in language"),
        ("train.csv", 5, "unknown language 'zz' in language"),
    ]


def test_the_check_tells_the_faults_of_all_training_rows_once_and_goes_on(folder):
    files = BOTH | {
        "en.train.csv": TOPICS + "more,\nand more,\n",
        "sw.train.csv": "text\na\n",
        "de.test.csv": TOPICS + "new,politics\n",
    }
    found, wrong = found_and_wrong(folder(files))
    assert ("en", "test", 2) in found
    assert ("de", "test", 2) in found
    assert wrong == [
        ("de.test.csv", 4, "unknown label 'politics' in label"),
        ("en.train.csv", 4, "label is empty"),
        ("en.train.csv", 5, "label is empty"),
        ("sw.train.csv", 1, "missing column 'label'"),
    ]
