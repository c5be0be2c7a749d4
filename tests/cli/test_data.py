import json


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
