"""Rows that a task does not count are left out alike, whatever file, table or command they come by."""

import gzip
import io
import json
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from xlprompt.data import TASKS, DataError, check_folder, open_source, task
from xlprompt.data.sources.unlabeled import read_rows, typed_rows
from xlprompt.data.tasks.rules import words_withheld

WHOLE = (["Die", "_", "fehlt", "."], ["DET", "SYM", "VERB", "PUNCT"])
WITHHELD = (["Nous", "_", "_", "_"], ["PRON", "VERB", "NOUN", "PUNCT"])


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def conllu(sentences) -> str:
    blocks = (
        "".join(
            f"{place}\t{word}\t_\t{tag}\t_\t_\t0\troot\t_\t_\n"
            for place, (word, tag) in enumerate(zip(*sentence, strict=True), start=1)
        )
        for sentence in sentences
    )
    return "".join(f"# sent_id = s\n{block}\n" for block in blocks)


def json_lines(sentences, labels=None) -> str:
    return "".join(
        json.dumps({"tokens": tokens, "tags": [labels.index(tag) for tag in tags] if labels else tags}) + "\n"
        for tokens, tags in sentences
    )


TREEBANKS = {
    "CoNLL-U": ("fr_gsd-ud-test.conllu", conllu),
    "JSON Lines": ("pos/fr.test.jsonl", json_lines),
    "JSON Lines with numbers": ("pos/fr.test.jsonl.gz", lambda rows: json_lines(rows, TASKS["pos"].labels)),
}


@pytest.mark.parametrize(("path", "written"), TREEBANKS.values(), ids=TREEBANKS)
def test_sentences_without_their_words_are_left_out_and_counted_among_whole_ones(tmp_path, path, written):
    write(tmp_path / path, written([WHOLE, WITHHELD, WHOLE]))
    (found,) = check_folder(tmp_path).found
    assert (found.count, found.skipped) == (2, {"words withheld": 1})
    rows = open_source(str(tmp_path)).load(task("pos"), "fr", "test")
    assert list(rows["tokens"]) == [WHOLE[0]] * 2, "an underscore that is a symbol is a word"


@pytest.mark.parametrize(("path", "written"), TREEBANKS.values(), ids=TREEBANKS)
def test_a_treebank_without_its_words_is_a_problem_and_never_loaded(tmp_path, path, written):
    # As in French-FTB, where headings of one word are whole.
    write(tmp_path / path, written([WITHHELD, (["Genève"], ["PROPN"]), WITHHELD]))
    (problem,) = check_folder(tmp_path).problems
    assert problem.message.startswith("the words of 2 of 3 fr sentences are withheld")
    assert "Merge the text in from the original corpus" in problem.fix
    with pytest.raises(DataError, match="words of 2 of 3 fr sentences are withheld.*Merge the text"):
        open_source(str(tmp_path)).load(task("pos"), "fr", "test")


def test_the_hubs_treebanks_follow_the_same_rule(monkeypatch):
    tags = ["DET", "NOUN", "VERB", "SYM", "PUNCT", "PRON", "_"]
    texts = List(Value("string"))
    schema = Features(
        {"idx": Value("string"), "tokens": texts, "upos": List(ClassLabel(names=tags)), "head": texts}
    )

    def table(sentences):
        rows = [
            {
                "idx": "x",
                "tokens": tokens,
                "upos": [tags.index(tag) for tag in names],
                "head": ["1"] * len(tokens),
            }
            for tokens, names in sentences
        ]
        loaded = Dataset.from_list(rows, features=schema)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: loaded)

    untagged = (["Das", "fehlt"], ["DET", "_"])
    table([WHOLE, WITHHELD, untagged, WHOLE])
    assert list(open_source("hub").load(task("pos"), "de", "test")["tokens"]) == [WHOLE[0]] * 2
    table([WITHHELD])
    with pytest.raises(DataError, match="words of 1 of 1 de sentences are withheld"):
        open_source("hub").load(task("pos"), "de", "test")


def test_in_panx_where_no_tag_is_a_symbols_most_words_have_to_be_withheld(tmp_path):
    sentences = ["a _ b", "_ _ a", "a b _", "a b c"]
    lines = "".join("".join(f"de:{word}\tO\n" for word in each.split()) + "\n" for each in sentences)
    write(tmp_path / "de" / "dev", lines)
    (found,) = check_folder(tmp_path).found
    assert (found.count, found.skipped) == (3, {"words withheld": 1})


def test_a_stray_underscore_among_many_words_is_no_withheld_sentence():
    noun, punct = (TASKS["pos"].labels.index(tag) for tag in ("NOUN", "PUNCT"))
    # Turkish-IMST, UD 2.15: the largest share of such words is a fifth.
    assert not words_withheld(TASKS["pos"], ["Yüzde", "_", "3'lük", "Gabay", "kaldırılsın"], [noun] * 5)
    assert words_withheld(TASKS["pos"], ["a", "_", "b", "c", "."], [noun] * 4 + [punct])
    assert words_withheld(TASKS["pos"], ["_"], [punct]), "nothing else is there to be real"


def test_a_new_run_meets_withheld_words_in_what_is_typed_and_in_files():
    with pytest.raises(DataError, match=r"arguments:2: this text .*\(words withheld\)"):
        typed_rows(TASKS["ner"], ["a b", "_ _ _"])
    rows = read_rows(TASKS["pos"], Path("x.conllu"), io.BytesIO(conllu([WHOLE, WITHHELD, WHOLE]).encode()))
    assert [row.texts[0] for row in rows] == [WHOLE[0]] * 2
    with pytest.raises(DataError, match="x: the words of 1 of 1"):
        read_rows(TASKS["pos"], Path("x"), io.BytesIO(b"_ _ _"))


PAIRS = [("a", "b", 1), ("NS", "NS", 0), ("", "d", 0), ("e", "f", 0)]
TSV = "id\tsentence1\tsentence2\tlabel\n" + "".join(
    f"{place}\t{first}\t{second}\t{label}\n" for place, (first, second, label) in enumerate(PAIRS)
)
PAIR_LINES = "".join(
    json.dumps({"id": place, "sentence1": first, "sentence2": second, "label": label}) + "\n"
    for place, (first, second, label) in enumerate(PAIRS)
)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("x-final/de/test_2k.tsv", TSV),
        ("pawsx/de.test.jsonl", PAIR_LINES),
        ("pawsx/de/test.jsonl.gz", PAIR_LINES),
    ],
)
def test_untranslated_pairs_are_left_out_of_every_format(tmp_path, path, content):
    write(tmp_path / path, content)
    (found,) = check_folder(tmp_path).found
    assert (found.count, found.skipped) == (2, {"not translated": 2})
    assert list(open_source(str(tmp_path)).load(task("pawsx"), "de", "test")["id"]) == ["0", "3"]


@pytest.mark.parametrize("content", [TSV, PAIR_LINES], ids=["TSV", "JSON Lines"])
def test_untranslated_pairs_are_not_predicted(content):
    rows = read_rows(TASKS["pawsx"], Path("x"), io.BytesIO(content.encode()))
    assert [row.texts for row in rows] == [("a", "b"), ("e", "f")]
    with pytest.raises(DataError, match="not translated"):
        typed_rows(TASKS["pawsx"], ["NS", "b"])
    assert typed_rows(TASKS["xnli"], ["NS", "b"])[0].texts[0] == "NS", "it is PAWS-X's mark"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("xnli.test.tsv", "language\tgold_label\tsentence1\tsentence2\nde\t-\ta\tb\nde\tneutral\ta\tb\n"),
        (
            "xnli/de.test.jsonl",
            '{"premise":"a","hypothesis":"b","label":"-"}\n{"premise":"a","hypothesis":"b","label":1}\n',
        ),
        ("multinli.train.de.tsv", "premise\thypo\tlabel\na\tb\t-\na\tb\tneutral\n"),
    ],
    ids=["XNLI", "JSON Lines", "XNLI-MT"],
)
def test_pairs_without_a_gold_label_are_left_out_of_every_format(tmp_path, path, content):
    write(tmp_path / path, content)
    (found,) = check_folder(tmp_path).found
    assert (found.count, found.skipped) == (1, {"no gold label": 1})


PAIR = {"premise": "a", "hypothesis": "b", "label": 0}


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("xnli", PAIR | {"premise": "A dog \ud83d"}, "premise holds half a character (U+D83D) at place 7"),
        ("xnli", PAIR | {"hypothesis": "b\0"}, "hypothesis holds a NUL at place 2"),
        ("xnli", PAIR | {"id": "\udc00"}, "the id holds half a character"),
        (
            "pos",
            {"tokens": ["a", "\udfff"], "tags": ["X", "X"]},
            "the sentence holds half a character (U+DFFF)",
        ),
        ("ner", {"tokens": ["a\0"], "tags": ["O"]}, "the sentence holds a NUL"),
    ],
)
def test_text_that_no_encoder_takes_is_a_problem_with_its_place(tmp_path, name, record, said):
    write(tmp_path / name / "de.test.jsonl", json.dumps(record) + "\n")
    (problem,) = check_folder(tmp_path).problems
    assert problem.message.startswith(said)
    assert (problem.file, problem.line) == (f"{name}/de.test.jsonl", 1)
    with pytest.raises(DataError, match=r"de\.test\.jsonl:1: "):
        open_source(str(tmp_path)).load(task(name), "de", "test")
    with pytest.raises(DataError, match="x:1: "):
        read_rows(TASKS[name], Path("x"), io.BytesIO(json.dumps(record).encode()))


def test_half_a_character_in_what_is_typed_is_refused():
    # As Python holds a byte of the command line that is not UTF-8.
    with pytest.raises(DataError, match=r"arguments: premise holds half a character \(U\+DCE9\) at place 4"):
        typed_rows(TASKS["xnli"], ["caf\udce9", "a café"])
    with pytest.raises(DataError, match="arguments:1: the sentence holds half a character"):
        typed_rows(TASKS["ner"], ["caf\udce9"])
