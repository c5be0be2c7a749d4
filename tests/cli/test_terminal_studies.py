"""What a person sees of studies at 80 x 24: an ablation, what it comes to, a search, a report, the runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from published_studies import study
from screens import COLUMNS, on_terminal

from xlprompt.cli.main import main
from xlprompt.studies.reports.published_runs import write_published

pytestmark = pytest.mark.integration

VARIANTS = ("two-positions", "four-positions")
NOISE = re.compile(r"Traceback|Warning|warnings\.warn|\bit/s|…")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recipe_file):
    """A study of two variants and a search, by a recipe of two steps; and runs that others have published."""
    folder = tmp_path_factory.mktemp("studies")
    recipe = {"extends": str(recipe_file), "schedule": {"steps": 2, "evaluate_every": 1}}
    (folder / "xnli-prompt.yaml").write_text(yaml.safe_dump(recipe))
    grid = {
        "tasks": ["xnli"],
        "methods": ["prompt"],
        "seeds": 3,
        "variants": dict(zip(VARIANTS, ({"prompt.length": 2}, {"prompt.length": 4}), strict=True)),
        "executor": {"workers": 0, "gpus": 0},
    }
    (folder / "positions.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    search = {
        "trials": 2,
        "space": {"optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
        "methods": {"prompt": {}},
        "executor": {"workers": 0, "gpus": 0},
    }
    (folder / "search.yaml").write_text(yaml.safe_dump(search))
    write_published(folder / "runs.jsonl.gz", study())
    return folder


@pytest.fixture(scope="module")
def shown(folder, tmp_path_factory, empty_store):
    """Screens by name, of commands that one after the other are called in one folder."""
    shutil.copytree(empty_store, folder / "mlruns")
    options = ("--seeds", "1", "--set", "schedule.batch_size=4")
    calls = {
        "dry run": ("study", "positions.yaml", *options, "--dry-run"),
        "study": ("study", "positions.yaml", *options),
        "not run": ("analyze", "ablation", "positions.yaml", *options, "--limit", "7"),
        "ablation": ("analyze", "ablation", "positions.yaml", *options),
        "search": ("search", "search.yaml", "--task", "xnli"),
        "report": ("report", "--runs", "runs.jsonl.gz"),
        "runs": ("runs",),
        "inspect": ("inspect", "latest"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(folder)
        return {name: on_terminal(lambda call=call: main(call)) for name, call in calls.items()}


def _offered(seen, what):
    """The words of a command that is named, as a shell takes them when its lines are pasted."""
    screen = "\n".join(seen.screen)
    found = re.search(rf"{what}:(?: |\n +)((?:.* \\\n)*.*)", screen)
    assert found, screen
    return shlex.split(found[1].replace("\\\n", ""))


@pytest.mark.parametrize("name", ["dry run", "study", "ablation", "search", "report", "runs", "inspect"])
def test_a_screen_fits_the_terminal_and_holds_no_noise(shown, name):
    seen = shown[name]
    assert seen.status == 0, "\n".join(seen.screen)
    assert seen.widest <= COLUMNS
    assert not [line for line in seen.screen if NOISE.search(line)]


def test_a_study_counts_its_cells_and_says_how_long_each_took(shown):
    drawn = "\n".join(shown["study"].lines)
    assert re.search(r"^all cells +[01]/2 +\d+:\d\d so far$", drawn, flags=re.MULTILINE)
    assert re.search(r"^all cells +2/2 took \d+:\d\d$", drawn, flags=re.MULTILINE)
    assert re.search(r"four-positions seed 0: finished after \d+ s \(2/2\)", drawn)
    for wait in ("Reading the study", "Reading the store", "Summing up"):
        assert re.search(rf"{wait} \d+:\d\d", drawn)


def test_variants_keep_their_names_and_figures(shown):
    for name in ("dry run", "study", "ablation"):
        rows = [line.split() for line in shown[name].screen if "positions " in line]
        assert {word for row in rows for word in row} >= set(VARIANTS), name


def test_a_study_names_the_command_that_compares_what_it_ran(shown):
    words = _offered(shown["study"], "Compare the variants")
    assert words[1:] == [
        *("analyze", "ablation", "positions.yaml", "--seeds", "1", "--set", "schedule.batch_size=4")
    ]


def test_an_ablation_opens_with_its_answer(shown):
    assert shown["ablation"].screen[0].startswith("xnli prompt: of 1 variant beside two-positions,")


def test_what_is_to_be_run_first_is_named_with_its_options(shown):
    seen = shown["not run"]
    assert seen.status == 2
    assert seen.widest <= COLUMNS
    assert _offered(seen, "Run it first")[1:] == [
        *("study", "positions.yaml", "--seeds", "1", "--limit", "7", "--set", "schedule.batch_size=4")
    ]


def test_a_search_counts_its_trials_and_ends_with_its_verdict_and_the_next_command(shown):
    drawn = "\n".join(shown["search"].lines)
    assert re.search(r"^all trials +2/2 took \d+:\d\d$", drawn, flags=re.MULTILINE)
    assert re.search(r"^trial 1: [\d.]+ ± [\d.]+ after \d+ s \(2/2\)$", drawn, flags=re.MULTILINE)
    assert re.search(r"^(Nothing beats|Best: trial 1)", "\n".join(shown["search"].screen), re.MULTILINE)
    _, train, recipe = _offered(shown["search"], "Train it")
    assert (train, Path(recipe).parent) == ("train", Path("build/search"))
    assert Path(recipe).match("xnli-prompt-*.yaml")  # which ends in the model's name


def test_a_report_says_its_answer_and_where_it_lies(shown):
    screen = [line for line in shown["report"].screen if line]
    assert screen[0].endswith(".") or screen[1].endswith(".")
    assert len([line for line in screen if re.match(r"\S+ \w.*: [1-4]\. ", line)]) == 4
    assert screen[-2:] == ["build/report/report.html", "build/report/report.md"]


def test_runs_are_told_apart_by_their_variants_and_lead_to_their_mistakes(shown):
    lines = [line.strip() for line in shown["runs"].screen]
    rows = [line for line in lines if re.match(r"[0-9a-f]{8} xnli prompt .* \d\d:\d\d$", line)]
    assert [row.split()[3] for row in rows] == list(reversed(VARIANTS))
    run = _offered(shown["runs"], "See where one errs")[-1]
    assert run[:8] == rows[0][:8]
