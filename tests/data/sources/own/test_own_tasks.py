"""A folder of tables or words in columns is a task; what kind, fields, labels and languages is found out."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from xlprompt.data import TASKS, DataError, check_folder, open_source
from xlprompt.data.sources.own.example import write_example
from xlprompt.data.sources.unlabeled import read_rows, typed_rows
from xlprompt.data.tasks.own import definition_of, read_definition

TOPICS = "text,label\na match,sport\nthe soup,food\nsome rain,weather\n"
CONLL = (
    "-DOCSTART- -X- -X- O\n\nAspirin NNP B-NP B-DRUG\nhelps VBZ B-VP O\n\n"
    "Take VB B-VP O\nred JJ B-NP B-DRUG\npills NNS I-NP I-DRUG\n\n"
)
MASAKHA = "Sannu O\nLagos B-LOC\n\nYa O\nje O\nKano B-LOC\nBirni I-LOC\n"


@pytest.fixture
def folder(folder):
    """Writes files into a folder `mine`; gives it opened."""
    return lambda files: open_source(str(folder(files)))


def labels_of(source, language, split):
    task = source.own
    column = source.load(task, language, split)[task.columns[-1]]
    return [
        [task.labels[tag] for tag in row] if isinstance(row, list) else task.labels[row] for row in column
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("en.train.csv", "en.dev.csv", "pl.test.csv"),
        ("train_en.csv", "valid_en.csv", "test_pl.csv"),
        ("en/train.csv", "en/validation.csv", "pl/test.csv"),
        ("train/en.csv", "dev/en.csv", "test/pl.csv"),
        ("train_en.csv", "dev_en.csv", "test.pl-PL.csv"),
        ("data.eng.train.csv", "data.eng.dev.csv", "data.pol_Latn.test.csv"),
    ],
)
def test_split_and_language_are_read_off_the_names(folder, names):
    source = folder(dict.fromkeys(names, TOPICS))
    assert source.own.name == "mine"
    assert source.own.labels == ("food", "sport", "weather")
    assert [source.languages(source.own, split) for split in ("train", "validation", "test")] == [
        ("en",),
        ("en",),
        ("pl",),
    ]
    assert labels_of(source, "pl", "test") == ["sport", "food", "weather"]


def test_a_development_set_is_no_language_in_a_region(folder):
    source = folder(dict.fromkeys(("train_de.csv", "dev_de.csv", "val_fr.csv", "test_de.csv"), TOPICS))
    assert source.languages(source.own, "validation") == ("de", "fr")  # and not dev in Germany, val in France


def test_numbers_are_places_in_labels_that_are_given_and_in_no_others(folder):
    files = {"en.train.csv": TOPICS, "de.test.csv": "text,label\na,0\nb,2\n"}
    source = folder(files)
    with pytest.raises(DataError, match=r"unknown label '0' in label.* Numbers can mean them once labels:"):
        source.load(source.own, "de", "test")
    source = folder(files | {"task.yaml": "labels: [sport, food, weather]\n"})
    assert labels_of(source, "de", "test") == ["sport", "weather"]


def test_an_option_is_named_by_its_column_or_its_number_from_0(folder):
    head = "question,choice1,choice2,label\n"
    source = folder({"en.train.csv": f"{head}q,a,b,0\nq,a,b,choice2\n", "de.test.csv": f"{head}q,a,b,2\n"})
    assert labels_of(source, "en", "train") == ["choice2"]  # the first row is the development set
    with pytest.raises(DataError, match=r"'2' in label is no option.*number from 0: 0 is choice1"):
        source.load(source.own, "de", "test")


def test_options_and_a_text_that_may_be_read_or_not_are_not_guessed(folder):
    head = "passage,question,choice1,choice2,label\n"
    files = {"en.train.csv": f"{head}p,q,a,b,0\np,q,a,b,1\n"}
    with pytest.raises(
        DataError, match=r"made by passage too.*texts: \[passage, question, choice1, choice2\]"
    ):
        folder(files)
    said = "kind: choice\nlabel: label\ntexts: [passage, question, choice1, choice2]\n"
    assert folder(files | {"task.yaml": said}).own.text_fields == (
        "passage",
        "question",
        "choice1",
        "choice2",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("answer1,answer2,answer3", "label: correct\n"),
        ("mc_answer1,mc_answer2,mc_answer3", "label: correct\nkind: choice\n"),
        ("a,b,c", "label: correct\nkind: choice\nlabels: [a, b, c]\n"),
    ],
)
def test_options_of_other_names_are_known_or_are_the_labels(folder, options, said):
    rows = f"question,{options},correct\nq,x,y,z,0\nq,x,y,z,2\n"
    task = folder({"en.train.csv": rows, "task.yaml": said}).own
    assert task.text_fields == ("question", *task.labels)
    assert ",".join(task.labels) == options


@pytest.mark.parametrize("texts", ["", "texts: [question, a, b, c]\n"])
def test_a_choice_asks_which_columns_are_the_options(folder, texts):
    said = f"label: correct\nkind: choice\n{texts}"
    asked = r"which columns are the options among question, a, b, c, correct.*labels: \[NAME.*the options too"
    with pytest.raises(DataError, match=asked):
        folder({"en.train.csv": "question,a,b,c,correct\nq,x,y,z,0\n", "task.yaml": said})


def test_a_choice_may_have_as_many_texts_as_a_task_can(folder):
    head = "context,question,choice1,choice2,choice3,choice4,choice5,choice6,label\n"
    task = folder({"en.train.csv": f"{head}c,q,1,2,3,4,5,6,0\nc,q,1,2,3,4,5,6,5\n"}).own
    assert task.kind.typed_as(task) == "eight texts"


def test_rows_without_a_gold_label_are_left_out_of_the_hubs_parquet(tmp_path):
    names = ["entailment", "neutral", "contradiction"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    table = Dataset.from_dict({"text": list("abcdefgh"), "label": [0, 1, 2, -1] * 2}, features=features)
    table.to_parquet(tmp_path / "en.train.parquet")
    report = check_folder(tmp_path)
    assert any("3 labels (contradiction, entailment, neutral)" in note for note in report.warnings)
    assert [(found.split, found.count, found.skipped) for found in report.found] == [
        ("train", 3, {"no gold label": 1}),
        ("validation", 3, {"no gold label": 1}),
    ]
    assert not report.problems


def test_labels_that_are_hardly_labels_are_taken_where_the_column_is_named(folder):
    rows = "".join(f"text {place},intent{place % 30}\n" for place in range(45))
    with pytest.raises(DataError, match="'intent' is hardly the label"):
        folder({"en.train.csv": f"utterance,intent\n{rows}"})
    assert (
        len(folder({"en.train.csv": f"utterance,intent\n{rows}", "task.yaml": "label: intent\n"}).own.labels)
        == 30
    )


def test_a_tsv_with_a_header_in_capitals_is_a_table(folder):
    task = folder({"en.train.tsv": "ID\tTEXT\tLABEL\n1\ta\tPOS\n2\tb\tNEG\n3\tc\tPOS\n"}).own
    assert (definition_of(task).kind, task.labels) == ("classification", ("NEG", "POS"))


def test_a_known_pair_of_columns_is_read_in_its_order_wherever_they_stand(folder):
    task = folder({"en.train.csv": "hypothesis,label,premise\na,x,b\nc,y,d\ne,x,f\n"}).own
    assert task.text_fields == ("premise", "hypothesis")


@pytest.mark.parametrize("labels", ["[true, false]", '["true", "false"]'])
def test_truth_values_are_labels(folder, labels):
    rows = '{"text": "a", "label": true}\n{"text": "b", "label": false}\n{"text": "c", "label": false}\n'
    source = folder({"en.train.jsonl": rows, "task.yaml": f"labels: {labels}\n"})
    assert labels_of(source, "en", "train") == ["false"]
    assert labels_of(source, "en", "validation") == ["true", "false"]


@pytest.mark.parametrize(
    ("task", "train", "labels"),
    [
        ("labels: [False, True]\n", "text,label\na,True\nb,False\nc,FALSE\n", ("false", "true")),
        ("", "text,label\na,2.0\nb,1.0\nc,2\n", ("1", "2")),
        ("labels: ['1.0', '2.0']\n", "text,label\na,2.0\nb,1.0\nc,1.0\n", ("1.0", "2.0")),
    ],
    ids=["truth values as pandas writes them", "whole numbers as pandas writes them", "versions"],
)
def test_labels_are_told_however_a_program_writes_them(folder, task, train, labels):
    test = '{"text": "d", "label": true}\n' if "true" in labels else '{"text": "d", "label": "2.0"}\n'
    source = folder({"task.yaml": task, "en.train.csv": train, "de.test.jsonl": test})
    assert source.own.labels == labels
    assert labels_of(source, "en", "train") + labels_of(source, "en", "validation")
    assert labels_of(source, "de", "test") == [labels[1]]


@pytest.mark.parametrize(
    ("labels", "given"), [("['1.0', '0.0']", [0.0, 1.0, 0.0]), ("[1, 0, -1]", [-1.0, 1.0, 0.0])]
)
def test_numbers_with_a_fraction_are_labels_by_their_names(folder, labels, given):
    rows = "".join(json.dumps({"text": f"a{label}", "label": label}) + "\n" for label in given)
    source = folder({"task.yaml": f"labels: {labels}\n", "en.train.jsonl": rows, "en.test.jsonl": rows})
    assert list(map(float, labels_of(source, "en", "test"))) == given


def test_a_number_is_no_place_among_labels_that_are_numbers(folder):
    row = '{"text": "a", "label": 1}\n'
    source = folder({"task.yaml": "labels: ['1.0', '0.0']\n", "en.train.jsonl": row, "en.test.jsonl": row})
    with pytest.raises(DataError, match="unknown label '1' in label"):
        source.load(source.own, "en", "test")


def test_spans_come_from_the_hubs_parquet(tmp_path):
    answers = {"text": ["Rome"], "answer_start": [7]}
    rows = [{"context": "I love Rome.", "question": "What?", "answers": answers}] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "en.train.parquet")
    source = open_source(str(tmp_path))
    assert source.load(source.own, "en", "train")["answers"][0] == [{"text": "Rome", "start": 7}]


UNER = "# sent_id = 1\n# text = the paris\n1\tthe\tO\t-\t-\n2\tparis\tB-LOC\t-\t-\n\n"
MULTICONER = "# id 7\tdomain=en\nthe _ _ O\nparis _ _ B-LOC\n\n"
HASHTAGS = "#love O\n#paris B-LOC\n\n"


@pytest.mark.parametrize(
    ("content", "said", "words"),
    [
        (UNER, "texts: 2\nlabel: 3\n", ["the", "paris"]),
        (MULTICONER, "", ["the", "paris"]),
        (HASHTAGS, "", ["#love", "#paris"]),
    ],
    ids=["Universal NER", "MultiCoNER", "hashtags"],
)
def test_comments_before_a_sentence_of_columns_are_no_words(folder, content, said, words):
    files = {"en-train.iob2": content * 2} | ({"task.yaml": said} if said else {})
    source = folder(files)
    assert source.own.labels == ("O", "B-LOC", "I-LOC")
    assert source.load(source.own, "en", "train")["tokens"][0] == words


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("csv", TOPICS),
        ("csv", TOPICS.replace(",", ";")),
        ("csv", 'text,label\n"a ""match"", the\nsecond",sport\nthe soup,food\nsome rain,weather\n'),
        ("tsv", TOPICS.replace(",", "\t")),
        ("jsonl", '{"text": "a", "label": "sport", "n": 1}\n{"text": "b", "label": "food", "n": 2}\n'
                  '{"text": "c", "label": "weather", "n": 3}\n'),
    ],
)  # fmt: skip
def test_a_table_is_read_whatever_its_format(folder, name, content):
    source = folder({f"en.{split}.{name}": content for split in ("train", "dev", "test")})
    assert definition_of(source.own).kind == "classification"
    assert labels_of(source, "en", "test") == ["sport", "food", "weather"]
    assert source.load(source.own, "en", "test")["first"][0] in ("a", "a match", 'a "match", the\nsecond')


def test_entities_in_conll_2003s_layout_have_tags_of_their_own(folder):
    source = folder({"eng.train": CONLL, "eng.testa": CONLL, "eng.testb": CONLL})
    assert source.own.labels == ("O", "B-DRUG", "I-DRUG")
    assert source.own.metrics[0] == "f1"
    assert source.load(source.own, "en", "validation")["tokens"] == [
        ["Aspirin", "helps"],
        ["Take", "red", "pills"],
    ]
    assert labels_of(source, "en", "test") == [["B-DRUG", "O"], ["O", "B-DRUG", "I-DRUG"]]


def test_another_column_of_conll_2003s_layout_is_named_by_its_number(folder):
    source = folder({"eng.train": CONLL, "eng.testb": CONLL, "task.yaml": "label: 2\nkind: tagging\n"})
    assert source.own.labels == ("JJ", "NNP", "NNS", "VB", "VBZ")
    assert source.own.metrics == ("accuracy",)
    assert labels_of(source, "en", "test")[0] == ["NNP", "VBZ"]


def test_masakhaners_layout_has_folders_of_iso_639_3_codes(folder):
    source = folder({f"{code}/{name}.txt": MASAKHA for code in ("hau", "yor") for name in ("train", "test")})
    assert source.languages(source.own, "train") == ("ha", "yo")
    assert source.own.labels == ("O", "B-LOC", "I-LOC")


def test_without_a_development_set_one_training_row_in_ten_is_kept_for_it_and_that_is_said(folder):
    rows = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(21))
    source = folder({"en.train.csv": f"text,label\n{rows}", "en.test.csv": TOPICS})
    kept = source.load(source.own, "en", "validation")["first"]
    assert kept == ["text 0", "text 3", "text 20"], "of each label one in ten"
    trained = source.load(source.own, "en", "train")["first"]
    assert len(trained) == 18
    assert not set(kept) & set(trained)
    assert any(
        "no development set in en: of 10 training rows of a label one is kept" in note
        for note in source.left_out
    )
    prints = {source.fingerprint(source.own, "en", split) for split in ("train", "validation")}
    assert len(prints) == 2


def test_a_development_set_that_is_cut_has_each_label_and_leaves_each_for_training(folder):
    rows = "".join(f"text {number},{'fine' if number % 20 else 'toxic'}\n" for number in range(80))
    test = "text,label\na,fine\n"
    source = folder({"en.train.csv": f"text,label\n{rows}lone,odd\n", "en.test.csv": test})
    kept = Counter(labels_of(source, "en", "validation"))
    assert kept == {"toxic": 1, "fine": 8}
    assert Counter(labels_of(source, "en", "train")) == {"fine": 68, "toxic": 3, "odd": 1}


def class_label_parquet(path, labels, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    features = Features({"text": Value("string"), "label": ClassLabel(names=labels)})
    numbers = [labels.index(label) for _, label in rows]
    Dataset.from_dict({"text": [text for text, _ in rows], "label": numbers}, features=features).to_parquet(
        path
    )


def test_parquet_files_that_number_their_labels_differently_are_read_by_names(tmp_path):
    rows = [("a", "sport"), ("b", "food"), ("c", "sport")]
    class_label_parquet(tmp_path / "mine/en/train-00000-of-00002.parquet", ["sport", "food"], rows)
    class_label_parquet(tmp_path / "mine/en/train-00001-of-00002.parquet", ["food", "sport"], rows)
    class_label_parquet(tmp_path / "mine/pl/test.parquet", ["food", "sport"], rows)
    source = open_source(str(tmp_path / "mine"))
    named = ["sport", "food", "sport"]
    assert labels_of(source, "pl", "test") == named
    both = labels_of(source, "en", "validation") + labels_of(source, "en", "train")
    assert sorted(both) == sorted(2 * named), "the shards are one split"


def test_a_column_tells_the_languages_of_one_file(folder):
    table = "text,label,language\na,x,en\nb,y,pl\nc,x,eng\n"
    source = folder({f"{split}.csv": table for split in ("train", "dev", "test")})
    assert source.languages(source.own, "test") == ("en", "pl")
    assert source.load(source.own, "en", "test")["first"] == ["a", "c"]


def test_the_task_file_says_what_is_not_to_be_found_out(folder):
    table = "head,body,stars,source\nbad,never again,1,web\ngood,yes,5,web\n"
    said = "name: stars\ntexts: [head, body]\nlabel: stars\nlabels: [1, 3, 5]\nlanguage: ha\nversion: 3\n"
    source = folder({"train.csv": table, "dev.csv": table, "test.csv": table, "task.yaml": said})
    own = source.own
    assert (own.name, own.fields, own.labels, own.version) == (
        "stars",
        ("head", "body", "stars"),
        ("1", "3", "5"),
        3,
    )
    assert source.languages(own, "test") == ("ha",)
    assert labels_of(source, "ha", "test") == ["1", "5"], "by names, although they could be places"
    assert read_definition(definition_of(own).as_text()).task("stars") == own


def test_other_text_in_a_place_is_another_example_where_rows_have_no_ids(folder):
    def ids(text):
        table = f"text,label\nGood,a\n{text},b\n"
        source = folder({"en.train.csv": table, "en.test.csv": table})
        return list(source.load(source.own, "en", "test")["id"])

    first, second = ids("Bad")
    assert (first[:2], second[:2]) == ("0-", "1-")
    assert ids("Bad") == [first, second]
    assert ids("Worse")[0] == first
    assert ids("Worse")[1] != second


def test_numbers_are_places_where_labels_have_other_names(folder):
    table = "text,label\na,0\nb,1\n"
    source = folder(
        {f"en.{split}.csv": table for split in ("train", "test")} | {"task.yaml": "labels: [no, yes]"}
    )
    assert labels_of(source, "en", "test") == ["no", "yes"]


def test_options_are_a_choice_and_questions_about_a_context_are_spans(tmp_path):
    for name, table in (
        ("plan", "premise,question,choice1,choice2,label\nIt rains.,effect,wet,dry,0\nSun.,effect,a,b,1\n"),
        ("quiz", "question,option_a,option_b,option_c,label\nWho?,me,you,they,option_c\n"),
    ):
        for split in ("train", "test"):
            path = tmp_path / name / f"en.{split}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text(table)
        source = open_source(str(tmp_path / name))
        assert definition_of(source.own).kind == "choice"
    assert source.own.labels == ("option_a", "option_b", "option_c")
    assert labels_of(source, "en", "test") == ["option_c"]
    row = {"context": "Ada wrote it.", "question": "Who?", "answers": [{"text": "Ada", "start": 0}]}
    (tmp_path / "ask").mkdir()
    (tmp_path / "ask" / "task.yaml").write_text("kind: span\n")
    for split in ("train", "test"):
        (tmp_path / "ask" / f"en.{split}.jsonl").write_text(json.dumps(row) + "\n")
    source = open_source(str(tmp_path / "ask"))
    assert source.own.metrics[:2] == ("f1", "exact_match")
    assert source.load(source.own, "en", "test")["answers"] == [row["answers"]]


def test_json_lines_of_tokens_and_tags_are_tagging(folder):
    row = '{"tokens": ["a", "b"], "ner_tags": ["O", "B-GENE"]}\n'
    source = folder({f"sw.{split}.jsonl": row for split in ("train", "test")})
    assert source.own.fields == ("tokens", "ner_tags")
    assert source.own.labels == ("O", "B-GENE", "I-GENE")


def test_sentences_without_an_entity_do_not_make_a_folder_one_of_ner(folder):
    outside = '{"tokens": ["a", "b"], "tags": ["O", "O"]}\n'
    source = folder(
        {"en.train.jsonl": outside * 9 + outside.replace('"O"]', '"B-GENE"]'), "en.dev.jsonl": outside}
    )
    assert source.own.labels == ("O", "B-GENE", "I-GENE")


def test_a_benchmarks_folder_is_no_own_task_and_a_task_file_makes_it_one(folder, tmp_path):
    pair = (
        '{"premise": "a", "hypothesis": "b", "label": 0}\n{"premise": "c", "hypothesis": "d", "label": 1}\n'
    )
    source = folder({"en.train.jsonl": pair, "en.test.jsonl": pair})
    assert source.own is None
    assert source.languages(TASKS["xnli"], "test") == ("en",)
    source = folder({"task.yaml": "name: support"})
    assert source.own.labels == ("0", "1")


def test_what_was_found_out_is_in_the_report_of_a_folder(folder, tmp_path):
    folder({"en.train.csv": TOPICS, "pl.test.csv": TOPICS, "labels.csv": "a,b\n"})
    report = check_folder(tmp_path / "mine")
    assert report.problems == []
    assert [(each.language, each.split, each.count) for each in report.found] == [
        ("en", "train", 2),
        ("en", "validation", 1),
        ("pl", "test", 3),
    ]
    assert report.warnings[0].startswith(
        "own task mine: classification; columns text and label; 3 labels (food"
    )
    assert any("its name says no split (train, dev or test): labels.csv" in note for note in report.warnings)


def test_the_check_tells_labels_that_training_or_development_sets_lack(folder, tmp_path):
    lacking = "text,label\nthe soup,food\na match,sport\n"
    folder({"en.train.csv": TOPICS, "en.dev.csv": lacking, "de.train.csv": lacking, "de.dev.csv": TOPICS})
    folder({"pl.dev.csv": lacking, "pl.test.csv": lacking})  # neither trained on nor chosen by
    told = [note for note in check_folder(tmp_path / "mine").warnings if "no row has" in note]
    assert told == [f"mine {part}: no row has the label weather" for part in ("en validation", "de train")]


def test_text_to_predict_for_may_be_a_table(folder, tmp_path):
    source = folder({"en.train.csv": TOPICS, "en.test.csv": TOPICS})
    new = tmp_path / "new.csv"
    new.write_text("text,more\nsome snow,1\n")
    assert [row.texts for row in read_rows(source.own, new)] == [("some snow",)]
    pq.write_table(pa.table({"id": ["x"], "text": ["some snow"]}), tmp_path / "new.parquet")
    assert [(row.id, row.texts) for row in read_rows(source.own, tmp_path / "new.parquet")] == [
        ("x", ("some snow",))
    ]
    assert len(typed_rows(source.own, ["a", "b"])) == 2


def test_the_example_is_a_task_of_three_labels_and_languages_and_is_written_into_a_new_folder(tmp_path):
    write_example(tmp_path / "topics")
    source = open_source(str(tmp_path / "topics"))
    assert source.own.labels == ("food", "sport", "weather")
    assert source.languages(source.own, "test") == ("en", "de", "pl")
    texts = [set(source.load(source.own, "en", split)["first"]) for split in ("train", "validation", "test")]
    assert [len(each) for each in texts] == [48, 24, 24]
    assert not texts[0] & (texts[1] | texts[2])
    with pytest.raises(DataError, match="there is something here already"):
        write_example(tmp_path / "topics")
    with pytest.raises(DataError, match="'xnli' is a bundled task"):
        write_example(tmp_path / "xnli")


@pytest.mark.parametrize("name", ["mini", "mini-1", "hub"])
def test_the_example_is_not_written_into_a_folder_with_the_name_of_a_source(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in (Path(name), Path(".", name)):
        with pytest.raises(
            DataError, match=f"'{name}' is the name of a source, and --data {name} would mean"
        ):
            write_example(folder)
    assert list(tmp_path.iterdir()) == []
    assert write_example(tmp_path / name), "a path says that the folder is meant"


@pytest.mark.parametrize("name", ["2024", "1e5", "true", "0x10"])
def test_the_example_can_be_read_whatever_its_folder_is_called(tmp_path, name):
    write_example(tmp_path / name)
    assert open_source(str(tmp_path / name)).own.name == name


def test_what_keys_alone_call_a_benchmark_is_told(tmp_path):
    rows = '{"sentence1": "a", "sentence2": "b", "label": 0}\n'
    (tmp_path / "en.train.jsonl").write_text(rows)
    (note,) = [note for note in check_folder(tmp_path).warnings if "keys alone" in note]
    assert note.startswith("pawsx: known by keys alone: en.train.jsonl. A task.yaml in the folder makes it")
