"""Files written exactly as the benchmarks publish them: real headers, real column counts."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from xlprompt.data import DataError, check_folder, open_source, task

XNLI_HEADER = (
    "language\tgold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\t"
    "sentence1_tokenized\tsentence2_tokenized\tmatch"
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def xnli_line(language: str, label: str, first: str, second: str, pair: int) -> str:
    parses = [""] * 4
    numbers = ["1", str(pair), "facetoface"]
    return "\t".join([language, label, *parses, first, second, *numbers, *[label] * 5, first, second, "True"])


def xnli_json(language: str, label: str, first: str, second: str, pair: int) -> str:
    return json.dumps(
        {
            "annotator_labels": [label] * 5,
            "genre": "facetoface",
            "gold_label": label,
            "language": language,
            "match": "True",
            "pairID": str(pair),
            "promptID": "1",
            "sentence1": first,
            "sentence1_tokenized": first,
            "sentence2": second,
            "sentence2_tokenized": second,
        },
        ensure_ascii=False,
    )


XNLI_ROWS = [
    ("ar", "neutral", "وقال، ماما", "اتصل بأمه", 1),
    ("ar", "contradiction", "وقال، ماما", "لم يقل", 2),
    ("de", "neutral", 'und er sagte: "Mama', "Er rief an", 1),
    ("de", "contradiction", "und er sagte", "Er schwieg", 2),
    ("de", "entailment", "und er sagte", "Er sprach", 3),
]


def test_xnli_tsv_holds_all_languages_in_one_file_of_19_columns(tmp_path):
    lines = [XNLI_HEADER, *(xnli_line(*row) for row in XNLI_ROWS)]
    write(tmp_path / "XNLI-1.0" / "xnli.dev.tsv", "\n".join(lines) + "\n")
    source = open_source(str(tmp_path))
    assert source.languages(task("xnli"), "validation") == ("de", "ar")
    rows = source.load(task("xnli"), "de", "validation")
    assert rows["label"] == [1, 2, 0]
    assert rows["id"] == ["1", "2", "3"]
    assert rows["first"][0] == 'und er sagte: "Mama', (
        "a quotation mark that nothing closes is only a character"
    )


def test_xnli_jsonl_gives_the_same_rows_as_the_tsv(tmp_path):
    write(tmp_path / "a" / "xnli.test.tsv", "\n".join([XNLI_HEADER, *(xnli_line(*row) for row in XNLI_ROWS)]))
    write(tmp_path / "b" / "xnli.test.jsonl", "".join(xnli_json(*row) + "\n" for row in XNLI_ROWS))
    rows = [open_source(str(tmp_path / name)).load(task("xnli"), "ar", "test").to_dict() for name in "ab"]
    assert rows[0] == rows[1]
    assert len(rows[0]["id"]) == 2


def test_languages_of_one_file_have_fingerprints_of_their_own(tmp_path):
    write(tmp_path / "xnli.test.tsv", "\n".join([XNLI_HEADER, *(xnli_line(*row) for row in XNLI_ROWS)]))
    source = open_source(str(tmp_path))
    assert source.fingerprint(task("xnli"), "ar", "test") != source.fingerprint(task("xnli"), "de", "test")


def test_the_unpacked_xnli_archives_are_not_ambiguous(tmp_path):
    # XNLI-1.0 ships each split as .tsv and .jsonl and a macOS folder; XNLI-MT translations into English.
    folder = tmp_path / "XNLI-1.0"
    write(folder / "xnli.test.tsv", "\n".join([XNLI_HEADER, *(xnli_line(*row) for row in XNLI_ROWS)]))
    write(folder / "xnli.test.jsonl", "".join(xnli_json(*row) + "\n" for row in XNLI_ROWS))
    write(tmp_path / "__MACOSX" / "XNLI-1.0" / "._xnli.test.tsv", "\0\0")
    write(folder / ".DS_Store", "\0")
    write(folder / "README.md", "read me")
    write(tmp_path / "XNLI-MT-1.0" / "xnli" / "xnli.test.de.tsv", XNLI_HEADER + "\n")
    write(
        tmp_path / "XNLI-MT-1.0" / "multinli" / "multinli.train.en.tsv",
        "premise\thypo\tlabel\na b\tc\tneutral\n",
    )
    report = check_folder(tmp_path)
    assert report.problems == []
    assert {(found.language, found.split, found.format) for found in report.found} == {
        ("ar", "test", "xnli-tsv"),
        ("de", "test", "xnli-tsv"),
        ("en", "train", "xnli-mt"),
    }


def test_xnli_mt_calls_contradiction_contradictory_and_may_have_blank_translations(tmp_path):
    text = (
        "premise\thypo\tlabel\n"
        "Conceptually cream skimming has two basic dimensions .\tProduct and geography .\tneutral\n"
        "One of our number\tA member of my team\tentailment\n"
        "\tA blank one\tneutral\n"
        "Gays and lesbians .\tHeterosexuals .\tcontradictory\n"
    )
    write(tmp_path / "train" / "multinli.train.sw.tsv", text)
    source = open_source(str(tmp_path))
    rows = source.load(task("xnli"), "sw", "train")
    assert rows["label"] == [1, 0, 2]
    assert rows["id"] == ["0", "1", "3"], "a position counts skipped rows too, so that files stay parallel"
    assert check_folder(tmp_path).found[0].skipped == {"blank translation": 1}


def multinli(label: str, pair: str) -> str:
    return json.dumps(
        {
            "annotator_labels": [label],
            "genre": "government",
            "gold_label": label,
            "pairID": pair,
            "promptID": pair[:-1],
            "sentence1": "The premise",
            "sentence1_binary_parse": "( The premise )",
            "sentence1_parse": "(ROOT (NP (DT The) (NN premise)))",
            "sentence2": "The hypothesis",
            "sentence2_binary_parse": "( The hypothesis )",
            "sentence2_parse": "(ROOT (NP (DT The) (NN hypothesis)))",
        }
    )


def test_multinli_rows_without_a_gold_label_are_left_out_and_counted(tmp_path, caplog):
    folder = tmp_path / "multinli_1.0"
    lines = [multinli("neutral", "1n"), multinli("-", "2e"), multinli("entailment", "3e")]
    write(folder / "multinli_1.0_train.jsonl", "\n".join(lines) + "\n")
    with caplog.at_level(logging.INFO):
        rows = open_source(str(tmp_path)).load(task("xnli"), "en", "train")
    assert rows["id"] == ["1n", "3e"]
    assert "1 rows of en left out (no gold label)" in caplog.text


def test_multinlis_development_sets_and_text_form_are_no_part_of_xnli(tmp_path):
    folder = tmp_path / "multinli_1.0"
    header = "gold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    header += "sentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\n"
    write(folder / "multinli_1.0_train.jsonl", multinli("neutral", "1n") + "\n")
    write(folder / "multinli_1.0_train.txt", header)
    write(folder / "multinli_1.0_dev_matched.jsonl", multinli("neutral", "4n") + "\n")
    write(folder / "multinli_1.0_dev_mismatched.jsonl", multinli("neutral", "5n") + "\n")
    report = check_folder(tmp_path)
    assert report.problems == []
    assert [(found.split, found.count) for found in report.found] == [("train", 1)]


PAWSX_HEADER = "id\tsentence1\tsentence2\tlabel\n"


def test_pawsx_is_read_without_quoting_and_untranslated_pairs_are_left_out(tmp_path):
    text = (
        PAWSX_HEADER + '1\t"Quote that never ends\tein Satz\t0\n'
        "2\tNS\tNS\t1\n"
        "3\t\tein Satz\t1\n"
        "4\tnoch einer\tund einer\t1\n"
    )
    write(tmp_path / "x-final" / "de" / "test_2k.tsv", text)
    source = open_source(str(tmp_path))
    rows = source.load(task("pawsx"), "de", "test")
    assert rows.to_dict() == {
        "id": ["1", "4"],
        "first": ['"Quote that never ends', "noch einer"],
        "second": ["ein Satz", "und einer"],
        "label": [0, 1],
    }
    assert check_folder(tmp_path).found[0].skipped == {"not translated": 2}


def test_pawsx_file_names_tell_the_split(tmp_path):
    row = "1\tone\ttwo\t0\n"
    for path in (
        "en/train.tsv",
        "en/dev_2k.tsv",
        "en/test_2k.tsv",
        "ko/translated_train.tsv",
        "ko/dev_2k.tsv",
    ):
        write(tmp_path / "x-final" / path, PAWSX_HEADER + row)
    source = open_source(str(tmp_path))
    assert source.languages(task("pawsx"), "train") == ("en", "ko")
    assert source.languages(task("pawsx"), "validation") == ("en", "ko")
    assert source.languages(task("pawsx"), "test") == ("en",)


@pytest.mark.parametrize("name", ["train", "train.txt", "train.tsv"])
def test_panx_tokens_lose_their_language_prefix(tmp_path, name):
    text = "sw:Dar\tB-LOC\nsw:es\tI-LOC\nsw:10:30\tO\n\n\nsw:Nyerere\tB-PER\n"
    write(tmp_path / "panx" / "sw" / name, text)
    rows = open_source(str(tmp_path)).load(task("ner"), "sw", "train")
    assert rows["tokens"] == [["Dar", "es", "10:30"], ["Nyerere"]], (
        "runs of blank lines are one end of sentence"
    )
    assert rows["tags"] == [[5, 6, 0], [1]]
    assert rows["id"] == ["0", "1"], "a run of blank lines is no sentence of its own"


def test_panx_spans_may_begin_inside(tmp_path):
    write(tmp_path / "ja" / "test", "ja:東\tI-LOC\nja:京\tI-LOC\n\n")
    assert open_source(str(tmp_path)).load(task("ner"), "ja", "test")["tags"] == [[6, 6]]


def test_wikianns_extra_file_belongs_to_no_split(tmp_path):
    write(tmp_path / "wikiann-en" / "train", "en:Rome\tB-LOC\n\n")
    write(tmp_path / "wikiann-en" / "extra", "en:Rome\tB-LOC\n\n")
    assert [found.files for found in check_folder(tmp_path).found] == [("wikiann-en/train",)]


CONLLU = """\
# newdoc id = weblog-1
# sent_id = weblog-1-0001
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\tCase=Acc\t1\tobj\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\t_\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\tSpaceAfter=No
5.1\tgo\tgo\tVERB\t_\t_\t_\t_\t1:conj\t_

# sent_id = weblog-1-0002
# text = #1 _
1\t#1\t#1\tSYM\t_\t_\t0\troot\t_\t_
2\t_\t_\tPUNCT\t_\t_\t1\tpunct\t_\t_

"""


def test_conllu_words_are_the_syntactic_words(tmp_path):
    write(tmp_path / "UD_Spanish-GSD" / "es_gsd-ud-test.conllu", CONLLU)
    rows = open_source(str(tmp_path)).load(task("pos"), "es", "test")
    labels = task("pos").labels
    assert rows["tokens"] == [["Vamos", "nos", "a", "el", "mar"], ["#1", "_"]]
    assert [[labels[tag] for tag in tags] for tags in rows["tags"]] == [
        ["VERB", "PRON", "ADP", "DET", "NOUN"],
        ["SYM", "PUNCT"],
    ]
    assert rows["id"] == ["weblog-1-0001", "weblog-1-0002"]


def test_conllu_with_other_columns_is_refused(tmp_path):
    plain = "# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC\n"
    write(tmp_path / "es_gsd-ud-test.conllu", plain + CONLLU)
    assert len(open_source(str(tmp_path)).load(task("pos"), "es", "test")) == 2
    write(tmp_path / "es_gsd-ud-test.conllu", plain.replace("FORM LEMMA", "LEMMA FORM") + CONLLU)
    with pytest.raises(DataError, match=r"test\.conllu:1: the columns are ID LEMMA FORM"):
        open_source(str(tmp_path)).load(task("pos"), "es", "test")


def test_conllu_sentences_with_an_untagged_word_are_left_out(tmp_path):
    text = "1\t_\t_\t_\t_\t_\t0\troot\t_\t_\n\n1\tYes\tyes\tINTJ\t_\t_\t0\troot\t_\t_\n\n"
    write(tmp_path / "en_ewt-ud-test.conllu", text)
    assert open_source(str(tmp_path)).load(task("pos"), "en", "test")["tokens"] == [["Yes"]]
    assert check_folder(tmp_path).found[0].skipped == {"a word without a tag": 1}


def word(form: str) -> str:
    return f"1\t{form}\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n"


def test_ancient_greek_never_comes_in_with_greek(tmp_path):
    write(tmp_path / "UD_Greek-GDT" / "el_gdt-ud-test.conllu", word("νέο"))
    write(tmp_path / "UD_Ancient_Greek-PROIEL" / "grc_proiel-ud-test.conllu", word("παλαιόν"))
    source = open_source(str(tmp_path))
    assert source.languages(task("pos"), "test") == ("el", "grc"), "a language of its own"
    assert source.load(task("pos"), "el", "test")["tokens"] == [["νέο"]]
    assert check_folder(tmp_path).problems == []


def test_of_several_treebanks_the_tables_choice_is_used_for_all_splits(tmp_path):
    for treebank in ("ewt", "gum", "lines"):
        write(tmp_path / f"en_{treebank}-ud-test.conllu", word(treebank))
    write(tmp_path / "en_gum-ud-train.conllu", word("gum"))
    source = open_source(str(tmp_path))
    assert source.load(task("pos"), "en", "test")["tokens"] == [["ewt"]]
    assert source.languages(task("pos"), "train") == (), "no training data of another treebank"
    assert check_folder(tmp_path).warnings[:1] == ["pos en: en_ewt is used, en_gum, en_lines left out"]


def test_several_treebanks_of_which_none_is_the_tables_choice_are_ambiguous(tmp_path):
    for treebank in ("gum", "lines"):
        write(tmp_path / f"en_{treebank}-ud-test.conllu", word(treebank))
    with pytest.raises(DataError, match=r"2 times: en_gum-ud-test\.conllu, en_lines-ud-test\.conllu"):
        open_source(str(tmp_path)).load(task("pos"), "en", "test")


def test_the_pieces_of_a_large_treebank_are_read_in_order(tmp_path):
    for piece in "bca":
        write(tmp_path / f"ru_syntagrus-ud-train-{piece}.conllu", word(piece))
    source = open_source(str(tmp_path))
    assert source.load(task("pos"), "ru", "train")["tokens"] == [["a"], ["b"], ["c"]]


def test_json_lines_take_labels_as_numbers_or_names_plain_or_gzipped(tmp_path):
    write(tmp_path / "xnli" / "en.train.jsonl", '{"premise": "a", "hypothesis": "b", "label": "neutral"}\n')
    (tmp_path / "xnli" / "en.test.jsonl.gz").write_bytes(
        gzip.compress(b'{"id": 7, "premise": "a", "hypothesis": "b", "label": 2}\n')
    )
    write(tmp_path / "ner" / "en.test.jsonl", '{"tokens": ["Rome", "is"], "tags": ["B-LOC", 0]}\n')
    source = open_source(str(tmp_path))
    assert source.load(task("xnli"), "en", "train")["label"] == [1]
    assert source.load(task("xnli"), "en", "test").to_dict() == {
        "id": ["7"],
        "first": ["a"],
        "second": ["b"],
        "label": [2],
    }
    assert source.load(task("ner"), "en", "test")["tags"] == [[5, 0]]


@pytest.mark.parametrize("folder", ["pos", "anything"])
def test_the_folder_of_one_task_is_enough(tmp_path, folder):
    write(tmp_path / folder / "en.test.jsonl", '{"tokens": ["Rome"], "tags": ["PROPN"]}\n')
    assert open_source(str(tmp_path / folder)).languages(task("pos"), "test") == ("en",)


def test_lines_end_at_newlines_only_and_crlf_is_one(tmp_path):
    text = '{"premise": "a\u2028b\x85c", "hypothesis": "d", "label": 0}\r\n'
    write(tmp_path / "xnli" / "en.test.jsonl", text)
    assert open_source(str(tmp_path)).load(task("xnli"), "en", "test")["first"] == ["a\u2028b\x85c"]


@pytest.mark.parametrize(
    ("folder", "language"),
    [
        ("xnli/pt-BR", "pt"), ("xnli/zh_TW", "zh"), ("xnli/ko-KR", "ko"), ("xnli/es-AR", "es"),
        ("xnli/hau_Latn", "ha"), ("xnli/pcm", "pcm"), ("xnli/aym", "ay"), ("xnli/wikiann-de", "de"),
    ],
)  # fmt: skip
def test_a_folder_named_by_a_locale_is_of_its_language_and_not_of_the_regions(tmp_path, folder, language):
    write(tmp_path / folder / "test.jsonl", '{"premise": "a", "hypothesis": "b", "label": 0}\n')
    assert open_source(str(tmp_path)).languages(task("xnli"), "test") == (language,)


@pytest.mark.parametrize("folder", ["xnli/en-de", "xnli/all", "ner"])
def test_a_folder_that_may_be_of_two_languages_or_of_none_is_not_guessed(tmp_path, folder):
    write(tmp_path / folder / "test.jsonl", '{"premise": "a", "hypothesis": "b", "label": 0}\n')
    (problem,) = check_folder(tmp_path).problems
    assert problem.message == f"cannot tell the language: {folder.split('/')[-1]!r} is no language code"


def test_benchmarks_may_lie_side_by_side(tmp_path):
    write(tmp_path / "XNLI-1.0" / "xnli.test.tsv", "\n".join([XNLI_HEADER, xnli_line(*XNLI_ROWS[0])]))
    write(tmp_path / "x-final" / "en" / "test_2k.tsv", PAWSX_HEADER + "1\ta\tb\t0\n")
    write(tmp_path / "wikiann" / "en" / "test", "en:Rome\tB-LOC\n")
    write(tmp_path / "ud" / "UD_English-EWT" / "en_ewt-ud-test.conllu", CONLLU)
    report = check_folder(tmp_path)
    assert [(found.task, found.count) for found in report.found] == [
        ("xnli", 1),
        ("pawsx", 1),
        ("ner", 1),
        ("pos", 2),
    ]
    assert report.problems == []


def test_several_treebanks_of_a_language_outside_the_table_are_a_problem_and_none_is_used(tmp_path):
    for name in ("pl_lfg", "pl_pdb", "ha_northernautogramm"):
        write(tmp_path / f"{name}-ud-test.conllu", word("tak"))
    source = open_source(str(tmp_path))
    assert source.languages(task("pos"), "test") == ("ha",)
    with pytest.raises(DataError, match=r"several treebanks of pl.*leave one of lfg, pdb"):
        source.load(task("pos"), "pl", "test")
