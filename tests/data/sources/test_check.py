import json
from pathlib import Path

import pytest

from xlprompt.data import DataError, check_folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def pair(premise: str, label: object = 0) -> str:
    return json.dumps({"premise": premise, "hypothesis": "b", "label": label}) + "\n"


def test_everything_found_is_listed_by_task_study_order_and_split(tmp_path):
    for name in ("qu.test", "de.test", "en.test", "en.train"):
        write(tmp_path / "xnli" / f"{name}.jsonl", pair(name))
    write(tmp_path / "pos" / "fi.test.jsonl", '{"tokens": ["a", "b"], "tags": ["X", "X"]}\n')
    report = check_folder(tmp_path)
    assert [(found.task, found.language, found.split, found.count) for found in report.found] == [
        ("xnli", "en", "train", 1),
        ("xnli", "en", "test", 1),
        ("xnli", "de", "test", 1),
        ("xnli", "qu", "test", 1),
        ("pos", "fi", "test", 1),
    ]
    assert report.found[0].files == ("xnli/en.train.jsonl",)
    assert report.problems == []


def test_all_problems_of_all_files_are_listed_and_the_good_rows_counted(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", pair("a") + "{\n" + pair("b", 7) + pair("") + pair("c"))
    write(tmp_path / "xnli" / "de.test.jsonl", "[]\n")
    write(tmp_path / "xnli" / "xx.test.jsonl", pair("a"))
    report = check_folder(tmp_path)
    assert [(problem.file, problem.line) for problem in report.problems] == [
        ("xnli/de.test.jsonl", 1),
        ("xnli/en.test.jsonl", 2),
        ("xnli/en.test.jsonl", 3),
        ("xnli/en.test.jsonl", 4),
        ("xnli/xx.test.jsonl", None),
    ]
    assert {found.language: found.count for found in report.found} == {"en": 2, "de": 0}


def test_a_damaged_sentence_is_one_problem_and_the_next_is_read(tmp_path):
    good = "1\tYes\tyes\tINTJ\t_\t_\t0\troot\t_\t_\n\n"
    write(tmp_path / "en_ewt-ud-test.conllu", good + "1\ta\tb\n2\tc\td\n\n" + good)
    write(tmp_path / "en" / "train", "en:a\tO\n\nen:b\nen:c\n\nen:d\tO\n")
    report = check_folder(tmp_path)
    assert {found.task: found.count for found in report.found} == {"ner": 2, "pos": 2}
    assert [(problem.file, problem.line) for problem in report.problems] == [
        ("en/train", 3),
        ("en/train", 4),
        ("en_ewt-ud-test.conllu", 3),
    ]


def test_problems_are_bounded_a_file_and_the_rest_counted(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", "{\n" * 75)
    problems = check_folder(tmp_path).problems
    assert len(problems) == 21
    assert problems[-1].message == "55 further problems"


def test_a_damaged_line_of_a_file_of_all_languages_is_reported_once(tmp_path):
    header = "language\tgold_label\tsentence1\tsentence2\n"
    write(tmp_path / "xnli.dev.tsv", header + "de\tneutral\ta\tb\nfr\tneutral\ta\tb\nfr\tneutral\ta\n")
    assert [problem.line for problem in check_folder(tmp_path).problems] == [4]


def test_a_damaged_line_counts_once_however_many_languages_the_file_has(tmp_path):
    header = "language\tgold_label\tsentence1\tsentence2\n"
    good = "".join(f"{code}\tneutral\ta\tb\n" for code in ("de", "fr", "en"))
    write(tmp_path / "xnli.dev.tsv", header + good + "fr\tneutral\ta\n" * 15)
    problems = check_folder(tmp_path).problems
    assert len(problems) == 15
    assert all("3 columns" in problem.message for problem in problems)


def test_an_unknown_language_in_a_file_of_all_languages_is_reported_and_the_others_read(tmp_path):
    header = "language\tgold_label\tsentence1\tsentence2\n"
    write(tmp_path / "xnli.dev.tsv", header + "de\tneutral\ta\tb\nxx\tneutral\ta\tb\n")
    report = check_folder(tmp_path)
    assert [found.language for found in report.found] == ["de"]
    assert [(problem.line, problem.message) for problem in report.problems] == [(3, "unknown language 'xx'")]


def test_texts_that_occur_in_two_splits_are_warned_of_with_their_number(tmp_path):
    write(tmp_path / "xnli" / "en.train.jsonl", pair("a") + pair("a", 1) + pair("b") + pair("c"))
    write(tmp_path / "xnli" / "en.validation.jsonl", pair("d"))
    write(tmp_path / "xnli" / "en.test.jsonl", pair("a") + pair("b") + pair("d"))
    report = check_folder(tmp_path)
    assert report.warnings == [
        "xnli en train: 1 row repeats another's texts",
        "xnli en: 3 train rows also occur in test",
        "xnli en: 1 validation row also occurs in test",
    ]
    assert report.problems == [], "a repeat is no problem: the published data have them"


def test_an_ambiguous_split_is_a_problem_and_both_are_counted(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", pair("a"))
    write(tmp_path / "old" / "xnli" / "en.test.jsonl", pair("a"))
    report = check_folder(tmp_path)
    assert len(report.found) == 2
    assert [(problem.file, "is there 2 times" in problem.message) for problem in report.problems] == [
        (".", True)
    ]


def test_an_empty_folder_is_a_problem_of_the_folder(tmp_path):
    report = check_folder(tmp_path)
    assert [(problem.file, problem.message) for problem in report.problems] == [
        (".", "no benchmark data in this folder")
    ]


def test_the_report_is_json(tmp_path):
    write(tmp_path / "xnli" / "en.test.jsonl", pair("a") + "{\n")
    report = json.loads(json.dumps(check_folder(tmp_path).to_dict()))
    assert report["found"] == [
        {
            "task": "xnli",
            "language": "en",
            "split": "test",
            "format": "jsonl",
            "count": 1,
            "files": ["xnli/en.test.jsonl"],
            "skipped": {},
        }
    ]
    assert report["problems"][0]["line"] == 2
    assert report["warnings"] == [
        "xnli: no training set in any language; runs can be scored on it, and none trained",
        "xnli: no development set in any language; a run needs that of the language it trains on",
    ]


@pytest.mark.parametrize("name", ["mini", "mini-1", "hub"])
def test_a_source_without_a_folder_cannot_be_checked_and_a_folder_of_its_name_can(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"{name} is a source that comes without a folder") as caught:
        check_folder(name)
    assert caught.value.fix == f"`xlprompt data show {name}` prints examples of it."
    write(tmp_path / name / "xnli" / "de.test.jsonl", pair("a"))
    assert [each.language for each in check_folder(name).found] == ["de"]


def test_a_folder_that_does_not_exist_cannot_be_checked(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        check_folder(tmp_path / "nowhere")


@pytest.mark.integration
def test_the_real_samples_have_no_problems(benchmark_data):
    report = check_folder(benchmark_data)
    assert report.problems == []
    assert len(report.found) == 292
    assert sum(found.count for found in report.found) == 423_326
    # The English PAN-X repeats that the samples' readme counts.
    assert "ner en: 15 validation rows also occur in test" in report.warnings
