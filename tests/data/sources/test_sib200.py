"""SIB-200 as it is published, and as JSON Lines."""

import csv
import io
import json
from pathlib import Path

import pytest

from xlprompt.data import LANGUAGES, DataError, check_folder, open_source, task
from xlprompt.data.tasks.sib200 import FLORES

SIB200 = task("sib200")
ROWS = [
    ("1523", "science/technology", "Mutation adds new genetic variation."),
    ("7", "geography", '"We now have 4-month-old mice," he added.'),
    ("558", "sports", 'She called it a "quarter", and ran.'),
]


def write(path: Path, rows: list[tuple[str, ...]]) -> Path:
    """Write rows as pandas' `to_csv(sep="\\t", index=False)` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    csv.writer(table, delimiter="\t", lineterminator="\n").writerows(
        [("index_id", "category", "text"), *rows]
    )
    path.write_text(table.getvalue(), encoding="utf-8")
    return path


def test_published_files_are_read_with_their_quotation_marks_and_ids(tmp_path):
    path = write(tmp_path / "data" / "annotated" / "deu_Latn" / "dev.tsv", ROWS)
    assert '"""We now' in path.read_text(), "as published: quoted, and each mark doubled"
    rows = open_source(str(tmp_path)).load(SIB200, "de", "validation")
    assert list(rows["first"]) == [text for _, _, text in ROWS]
    assert list(rows["id"]) == ["1523", "7", "558"]
    assert [SIB200.labels[label] for label in rows["label"]] == [topic for _, topic, _ in ROWS]


@pytest.mark.parametrize(("folder", "language"), [("zho_Hans", "zh"), ("swh_Latn", "sw"), ("de", "de")])
def test_a_folder_is_named_after_flores_code_or_the_language(tmp_path, folder, language):
    write(tmp_path / folder / "test.tsv", ROWS)
    assert open_source(str(tmp_path)).languages(SIB200, "test") == (language,)


@pytest.mark.parametrize("folder", ["zho_Hant", "arb_Latn", "ace_Arab"])
def test_other_scripts_and_languages_are_left_out_and_said_so(tmp_path, folder):
    write(tmp_path / folder / "test.tsv", ROWS)
    write(tmp_path / "eng_Latn" / "test.tsv", ROWS)
    report = check_folder(tmp_path)
    assert [found.language for found in report.found] == ["en"]
    assert any(folder in warning and "not in the table" in warning for warning in report.warnings)
    assert not report.problems


def test_a_file_without_a_split_in_its_name_is_refused(tmp_path):
    write(tmp_path / "eng_Latn" / "all.tsv", ROWS)
    (problem,) = check_folder(tmp_path).problems
    assert problem.message == "cannot tell the split of this SIB-200 file"


def test_an_unknown_topic_is_named_with_its_line(tmp_path):
    write(tmp_path / "eng_Latn" / "test.tsv", [*ROWS, ("9", "cooking", "Boil it.")])
    with pytest.raises(DataError, match=r"test\.tsv:5: unknown label 'cooking'.*science/technology, travel"):
        open_source(str(tmp_path)).load(SIB200, "en", "test")


@pytest.mark.parametrize(
    ("record", "known"),
    [
        ({"text": "a", "label": "geography"}, True),
        ({"text": "a", "label": 0}, False),
        ({"text": "a", "label": "billing"}, False),
    ],
    ids=["a topic's name", "a number", "another label"],
)
def test_anybodys_texts_with_labels_are_not_taken_for_topics(tmp_path, record, known):
    path = tmp_path / "letters" / "en.test.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(record) + "\n")
    report = check_folder(tmp_path)
    assert [found.task for found in report.found] == (["sib200"] if known else [])
    assert [problem.message for problem in report.problems] == (
        [] if known else ["cannot tell which task this file is of"]
    )


def test_the_languages_are_xglms_and_the_codes_name_each_once():
    seen = {code for code, row in LANGUAGES.items() if row.tokens}
    assert set(SIB200.languages) == seen
    assert len(set(FLORES.values())) == len(FLORES) == len(LANGUAGES)
    assert open_source("hub").languages(SIB200, "train") == open_source("hub").languages(SIB200, "test")


def test_a_language_outside_the_table_counts_in_its_usual_script_alone(tmp_path):
    for folder in ("pol_Latn", "zho_Hans", "zho_Hant", "kas_Deva"):
        path = tmp_path / folder / "test.tsv"
        path.parent.mkdir()
        path.write_text("index_id\tcategory\ttext\n1\ttravel\ta\n")
    report = check_folder(tmp_path)
    assert [found.language for found in report.found] == ["zh", "pl"]
    assert any("kas_Deva/test.tsv, zho_Hant/test.tsv" in note for note in report.warnings)


@pytest.mark.integration
def test_the_real_samples_are_parallel_in_every_language_and_split(benchmark_data):
    source = open_source(str(benchmark_data))
    for split, count in (("train", 701), ("validation", 99), ("test", 204)):
        rows = [source.load(SIB200, code, split) for code in source.languages(SIB200, split)]
        assert len(rows) == 26
        assert {len(each) for each in rows} == {count}
        assert all(list(each["id"]) == list(rows[0]["id"]) for each in rows)
        assert all(list(each["label"]) == list(rows[0]["label"]) for each in rows)
