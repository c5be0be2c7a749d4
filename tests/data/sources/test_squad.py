"""SQuAD and XQuAD as they are published, and what can be wrong in them."""

import json
from pathlib import Path

import pytest

from xlprompt.data import DataError, check_folder, open_source, task
from xlprompt.data.sources.formats import squad

XQUAD = task("xquad")
HINDI = "लोग"  # a letter and vowel signs that are code points of their own
DECOMPOSED = "Cafe\u0301 noir, noir"  # NFC would make it one code point shorter


def asked(number: str, text: str, start: int, question: str = "Which?") -> dict:
    return {"answers": [{"answer_start": start, "text": text}], "question": question, "id": number}


def article(*paragraphs: tuple[str, list[dict]]) -> dict:
    return {"title": "T", "paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs]}


def write(path: Path, *articles: dict, indent: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": articles, "version": "1.1"}, indent=indent), encoding="utf-8")
    return path


ONE = article(
    (DECOMPOSED, [asked("a", "noir", 12), asked("b", "Cafe\u0301", 0)]), (HINDI, [asked("c", HINDI[1:], 1)])
)
TWO = article(("It ends here.", [asked("d", "here", 8)]))


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_xquads_file_is_a_language_of_the_test_and_its_offsets_are_code_points(tmp_path, indent):
    write(tmp_path / "xquad.hi.json", ONE, TWO, indent=indent)
    rows = open_source(str(tmp_path)).load(XQUAD, "hi", "test").to_dict()
    assert list(rows) == ["id", "context", "question", "answers"]
    assert rows["id"] == ["a", "b", "c", "d"]
    assert rows["context"][:2] == [DECOMPOSED] * 2, "it is not normalized"
    assert rows["answers"][0] == [{"text": "noir", "start": 12}], "the second of two, as the file says"
    assert rows["answers"][2] == [{"text": HINDI[1:], "start": 1}]


def test_squads_files_are_english_rows_to_train_on_and_to_choose_by(tmp_path):
    write(tmp_path / "train-v1.1.json", ONE)
    write(tmp_path / "dev-v1.1.json", TWO)
    source = open_source(str(tmp_path))
    assert [len(source.load(XQUAD, "en", split)) for split in ("train", "validation")] == [3, 1]


def test_an_object_that_begins_with_its_version_is_read_too(tmp_path):
    path = tmp_path / "xquad.de.json"
    path.write_text(json.dumps({"version": "1.1", "data": [TWO]}))
    assert len(open_source(str(tmp_path)).load(XQUAD, "de", "test")) == 1


def test_test_questions_are_left_out_of_the_rows_to_choose_by(tmp_path):
    write(tmp_path / "dev-v1.1.json", ONE, TWO)
    write(tmp_path / "xquad.de.json", ONE)
    source = open_source(str(tmp_path))
    assert list(source.load(XQUAD, "en", "validation")["id"]) == ["d"]
    before = source.fingerprint(XQUAD, "en", "validation")
    assert check_folder(tmp_path).found[0].skipped == {"also in the test": 3}
    write(tmp_path / "xquad.en.json", TWO)
    write(tmp_path / "xquad.de.json", TWO)
    again = open_source(str(tmp_path))
    assert list(again.load(XQUAD, "en", "validation")["id"]) == ["a", "b", "c"]
    assert again.fingerprint(XQUAD, "en", "validation") != before


def test_rows_without_ids_of_their_own_are_not_taken_for_the_tests(tmp_path):
    row = {"context": "It ends here.", "question": "Where?", "answers": [{"text": "here", "start": 8}]}
    for split in ("validation", "test"):
        path = tmp_path / "xquad" / f"en.{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(row) + "\n")
    source = open_source(str(tmp_path))
    assert [len(source.load(task("xquad"), "en", split)) for split in ("validation", "test")] == [1, 1]


def test_a_file_is_read_article_by_article_and_no_two_blocks_make_a_difference(tmp_path, monkeypatch):
    articles = [article((f"Number {n}. " * 40, [asked(str(n), f"Number {n}", 0)])) for n in range(50)]
    write(tmp_path / "xquad.en.json", *articles)
    whole = open_source(str(tmp_path)).load(XQUAD, "en", "test").to_dict()
    monkeypatch.setattr(squad, "_BLOCK", 61)
    monkeypatch.setattr(squad, "_LONGEST_ARTICLE", 2_000)  # of the file's 30,000
    assert open_source(str(tmp_path)).load(XQUAD, "en", "test").to_dict() == whole
    assert len(whole["id"]) == 50


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("train-v2.0.json", "SQuAD 2.0, which asks questions that have no answer"),
        ("test-context-de-question-de.json", "MLQA, another benchmark than XQuAD"),
        ("dev-context-de-question-es.json", "MLQA, another benchmark than XQuAD"),
    ],
)
def test_other_benchmarks_of_this_form_are_left_out_with_the_reason(tmp_path, name, reason):
    write(tmp_path / name, ONE)
    write(tmp_path / "xquad.en.json", ONE)
    report = check_folder(tmp_path)
    assert f"left out, {reason}: {name}" in report.warnings
    assert [len(report.found), len(report.problems)] == [1, 0]


def test_a_name_that_does_not_say_language_and_split_is_refused(tmp_path):
    write(tmp_path / "questions.json", ONE)
    (problem,) = check_folder(tmp_path).problems
    assert problem.message == "SQuAD's form, but its name does not say language and split"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": 5}', r"xquad\.en\.json: not in SQuAD's form: no list under \"data\" at its beginning"),
        ('{"data": [{"paragraphs": [}', r"xquad\.en\.json: invalid JSON, or cut off"),
        (json.dumps({"data": [TWO, ONE]})[:-120], r"xquad\.en\.json: invalid JSON, or cut off"),
        (
            '{"data": [{"title": "a"}]}',
            r"xquad\.en\.json:1: not in SQuAD's form behind question 0.*paragraphs",
        ),
        (
            json.dumps(
                {"data": [TWO, {"paragraphs": [{"context": "a", "qas": [{"id": "x", "question": "q"}]}]}]}
            ),
            r"xquad\.en\.json:2: not in SQuAD's form behind question 1.*answers",
        ),
        ("", r"xquad\.en\.json: the file is empty|no list under"),
    ],
)
def test_damaged_files_are_refused_with_the_place(tmp_path, content, message):
    (tmp_path / "xquad.en.json").write_text(content)
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path)).load(XQUAD, "en", "test")


def test_an_answer_that_does_not_stand_at_its_start_is_named_with_file_row_and_number(tmp_path):
    wrong = asked("d", "here", 8)
    wrong["answers"].append({"text": "here", "answer_start": 7})
    write(tmp_path / "xquad.en.json", ONE, article(("It ends here.", [wrong])))
    with pytest.raises(DataError, match=r"xquad\.en\.json:4: answers, 2: at 7 of the context stands ' her'"):
        open_source(str(tmp_path)).load(XQUAD, "en", "test")


def test_a_copy_without_answers_is_refused_with_the_reason(tmp_path):
    write(tmp_path / "xquad.en.json", article(("It ends here.", [asked("d", "", 0)])))
    with pytest.raises(
        DataError, match=r"xquad\.en\.json:1: answers, 1: the answer is blank, as in copies without answers"
    ):
        open_source(str(tmp_path)).load(XQUAD, "en", "test")


def test_questions_that_are_asked_again_and_ids_that_repeat_are_noted(tmp_path):
    again = article(
        ("It ends here.", [asked("d", "here", 8), asked("d", "ends", 3), asked("e", "It", 0, "Who?")])
    )
    write(tmp_path / "xquad.en.json", again)
    assert check_folder(tmp_path).warnings[:-2] == [
        "xquad en test: 1 row repeats another's id",
        "xquad en test: 1 row repeats another's texts",
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"id": "0-1", "context": "a", "question": "b", "choices": ["c", "d", "e", "f"], "label": 1},
        {
            "flores_passage": "a",
            "question": "b",
            "mc_answer1": "c",
            "mc_answer4": "f",
            "correct_answer_num": "1",
        },
    ],
    ids=["a copy", "its own"],
)
def test_belebele_is_known_and_said_to_have_nothing_to_train_on(tmp_path, record):
    path = tmp_path / "belebele" / ("en.test.jsonl" if "choices" in record else "eng_Latn.jsonl")
    path.parent.mkdir()
    path.write_text(json.dumps(record) + "\n")
    write(tmp_path / "xquad.en.json", ONE)
    report = check_folder(tmp_path)
    assert [found.task for found in report.found] == ["xquad"]
    assert not report.problems
    assert any("four choices" in warning and "none to train on" in warning for warning in report.warnings)


@pytest.mark.integration
def test_every_answer_of_the_real_samples_stands_at_its_start(benchmark_data):
    source = open_source(str(benchmark_data))
    counts = {}
    for split in ("train", "validation", "test"):
        for code in source.languages(XQUAD, split):
            rows = source.load(XQUAD, code, split)
            counts[code, split] = len(rows)
            for context, answers in zip(rows["context"], rows["answers"], strict=True):
                for answer in answers:
                    assert context[answer["start"] :].startswith(answer["text"])
    assert (counts["en", "train"], counts["en", "validation"]) == (9_866, 2_000)
    assert sum(counts.values()) == 22_576
