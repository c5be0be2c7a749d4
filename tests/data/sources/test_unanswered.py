"""Development sets without labels: what needs texts alone reads them, and nothing else does."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xlprompt.data import DataError, check_folder, open_source, task

PAIRS = {"premise": "a", "hypothesis": "b", "label": 1}
WORDS = {"tokens": ["a", "b"], "tags": ["NOUN", "VERB"]}
CHOICE = {"premise": "a", "question": "cause", "choice1": "b", "choice2": "c", "label": 1}
SPAN = {"context": "Ada wrote it.", "question": "Who?", "answers": [{"text": "Ada", "start": 0}]}
TOPIC = {"text": "a", "label": "sports"}
BUNDLED = {"xnli": PAIRS, "pos": WORDS, "xcopa": CHOICE, "xquad": SPAN, "sib200": TOPIC}
MISSING = object()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def without(row, answer):
    """The row with another answer, the last of its keys, or without one."""
    *texts, last = row
    return {name: row[name] for name in texts} | ({} if answer is MISSING else {last: answer})


def load(root, code, split="validation", name=None, **options):
    source = open_source(str(root))
    return source.load(source.own or task(name), code, split, **options)


@pytest.mark.parametrize(
    "answer", [MISSING, None, "", -1, []], ids=["missing", "null", "blank", "-1", "empty"]
)
@pytest.mark.parametrize(("name", "row"), BUNDLED.items(), ids=BUNDLED)
def test_a_bundled_tasks_rows_without_answers_are_read_for_their_texts_alone(folder, name, row, answer):
    bare = without(row, answer)
    root = folder({f"{name}/de.validation.jsonl": lines([bare, row]), f"{name}/en.train.jsonl": lines([row])})
    with pytest.raises(DataError, match=r"de\.validation\.jsonl:1"):
        load(root, "de", name=name)
    texts = load(root, "de", name=name, labeled=False)
    whole = load(root, "en", "train", name)
    *columns, answers = task(name).columns
    assert [texts[column] for column in columns] == [2 * whole[column][:] for column in columns]
    assert texts[answers][1] == whole[answers][0], "a row that has an answer keeps it"


def test_a_wrong_answer_is_wrong_for_whoever_reads(folder):
    root = folder({"xnli/de.validation.jsonl": lines([PAIRS | {"label": "yes"}])})
    with pytest.raises(DataError, match="unknown label 'yes'"):
        load(root, "de", name="xnli", labeled=False)


def test_a_treebank_without_tags_is_read_for_its_words_alone(folder):
    sentence = "1\tJa\t_\t{}\t_\t_\t0\troot\t_\t_\n\n"
    root = folder({"de_gsd-ud-dev.conllu": sentence.format("_") + sentence.format("INTJ")})
    assert load(root, "de", name="pos")["tokens"] == [["Ja"]]
    assert load(root, "de", name="pos", labeled=False)["tokens"] == [["Ja"], ["Ja"]]


def test_more_than_a_handful_of_rows_without_answers_are_no_blind_copy(folder):
    rows = [without(CHOICE, MISSING) | {"premise": f"a {number}"} for number in range(30)]
    root = folder({"xcopa/sw.validation.jsonl": lines(rows)})
    assert len(load(root, "sw", name="xcopa", labeled=False)) == 30


TOPICS = "text,label\na match,sport\nthe soup,food\nsome rain,weather\n"
TAGGED = "a O\nb B-X\n\nc O\nd O\n\n"
OWN = {
    "no column": ("csv", TOPICS, "text\nein Spiel\nSuppe\n"),
    "blank labels": ("csv", TOPICS, "text,label\nein Spiel,\nSuppe,\n"),
    "TSV": ("tsv", TOPICS.replace(",", "\t"), "text\nein Spiel\nSuppe\n"),
    "null": ("jsonl", lines([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]),
             lines([{"text": "ein Spiel", "label": None}, {"text": "Suppe"}])),
    "words alone": ("conll", TAGGED, "ein\nSpiel\n\nSuppe\n"),
    "tokens alone": ("jsonl", lines([WORDS | {"tags": ["O", "B-X"]}]),
                     lines([{"tokens": ["ein", "Spiel"]}, {"tokens": ["Suppe"], "tags": None}])),
    "sentences alone": ("csv", "tokens,tags\na b,O B-X\nc,O\n", "tokens\nein Spiel\nSuppe\n"),
}  # fmt: skip


@pytest.mark.parametrize(("ending", "train", "bare"), OWN.values(), ids=OWN)
def test_an_own_tasks_rows_without_labels_are_read_for_their_texts_alone(folder, ending, train, bare):
    files = {f"en.train.{ending}": train, f"en.dev.{ending}": train, f"de.test.{ending}": train}
    root = folder({**files, f"de.dev.{ending}": bare})
    with pytest.raises(DataError, match=r"de\.dev\."):
        load(root, "de")
    texts = load(root, "de", labeled=False)
    column = texts.column_names[1]
    assert [each if isinstance(each, str) else " ".join(each) for each in texts[column]] == [
        "ein Spiel",
        "Suppe",
    ]
    report = check_folder(root)
    assert report.problems == []
    assert [each.count for each in report.found if (each.language, each.split) == ("de", "validation")] == [2]
    assert "mine de validation: no labels; it serves alignment alone" in report.warnings


def test_a_parquet_file_without_labels_is_read_for_its_texts_alone(folder):
    root = folder({"en.train.csv": TOPICS, "en.dev.csv": TOPICS, "de.test.csv": TOPICS})
    for table in ({"text": ["a", "b"]}, {"text": ["a", "b"], "label": [-1, -1]}):
        pq.write_table(pa.table(table), root / "de.dev.parquet")
        assert load(root, "de", labeled=False)["first"] == ["a", "b"]
        assert check_folder(root).problems == []


def test_a_label_that_is_minus_one_is_a_label(folder):
    table = "text,label\na,-1\nb,1\n"
    root = folder({f"{name}.csv": table for name in ("en.train", "de.dev")})
    labels = open_source(str(root)).own.labels
    assert [labels[number] for number in load(root, "de", labeled=False)["label"]] == ["-1", "1"]


def test_a_file_of_several_languages_may_have_labels_for_some(folder):
    table = "text,label,language\na match,sport,en\nein Spiel,,de\nthe soup,food,en\n"
    bare = "text,language\nun jeu,fr\n"
    root = folder({"en.train.csv": TOPICS, "dev.csv": table, "pl.test.csv": TOPICS, "fr/dev.csv": bare})
    assert load(root, "en")["first"] == ["a match", "the soup"]
    assert load(root, "de", labeled=False)["first"] == ["ein Spiel"]
    assert check_folder(root).problems == []


def test_the_check_says_what_rows_without_labels_are_good_for(folder):
    bare = lines([without(PAIRS, MISSING)])
    root = folder({"xnli/en.train.jsonl": lines([PAIRS]), "xnli/de.validation.jsonl": bare})
    report = check_folder(root)
    assert report.problems == []
    assert report.warnings[:2] == [
        "xnli de validation: no labels; it serves alignment alone",
        "xnli: no development set in any language; a run needs that of the language it trains on",
    ]


@pytest.mark.parametrize("name", ["de.test", "en.train", "en.validation"])
def test_the_check_refuses_other_rows_without_labels(folder, name):
    """Test sets, training sets, and what a language that is trained on would be chosen by."""
    files = {f"xnli/{each}.jsonl": lines([PAIRS]) for each in ("en.train", "en.validation", "de.test")}
    root = folder(files | {f"xnli/{name}.jsonl": lines([without(PAIRS, MISSING)])})
    (problem,) = check_folder(root).problems
    assert (problem.file, problem.line, problem.message) == (
        f"xnli/{name}.jsonl",
        1,
        "missing column 'label'",
    )


def test_the_check_refuses_rows_without_labels_among_others(folder):
    files = dict.fromkeys(("en.train.csv", "en.dev.csv", "de.test.csv"), TOPICS)
    root = folder(files | {"de.dev.csv": TOPICS + "Suppe,\n"})
    (problem,) = check_folder(root).problems
    assert (problem.file, problem.line, problem.message) == ("de.dev.csv", 5, "label is empty")
