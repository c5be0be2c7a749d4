import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from xlprompt.data import STUDY_LANGUAGES, TASKS

PAGE = Path(__file__).resolve().parents[3] / "packages" / "data" / "docs" / "mini-benchmark.md"


@pytest.fixture
def ner_folder(tmp_path):
    """Sentences of two languages that are not translations, though ids agree; one holds Markdown."""
    rows = {
        "en": [
            (["Oslo"], ["B-LOC"]),
            (["Rome"], ["B-LOC"]),
            (["It", "|", "[red]", "rains"], ["O"] * 4),
            (["Bonn"], ["B-LOC"]),
        ],
        "ur": [(["دہلی", "میں"], ["B-LOC", "O"])],
    }
    (tmp_path / "ner").mkdir()
    for language, sentences in rows.items():
        lines = [json.dumps({"tokens": tokens, "tags": tags}) + "\n" for tokens, tags in sentences]
        (tmp_path / "ner" / f"{language}.test.jsonl").write_text("".join(lines))
    return tmp_path


def test_check_lists_what_a_folder_holds(xlprompt, xnli_folder):
    result = xlprompt("data", "check", xnli_folder)
    assert result.exit_code == 0, result.output
    assert "6 data sets, 0 problems" in result.stdout


def test_check_prints_json_and_nothing_else(xlprompt, xnli_folder):
    result = xlprompt("data", "check", xnli_folder, "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["found"]
    found = {(row["task"], row["language"], row["split"]): row["count"] for row in rows}
    assert found[("xnli", "en", "train")] == 32
    assert found[("xnli", "de", "test")] == 8


def test_check_names_file_and_line_of_a_problem_and_exits_1(xlprompt, tmp_path):
    bad = tmp_path / "xnli" / "en.test.jsonl"
    bad.parent.mkdir()
    bad.write_text('{"premise": "a", "hypothesis": "b", "label": 0}\n{"premise": "a", "label": 1}\n')
    result = xlprompt("data", "check", tmp_path)
    assert result.exit_code == 1
    assert "en.test.jsonl:2: " in result.stdout
    assert json.loads(xlprompt("data", "check", tmp_path, "--json").stdout)["problems"][0]["line"] == 2


def test_check_of_an_empty_folder_exits_1_and_says_so(xlprompt, tmp_path):
    result = xlprompt("data", "check", tmp_path)
    assert result.exit_code == 1
    assert result.output.strip()


def test_check_of_a_folder_that_is_not_there_is_no_traceback(xlprompt, tmp_path):
    result = xlprompt("data", "check", tmp_path / "absent")
    assert result.exit_code in (1, 2)
    assert "absent" in result.output
    assert not isinstance(result.exception, OSError)


@pytest.fixture
def odd_folder(tmp_path):
    """A folder with a name of brackets, in it one of no UTF-8, and content that would steer a terminal."""
    folder = tmp_path / "[red] :bug: 50%?"
    row = {"id": "\x1b[1m", "premise": "é \x1b[31m 😀", "hypothesis": "\x9b2J b", "label": 0}
    for name, content in {
        "xnli/en.test.jsonl": json.dumps(row),
        "xnli/de.test.jsonl": json.dumps({"\x1b]0;title\x07": 1}),
        "\udcff/fr.test.jsonl": "{}",
        "x-final/de/test_2k.tsv": "id\t\x1b[31m",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content + "\n", encoding="utf-8")
    return folder


def test_check_escapes_what_would_steer_the_terminal_and_prints_names_as_they_are(xlprompt, odd_folder):
    result = xlprompt("data", "check", odd_folder)
    assert result.exit_code == 1, result.output
    assert "\x1b" not in result.output
    assert "[red] :bug: 50%?" in result.stdout
    assert "\\xff/fr.test.jsonl: cannot tell which task" in result.stdout
    assert "The row's columns: \\x1b]0;title\\x07." in result.stdout
    assert "it has: id, \\x1b[31m." in result.stdout


def test_show_escapes_what_would_steer_the_terminal(xlprompt, odd_folder):
    for options in ([], ["--markdown"]):
        result = xlprompt("data", "show", odd_folder, "--languages", "en", *options)
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output
        assert "\x9b" not in result.output
        assert "31m 😀" in result.output


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_standard_output_of_any_encoding_takes_every_table_and_json_stays_json(odd_folder, encoding):
    """All calls in one process: most of what one costs is its start."""
    check, show = ["data", "check", str(odd_folder)], ["data", "show", str(odd_folder), "--languages", "en"]
    calls = [check, show, [*check, "--json"], [*show, "--json"]]
    program = (
        "import json, sys\nfrom xlprompt.cli.main import main\n"
        "for sys.argv[1:] in json.loads(sys.argv[1]):\n"
        "    try: main()\n    except SystemExit as end: print('ended with', end.code or 0, flush=True)\n"
    )
    command = [sys.executable, "-c", program, json.dumps(calls)]
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"Traceback" not in done.stderr
    output = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)  # as JSON always is there
    said = re.split("^ended with ([01])\n", output, flags=re.MULTILINE)
    assert said[1::2] == ["1", "0", "1", "0"]  # there is something wrong with the folder
    assert "problems" in json.loads(said[4])
    assert "😀" in json.dumps(json.loads(said[6]), ensure_ascii=False)


def test_check_shows_what_was_left_out(xlprompt, tmp_path):
    (tmp_path / "pawsx").mkdir()
    rows = ("a", "NS")
    lines = [json.dumps({"sentence1": text, "sentence2": "b", "label": 0}) for text in rows]
    (tmp_path / "pawsx" / "de.test.jsonl").write_text("\n".join(lines))
    result = xlprompt("data", "check", tmp_path)
    assert result.exit_code == 0
    assert "1 not translated" in result.stdout


def test_show_prints_a_pair_as_two_lines_below_its_label(xlprompt, xnli_folder):
    result = xlprompt("data", "show", xnli_folder, "--task", "xnli", "--examples", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout == "xnli  0  entailment\n  en  The man has 0 coats.\n      book\n"


def test_show_sets_parallel_languages_one_below_the_other(xlprompt, xnli_folder):
    rows = json.loads(xlprompt("data", "show", xnli_folder, "--languages", "de,en", "--json").stdout)
    assert [(row["id"], row["language"]) for row in rows] == [
        ("0", "de"),
        ("0", "en"),
        ("1", "de"),
        ("1", "en"),
        ("2", "de"),
        ("2", "en"),
    ]


def test_show_takes_every_label_once_before_any_twice(xlprompt):
    def labels(task, number):
        result = xlprompt("data", "show", "mini", "--task", task, "--examples", number, "--json")
        return sorted(row["label"] for row in json.loads(result.stdout))

    assert labels("xnli", 3) == ["contradiction", "entailment", "neutral"]
    assert labels("pawsx", 4) == ["different", "different", "paraphrase", "paraphrase"]


def test_show_prints_options_below_the_right_ones_name_and_answers_below_their_question(xlprompt, tmp_path):
    def write_line(path, row):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(row) + "\n")

    choice = {
        "premise": "It rained.",
        "question": "effect",
        "choice1": "It froze.",
        "choice2": "I got wet.",
        "label": 1,
    }
    write_line(tmp_path / "xcopa" / "en.test.jsonl", choice)
    for code, context in (("en", "It ends here."), ("de", "Es endet hier.")):
        answers = [{"text": text, "start": context.index(text)} for text in context.rstrip(".").split()[1:]]
        row = {"id": "a", "context": context, "question": "Which?", "answers": answers}
        write_line(tmp_path / "xquad" / f"{code}.test.jsonl", row)
    result = xlprompt("data", "show", str(tmp_path), "--languages", "en,de")
    assert result.exit_code == 0, result.output
    shown = [line.strip() for line in result.output.splitlines()]
    assert shown[:5] == ["xcopa  0  choice2", "en  It rained.", "effect", "It froze.", "I got wet."]
    assert shown[6:] == [
        "xquad  a",
        "en  It ends here.",
        "Which?",
        "ends / here",
        "de  Es endet hier.",
        "Which?",
        "endet / hier",
    ]
    rows = json.loads(xlprompt("data", "show", str(tmp_path), "--task", "xquad", "--json").stdout)
    assert rows[0]["answers"] == ["ends", "here"]
    assert xlprompt("data", "show", str(tmp_path), "--markdown").exit_code == 0


def test_show_takes_every_set_of_tags_once_before_any_twice(xlprompt, ner_folder):
    rows = json.loads(xlprompt("data", "show", ner_folder, "--json").stdout)
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    rows = json.loads(xlprompt("data", "show", ner_folder, "--examples", 2, "--json").stdout)
    assert [row["id"] for row in rows] == ["0", "2"]
    assert rows[1] == {
        "task": "ner",
        "split": "test",
        "language": "en",
        "id": "2",
        "tokens": ["It", "|", "[red]", "rains"],
        "tags": ["O", "O", "O", "O"],
    }


def test_show_keeps_tagged_sentences_of_different_languages_apart(xlprompt, ner_folder):
    result = xlprompt("data", "show", ner_folder, "--languages", "en,ur", "--examples", 2)
    assert result.stdout == (
        "ner  0\n  en  Oslo/B-LOC\n\nner  2\n  en  It | [red] rains\n\nner  0\n  ur  دہلی/B-LOC میں\n"
    )


def test_show_without_languages_prints_the_first_and_as_markdown_all(xlprompt, ner_folder):
    def languages(*options):
        return {row["language"] for row in json.loads(xlprompt("data", "show", *options, "--json").stdout)}

    assert languages("mini") == languages(ner_folder) == {"en"}
    page = xlprompt("data", "show", ner_folder, "--markdown").stdout
    assert "| English | " in page
    assert "| Urdu | " in page


def test_a_screen_of_80_columns_holds_every_line(xlprompt):
    screen = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}
    options = ("--languages", "en,ar,hi,th", "--examples", 6)
    narrow = xlprompt("data", "show", "mini", *options, env=screen).stdout
    piped = xlprompt("data", "show", "mini", *options).stdout
    assert max(map(cell_len, piped.splitlines())) > 80 >= max(map(cell_len, narrow.splitlines()))
    assert "".join(narrow.split()) == "".join(piped.split())


def test_a_page_escapes_what_is_markdown_and_turns_right_to_left_text(xlprompt, ner_folder):
    page = xlprompt("data", "show", ner_folder, "--task", "ner", "--markdown").stdout
    assert f"`xlprompt data show {ner_folder} --task ner --markdown`" in page
    assert "| English | It \\| \\[red\\] rains |\n" in page
    assert '| Urdu | <span dir="rtl">دہلی/B-LOC میں</span> |\n' in page


@pytest.mark.integration
def test_the_page_of_the_mini_benchmark_is_what_its_command_prints(xlprompt):
    result = xlprompt("data", "show", "mini", "--markdown")
    assert result.exit_code == 0, result.output
    assert result.stdout == PAGE.read_text(encoding="utf-8"), (
        "out of date: xlprompt data show mini --markdown > packages/data/docs/mini-benchmark.md"
    )


@pytest.mark.integration
def test_the_page_shows_three_items_of_each_task_in_the_studys_languages():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("## ")] == [f"## {name}" for name in TASKS]
    assert sum(line.startswith("### ") for line in lines) == len(TASKS) * 3
    assert sum(line.startswith("| ") for line in lines) == len(TASKS) * 3 * (1 + len(STUDY_LANGUAGES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mini", "--task", "nre"], "Did you mean ner?"),
        (["mini", "--languages", "en,ger"], "Did you mean de (German)?"),
        (["mini", "--languages", "en,it"], "mini: no test split of any task for 'it'. It has en ru "),
        (["mini", "--languages", "it", "--task", "pos"], "no 'it'"),
        (["absent"], "absent: there is no such folder"),
        (["mini", "--json", "--markdown"], "exclude each other"),
    ],
)
def test_show_says_what_is_not_there(xlprompt, options, message):
    result = xlprompt("data", "show", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr


def test_show_of_a_split_that_a_folder_lacks_points_to_check(xlprompt, ner_folder):
    result = xlprompt("data", "show", ner_folder, "--split", "train")
    assert result.exit_code == 2
    assert "no train split of any task. See what it holds: xlprompt data check FOLDER." in result.stderr
