"""The commands that take runs out of the store and bring adapters into it."""

import json

import pytest

from xlprompt.studies.grid.ledger import Ledger
from xlprompt.studies.reports.selection import newest_runs

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "mlruns"


@pytest.fixture(scope="module")
def trained(xlprompt, recipe_file, runs):
    done = xlprompt("train", recipe_file, "--mlruns", runs, "--json")
    return json.loads(done.stdout)


def test_a_run_leaves_for_peft_comes_back_and_counts_in_reports(xlprompt, trained, runs, tmp_path):
    out = tmp_path / "adapter"
    exported = xlprompt("export", trained["run_id"], "--format", "peft", "--to", out, "--mlruns", runs)
    assert exported.stdout.strip() == str(out)
    assert "PEFT's hidden states differ" in exported.stderr
    done = xlprompt("import", out, "--mlruns", runs, "--seed", 3, "--report", "--json")
    found = json.loads(done.stdout)
    assert found["report"] == trained["report"]
    again = xlprompt("predict", found["run_id"], "The man.", "book book", "--mlruns", runs, "--json")
    first = xlprompt("predict", trained["run_id"], "The man.", "book book", "--mlruns", runs, "--json")
    assert again.stdout == first.stdout
    (counted,) = newest_runs(Ledger(runs)).runs.items()
    assert counted[0] == ("xnli", "prompt", 3)
    assert counted[1].run_id == found["run_id"]


def test_a_pushed_folder_predicts_as_its_run(xlprompt, trained, runs, tmp_path):
    pushed = xlprompt("push", trained["run_id"], tmp_path / "out", "--mlruns", runs)
    assert pushed.stdout.strip() == str(tmp_path / "out")
    rows = [
        xlprompt("predict", which, "The man.", "book", "--mlruns", runs, "--json").stdout
        for which in (trained["run_id"], pushed.stdout.strip())
    ]
    assert rows[0] == rows[1] != ""


def test_what_cannot_be_done_is_one_line(xlprompt, trained, runs, tmp_path):
    for arguments, said in (
        (("import", tmp_path), "no adapter_config.json"),
        (("import", "nobody/nothing"), "can't be reached"),
        (("push", trained["run_id"], tmp_path / "x", "--public"), "--public is for a repository"),
        (("export", "nobody/nothing", "--to", tmp_path / "y"), "as a hub id"),
    ):
        done = xlprompt(*arguments, "--mlruns", runs)
        assert done.exit_code == 2
        assert said in done.stderr
