"""XCOPA, COPA and e-CARE as they are published, and what is wrong in them."""

import json
import logging
from pathlib import Path

import pytest

from xlprompt.data import DataError, check_folder, open_source, task
from xlprompt.data.sources.inventory import take_inventory
from xlprompt.data.sources.reading import read

XCOPA = task("xcopa")


def jsonl(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def published(number: int, *, prefix: str = "", question: str = "", label: int | None = None) -> dict:
    """A row in the order and with the names of XCOPA's own files."""
    return {
        "premise": f"{prefix}premise {number}",
        "choice1": f"{prefix}first {number}",
        "choice2": f"{prefix}second {number}",
        "question": question or ("cause" if number % 2 else "effect"),
        "label": number % 3 % 2 if label is None else label,
        "idx": number,
        "changed": False,
    }


def own(row: dict) -> dict:
    """The same row in JSON Lines of a data folder."""
    return {"id": str(row.pop("idx"))} | {key: row[key] for key in row if key != "changed"}


def item(number: int, answer: int = 1, question: str = "cause") -> str:
    return (
        f'  <item id="{number}" asks-for="{question}" most-plausible-alternative="{answer}">\n'
        f"    <p>It &amp; the {number}.</p>\n    <a1>One {number}.</a1>\n    <a2>Two {number}.</a2>\n"
        "  </item>\n\n"
    )


def copa(path: Path, items: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE copa-corpus SYSTEM "copa.dtd">\n'
    path.write_text(f'{head}<copa-corpus  version="1.0">\n\n{items}</copa-corpus>\n', encoding="utf-8")


def questions(folder: Path, code: str, split: str = "test") -> list[str]:
    return list(open_source(str(folder)).load(XCOPA, code, split)["question"])


# -------------------------------------------------------------------------------------- published files


def test_xcopas_json_lines_are_named_after_split_and_language(tmp_path):
    for split in ("val", "test"):
        jsonl(tmp_path / "data" / "it" / f"{split}.it.jsonl", [published(n) for n in range(3)])
    source = open_source(str(tmp_path))
    assert source.languages(XCOPA, "validation") == source.languages(XCOPA, "test") == ("it",)
    rows = source.load(XCOPA, "it", "test").to_dict()
    assert list(rows) == ["id", "premise", "question", "choice1", "choice2", "label"]
    assert rows["id"] == ["0", "1", "2"]
    assert rows["question"] == ["effect", "cause", "effect"]
    assert rows["label"] == [0, 1, 0]


def test_texts_that_a_machine_translated_back_are_left_out(tmp_path):
    for folder in ("data", "data-gmt"):
        jsonl(tmp_path / folder / "it" / "test.it.jsonl", [published(0)])
    report = check_folder(tmp_path)
    assert [found.files for found in report.found] == [("data/it/test.it.jsonl",)]
    assert any("translated them back" in warning and "data-gmt/it" in warning for warning in report.warnings)


def test_copas_development_items_are_for_training_up_to_400_and_then_have_xcopas_ids(tmp_path):
    copa(tmp_path / "copa-dev.xml", item(1, 2) + item(400) + item(401, 2, "effect") + item(500))
    copa(tmp_path / "copa-test.xml", item(501) + item(1000, 2))
    source = open_source(str(tmp_path))
    ids = {split: list(source.load(XCOPA, "en", split)["id"]) for split in ("train", "validation", "test")}
    assert ids == {"train": ["1", "400"], "validation": ["0", "99"], "test": ["0", "499"]}
    row = source.load(XCOPA, "en", "validation")[0]
    assert row == {
        "id": "0",
        "premise": "It & the 401.",
        "question": "effect",
        "choice1": "One 401.",
        "choice2": "Two 401.",
        "label": 1,
    }


def test_copas_file_of_both_is_left_out(tmp_path):
    copa(tmp_path / "copa-all.xml", item(1))
    copa(tmp_path / "copa-test.xml", item(501))
    report = check_folder(tmp_path)
    assert [found.files for found in report.found] == [("copa-test.xml",)]
    assert "left out, copa-dev.xml and copa-test.xml in one: copa-all.xml" in report.warnings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (item(501).replace("</p>", ""), r"copa-test\.xml:9: not well-formed XML \(mismatched tag\)"),
        (item(501, 3), r"copa-test\.xml:5: an item with the id '501' and the answer '3'"),
        (item(501).replace("<a2>Two 501.</a2>", ""), r"copa-test\.xml:5: missing column 'choice2'"),
        (item(501).replace("Two 501.", " "), r"copa-test\.xml:5: choice2 is blank"),
    ],
)
def test_damaged_xml_is_named_with_its_line(tmp_path, content, message):
    copa(tmp_path / "copa-test.xml", content)
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path)).load(XCOPA, "en", "test")


def test_entities_that_grow_without_end_are_refused(tmp_path):
    grown = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<!DOCTYPE copa-corpus [<!ENTITY e0 "ha">{grown}]>\n<copa-corpus>{item(501)}</copa-corpus>'
    (tmp_path / "copa-test.xml").write_text(text.replace("It", "&e11;"))
    with pytest.raises(DataError, match="declares entities"):
        open_source(str(tmp_path)).load(XCOPA, "en", "test")


# -------------------------------------------------------------------------------------- more English rows


def test_rows_of_xcopas_form_in_another_folder_are_taken_where_there_are_no_others(tmp_path):
    jsonl(tmp_path / "ecare" / "en.train.jsonl", [own(published(n, prefix="e-CARE ")) for n in range(4)])
    jsonl(tmp_path / "xcopa" / "it.test.jsonl", [own(published(0))])
    source = open_source(str(tmp_path))
    assert source.load(XCOPA, "en", "train")["premise"][0] == "e-CARE premise 0"
    assert source.languages(XCOPA, "test") == ("it",)


def test_they_stand_back_where_the_tasks_own_folder_has_that_split(tmp_path):
    for folder in ("ecare", "xcopa"):
        jsonl(
            tmp_path / folder / "en.train.jsonl", [own(published(n, prefix=f"{folder} ")) for n in range(4)]
        )
    assert open_source(str(tmp_path)).load(XCOPA, "en", "train")["premise"][0] == "xcopa premise 0"
    report = check_folder(tmp_path)
    assert report.problems == []
    assert "xcopa en train: xcopa/ is used, ecare/en.train.jsonl left out" in report.warnings


def test_two_folders_that_are_named_after_the_task_are_ambiguous_still(tmp_path):
    for folder in ("old/xcopa", "xcopa"):
        jsonl(tmp_path / folder / "en.train.jsonl", [own(published(0))])
    with pytest.raises(DataError, match="xcopa en train is there 2 times"):
        open_source(str(tmp_path)).load(XCOPA, "en", "train")


# -------------------------------------------------------------------------------------- the wrong question


@pytest.fixture
def wrong(tmp_path) -> Path:
    """Thirty parallel rows; Turkish says "effect" in all of them, of which 15 ask for the cause."""
    jsonl(tmp_path / "xcopa" / "en.test.jsonl", [own(published(n)) for n in range(30)])
    jsonl(tmp_path / "xcopa" / "tr.test.jsonl", [own(published(n, question="effect")) for n in range(30)])
    return tmp_path


def test_the_english_question_of_the_same_id_is_taken_and_counted(wrong, caplog):
    with caplog.at_level(logging.INFO):
        assert questions(wrong, "tr") == questions(wrong, "en")
    assert "xcopa tr test: question contradicts English in 15 rows; the English is taken" in caplog.text
    assert any(
        "xcopa tr test: question contradicts English in 15 rows" in w for w in check_folder(wrong).warnings
    )


def test_rows_in_another_order_are_told_by_their_ids(wrong):
    rows = [own(published(n, question="effect")) for n in reversed(range(30))]
    jsonl(wrong / "xcopa" / "tr.test.jsonl", rows)
    assert questions(wrong, "tr") == questions(wrong, "en")[::-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:7] + [{**rows[7], "label": 1 - rows[7]["label"]}] + rows[8:],
        lambda rows: [*rows, {**rows[0], "id": "30"}],
        lambda rows: rows[:19],
    ],
    ids=["another label", "an id that English lacks", "a handful"],
)
def test_rows_that_are_no_translations_keep_their_own(wrong, change):
    rows = [own(published(n, question="effect")) for n in range(30)]
    jsonl(wrong / "xcopa" / "ko.test.jsonl", change(rows))
    assert set(questions(wrong, "ko")) == {"effect"}
    assert any(
        "ko test: question is read as it is, for these rows are no translations" in warning
        for warning in check_folder(wrong).warnings
    )


def test_without_english_rows_the_rows_own_is_kept_and_a_warning_says_so(wrong, caplog):
    (wrong / "xcopa" / "en.test.jsonl").unlink()
    assert set(questions(wrong, "tr")) == {"effect"}
    assert "there are no English rows to take it from" in caplog.text
    assert any(
        "xcopa tr test: question is read as it is" in warning for warning in check_folder(wrong).warnings
    )


def test_the_fingerprint_moves_with_the_english_rows(wrong):
    before = {code: open_source(str(wrong)).fingerprint(XCOPA, code, "test") for code in ("en", "tr")}
    rows = [own(published(n, question="cause")) for n in range(30)]
    jsonl(wrong / "xcopa" / "en.test.jsonl", rows)
    after = {code: open_source(str(wrong)).fingerprint(XCOPA, code, "test") for code in ("en", "tr")}
    assert before["tr"] != after["tr"]
    assert questions(wrong, "tr") == ["cause"] * 30


def test_a_copy_without_answers_is_refused_with_the_reason(tmp_path):
    jsonl(tmp_path / "xcopa" / "th.test.jsonl", [own(published(n, label=0)) for n in range(20)])
    with pytest.raises(
        DataError, match="every one of 20 rows has the label 'choice1': a copy without the answers"
    ):
        open_source(str(tmp_path)).load(XCOPA, "th", "test")
    assert "a copy without the answers" in check_folder(tmp_path).problems[0].message
    jsonl(tmp_path / "xcopa" / "th.test.jsonl", [own(published(n, label=0)) for n in range(19)])
    assert len(open_source(str(tmp_path)).load(XCOPA, "th", "test")) == 19, "so few may be chance"


# -------------------------------------------------------------------------------------- the real samples


@pytest.mark.integration
def test_the_real_samples_have_as_many_wrong_questions_as_their_readme_says(benchmark_data):
    parts = take_inventory(benchmark_data).parts
    notes = {
        (code, split): read(found[0], parts).note
        for (name, code, split), found in parts.items()
        if name == "xcopa" and split != "train"
    }
    wrong = {
        key: int(note.split(" in ")[1].split()[0]) for key, note in notes.items() if "contradicts" in note
    }
    assert wrong == {
        ("tr", "validation"): 52,
        ("tr", "test"): 51,
        ("id", "validation"): 5,
        ("id", "test"): 4,
        ("it", "validation"): 5,
        ("it", "test"): 4,
    }
    assert {key for key, note in notes.items() if "no translations" in note} == {
        ("ko", "validation"),
        ("ko", "test"),
    }
    train = open_source(str(benchmark_data)).load(XCOPA, "en", "train")
    assert len(train) == 800, "COPA's and Balanced COPA's, and not e-CARE's"


@pytest.mark.integration
def test_every_language_of_the_real_samples_asks_as_english_does_but_for_korean(benchmark_data):
    for split in ("validation", "test"):
        english = questions(benchmark_data, "en", split)
        codes = open_source(str(benchmark_data)).languages(XCOPA, split)
        differ = [code for code in codes if questions(benchmark_data, code, split) != english]
        assert differ == ["ko"]
