"""Text without labels: every way to give it gives the same rows, and what is wrong is said with its place."""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xlprompt.data import TASKS, DataError
from xlprompt.data.sources.unlabeled import given_rows, read_rows, typed_rows, unlabeled_dataset

XNLI, PAWSX, POS = TASKS["xnli"], TASKS["pawsx"], TASKS["pos"]
PAIRS = [("A man sleeps.", "Nobody sleeps."), ('"Quoted', "text.")]


def read(task, content, name="text"):
    return read_rows(task, Path(name), io.BytesIO(content.encode()))


@pytest.mark.parametrize(
    "content",
    [
        'A man sleeps.\tNobody sleeps.\n\n"Quoted\ttext.\n',
        'hypothesis\tid\tpremise\nNobody sleeps.\tx\tA man sleeps.\ntext.\ty\t"Quoted\n',
        'sentence1\tsentence2\nA man sleeps.\tNobody sleeps.\r\n"Quoted\ttext.\n',
        'premise\thypo\tlabel\nA man sleeps.\tNobody sleeps.\tneutral\n"Quoted\ttext.\tneutral\n',
        '{"premise": "A man sleeps.", "hypothesis": "Nobody sleeps.", "label": "what?"}\n'
        '{"premise": "\\"Quoted", "hypothesis": "text."}\n',
        '[{"premise": "A man sleeps.", "hypothesis": "Nobody sleeps."},\n\n'
        ' {"premise": "\\"Quoted", "hypothesis": "text."}]\n',
        'label,premise,hypothesis\nneutral,A man sleeps.,Nobody sleeps.\nneutral,"""Quoted",text.\n',
        'premise;hypothesis\r\nA man sleeps.;Nobody sleeps.\r\n"""Quoted";text.\r\n',
    ],
    ids=[
        *("two columns", "own header", "published header", "XNLI-MT's header", "JSON Lines"),
        *("a JSON array", "CSV", "CSV of a spreadsheet"),
    ],
)
def test_pairs_come_from_columns_and_json_lines_alike(content):
    rows = read(XNLI, content)
    assert [row.texts for row in rows] == PAIRS
    assert [row.id for row in rows] == (["x", "y"] if "\tid\t" in content else ["0", "1"])


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('id,text,label\nq,"a, b",sports\nr,"c\n\nd",sports\n', ["a, b", "c\n\nd"]),
        ('text\n"a, b"\nc\n', ["a, b", "c"]),
        ('text\n"two\nlines, yes"\nb\n', ["two\nlines, yes", "b"]),
        ("Text, he said\nb\n", ["Text, he said", "b"]),
        ('text\na, b\n"c" he said\n', ["a, b", '"c" he said']),
        ('[aside], "text"\nb\n', ['[aside], "text"', "b"]),
        ("[1]\n", ["[1]"]),
        ("[sic] he said\n{b}\n", ["[sic] he said", "{b}"]),
        ('["a, b",\n "c"]\n', ["a, b", "c"]),
        ('[\n  {\n    "text": "a"\n  }\n]\n', ["a"]),
    ],
    ids=[
        *("CSV", "CSV of one column", "CSV of one column over lines", "a text like a header"),
        *("lines under a header", "no array", "an array of no text", "brackets in texts"),
        *("an array of texts", "a wide array"),
    ],
)
def test_tables_on_standard_input_are_told_from_lines_of_text(content, texts):
    assert [row.texts for row in read(TASKS["sib200"], content)] == [(text,) for text in texts]


@pytest.mark.parametrize(
    "content",
    [
        *(
            '[{"text": "a"}, null]',
            '["a", null]',
            '[["a"]]',
            '[{"text": "a",},\n{"text": "b"}]',
            '["a"]\n["b"]',
        ),
        *(
            '[\n"a",\n]',
            '{\n"text": "a"\n}',
            '{\n"text": "a"\n}\n{\n"text": "b"\n}',
            '{"text": "a"},\n{"text": "b"}',
        ),
    ],
)
def test_json_of_another_form_is_refused(content):
    with pytest.raises(
        DataError, match="text: JSON that is neither an object a line nor an array of objects"
    ):
        read(TASKS["sib200"], content)


@pytest.mark.parametrize("turn", range(3))
def test_a_text_keeps_its_own_marks_whichever_comes_first(turn):
    texts = ['"Wir gehen nach Hause."', "Es regnet.", '"Ja."']
    turned = texts[turn:] + texts[:turn]
    assert [row.texts for row in read(TASKS["sib200"], "\n".join(turned))] == [(text,) for text in turned]


def test_a_treebank_may_begin_with_any_number_of_comments():
    word = "1\tHaus\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n"
    for comments in range(8):
        assert read(POS, "# sent_id = 1\n" * comments + word)[0].texts == (["Haus"],)


def test_sentences_are_words_between_spaces_or_tokens():
    plain = read(POS, "The man reads .\n\n { he  sleeps\n")
    assert [row.texts[0] for row in plain] == [["The", "man", "reads", "."], ["{", "he", "sleeps"]]
    assert typed_rows(POS, ["The man reads .", "{ he sleeps"]) == plain
    of_json = read(POS, '{"id": 7, "tokens": ["The man", "reads"]}')
    assert [(row.id, row.texts[0]) for row in of_json] == [("7", ["The man", "reads"])]
    for content in ('{"tokens": "The man"}', '[{"tokens": "The man"}]', "tokens,tags\nThe man,X Y\n"):
        assert read(POS, content)[0].texts == (["The", "man"],)


CONLLU = """\
# sent_id = s1
# text = The man reads .
1-2\tTheman\t_\t_\t_\t_\t_\t_\t_\t_
1\tThe\tthe\tDET\t_\t_\t2\tdet\t_\t_
2\tman\tman\t_\t_\t_\t0\troot\t_\t_

1\t{\t_\tODD\t_\t_\t0\troot\t_\t_
"""


def test_treebanks_and_panx_are_read_as_such_and_not_as_sentences():
    rows = read(POS, CONLLU)
    assert [(row.id, row.texts[0]) for row in rows] == [("s1", ["The", "man"]), ("1", ["{"])]
    assert read(TASKS["ner"], CONLLU) == rows, "tags are not looked at"
    panx = read(POS, "en:The\tO\nen:man\tO\n\n\nen:a:b\tB-ODD\n")
    assert [row.texts[0] for row in panx] == [["The", "man"], ["a:b"]]


@pytest.mark.parametrize(
    "content",
    [
        "The\tDET\nman\tNOUN\n\nHe\tPRON\nreads\tVERB\n",
        "-DOCSTART- O\n\nThe X B-PER\nman X O\n\nHe X O\nreads X O\n",
        "The THING\nman PERSON\n\nHe PERSON\nreads O\n",
        "The\tTHING\nman\tPERSON\n\nHe\tPERSON\nreads\tACT\n",
        "The\nman\n\n\nHe\nreads",
    ],
    ids=["the task's tags", "tags of another task", "tags of no task", "such after tabs", "words alone"],
)
def test_lines_of_a_word_and_its_tag_are_sentences_whose_tags_are_not_looked_at(content):
    assert [row.texts[0] for row in read(POS, content)] == [["The", "man"], ["He", "reads"]]


def test_sentences_that_end_in_capitals_stay_sentences():
    assert [row.texts[0] for row in read(POS, "We left the USA\nYou love the NBA\n")] == [
        ["We", "left", "the", "USA"],
        ["You", "love", "the", "NBA"],
    ]


def test_words_alone_may_end_in_full_stops_where_one_stands_alone():
    sentences = [row.texts[0] for row in read(POS, "Mr.\nKone\n.\n\nU.S.\ntroops\n")]
    assert sentences == [["Mr.", "Kone", "."], ["U.S.", "troops"]]


@pytest.mark.parametrize(
    "content",
    [
        *("Hi\nYou", "\nHi\nYou", "THE USA\n\nTHE NBA", "Big men\n\nBig dogs", "Yes\nNo\n\n"),
        *("Siemens AG\nAllianz SE\n\n", "Siemens AG\n\nAllianz SE\n\nLufthansa AG"),
        *(
            "Ada moved to USA\nBob moved to NATO\n\nSue moved to UNESCO\n",
            "我住在北京。\n\n他在上海工作。\n今天\n",
        ),
    ],
)
def test_short_sentences_stay_sentences(content):
    assert [row.texts[0] for row in read(POS, content)] == [
        line.split() for line in content.split("\n") if line
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text", "The\tDET\nman\tthing\n", "text:1: a line of columns"),
        ("text", "-DOCSTART- -X- -X- O\n\nAnna NNP B-NP B-PER\n", "text:1: a line of columns"),
        ("text", "1\tThe\t_\tDET\t_\t_\t2\tdet\t_\t_\n3\tx\t_\tX\t_\t_\t2\tdet\t_\t_\n", "text:2: id 3"),
        ("a.csv", "The man\n", "a.csv: CSV is not read"),
        ("a.parquet", "PAR1", "a.parquet: Parquet is not read"),
    ],
)  # fmt: skip
def test_other_files_are_not_taken_for_sentences(name, content, message):
    with pytest.raises(DataError, match=message):
        read(POS, content, name)


def test_a_gzipped_file_is_unpacked(tmp_path):
    path = tmp_path / "pairs.tsv.gz"
    path.write_bytes(gzip.compress(b"A\tB\n"))
    assert [row.texts for row in read_rows(PAWSX, path)] == [("A", "B")]


def test_the_rows_have_the_schema_that_is_encoded():
    assert unlabeled_dataset(XNLI, typed_rows(XNLI, PAIRS[0])).column_names == [
        *("id", "first", "second", "label")
    ]
    assert unlabeled_dataset(POS, typed_rows(POS, ["a b"]))[0]["tokens"] == ["a", "b"]


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        (XNLI, "A\tB\nA B\n", "text:2: 1 column where xnli takes two texts. Put one tab"),
        (XNLI, "premise\thypothesis\tid\nA\tB\n", "text:2: 2 columns where the header has 3"),
        (TASKS["sib200"], "A\tB\n", "text:1: 2 columns where sib200 takes a text. Put no tab into a text"),
        (XNLI, "premise\thypothesis\n", "no row below the header"),
        (XNLI, "A\t \n", "text:1: hypothesis is blank"),
        (XNLI, '{"premise": "A"}', "text:1: missing column 'hypothesis'. The row's columns: premise"),
        (XNLI, '{"premise": "A", "hypothesis": "B"}\nnonsense', "text:2: invalid JSON"),
        (POS, '{"tokens": 3}', "text:1: tokens is not a list"),
        (POS, '{"words": "a b"}', "text:1: missing column 'tokens'"),
        (XNLI, "premise,hypothesis\nA,B,C\n", "text:2: 3 columns where the header has 2"),
        (XNLI, "premise,hypothesis\n", "text: there is no row in it"),
        (XNLI, "Premise\tHypothesis\nA\tB\n", "text:1: missing column 'premise', 'hypothesis'"),
        (TASKS["sib200"], "Text,Label\nA,a\n", "text:1: missing column 'text'. The first line has to name"),
        (TASKS["xcopa"], "A\tCause?\tB\tC\n", "text:1: question is 'Cause?'. Give cause or effect."),
        (XNLI, '[{"premise": "A"}]', "text: item 1: missing column 'hypothesis'"),
        (XNLI, '["A"]', "text: item 1: 'A' where xnli takes two texts"),
        (XNLI, "[]", "text: there is no row in it"),
        (POS, '{"tokens": []}', "text:1: a sentence without words"),
        (POS, "\n\n", "text: there is no text in it"),
    ],
)
def test_what_cannot_be_read_is_said_with_file_row_and_remedy(task, content, message):
    with pytest.raises(DataError) as caught:
        read(task, content)
    assert message in str(caught.value)


def test_a_pair_is_two_texts_and_a_sentence_has_words():
    with pytest.raises(DataError, match="1 text where xnli takes two. Give premise and hypothesis"):
        typed_rows(XNLI, ["A"])
    with pytest.raises(DataError, match="arguments:2: a sentence without words"):
        typed_rows(POS, ["a", "  "])


def test_a_data_frame_is_read_by_its_rows():
    pairs = pd.DataFrame({"premise": ["A", "B"], "hypothesis": ["C", "D"]})
    assert [row.texts for row in given_rows(XNLI, pairs)] == [("A", "C"), ("B", "D")]
    with pytest.raises(DataError, match="missing column 'hypothesis'"):
        given_rows(XNLI, pairs[["premise"]])


@pytest.mark.parametrize("words", ["a b", ["a", "b"], ("a", "b"), np.array(["a", "b"])])
def test_a_sentence_of_a_program_is_words_in_any_form(words):
    for given in ([words], [{"tokens": words}], pd.DataFrame({"tokens": [words]})):
        (row,) = given_rows(POS, given)
        assert row.texts == (["a", "b"],)
        assert {type(word) for word in row.texts[0]} == {str}


@pytest.mark.parametrize("question", ["Cause", "CAUSE", " cause"])
def test_a_question_of_a_few_is_taken_however_it_is_written(question):
    (row,) = typed_rows(TASKS["xcopa"], ["A", question, "B", "C"])
    assert row.texts == ("A", "cause", "B", "C")


def test_rows_have_their_own_ids_however_they_are_given():
    rows = [{"id": "r7", "text": "A"}, {"id": float("nan"), "text": "B"}, {"id": 9, "text": "C"}]
    for given in (rows, pd.DataFrame(rows), pd.DataFrame(rows).convert_dtypes()):
        assert [row.id for row in given_rows(TASKS["sib200"], given)] == ["r7", "1", "9"]
    for content in ("id\ttext\nr7\tA\n\tB\n9\tC\n", "id,text\nr7,A\n,B\n9,C\n"):
        assert [row.id for row in read(TASKS["sib200"], content)] == ["r7", "1", "9"]


def test_rows_tell_their_language_however_they_are_given():
    texts, languages = ["A", "B"], ["deu", None]
    rows = given_rows(TASKS["sib200"], pd.DataFrame({"text": texts, "language": languages}))
    assert [row.language for row in rows] == ["de", None]
    for content in (
        "text\tlang\nA\tde\nB\t\n",
        "Language,text\nde,A\n,B\n",
        '{"text": "A", "language": "de"}\n{"text": "B", "language": null}\n',
    ):
        assert [row.language for row in read(TASKS["sib200"], content)] == ["de", None]


@pytest.mark.parametrize(
    ("cells", "language"),
    [
        ({"lang": "python"}, None),
        ({"lang": "und", "language": "de"}, "de"),
        ({"lang": "de", "language": ""}, "de"),
        ({"lang": ["de"]}, None),
        ({"Language": "German"}, "de"),
        ({"language": "und"}, "und"),
        ({"language": 3}, "3"),
        ({"language": float("nan")}, None),
    ],
)
def test_a_column_tells_a_language_where_it_holds_one(cells, language):
    (row,) = given_rows(TASKS["sib200"], [{"text": "A", **cells}])
    assert row.language == language
