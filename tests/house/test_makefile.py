"""The front door: what `make` lists, which command a target runs, and how .venv comes about.

Targets are run in a copy of the Makefile whose `.venv` holds recorders, so that what counts is the argument
list that a program receives, not how the line looks.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from documents import run_make as make

from xlprompt.data import TASKS
from xlprompt.models import METHODS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("data", "models", "evaluation", "training", "studies", "cli")
RUNS = [f"{task}-{method}" for task in TASKS for method in METHODS]
RECORDER = """#!{python}
import json, pathlib, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path):
    """A checkout without .venv."""
    folder = tmp_path / "check out"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "help.awk", folder / ".ci")
    (folder / "requirements.lock").touch()
    for package in PACKAGES:
        pyproject = folder / "packages" / package / "pyproject.toml"
        pyproject.parent.mkdir(parents=True)
        pyproject.touch()
    return folder


@pytest.fixture
def ready(bare):
    """A checkout whose .venv is made, of programs that write down their arguments."""
    recorder = RECORDER.format(python=shutil.which("python3"), log=str(bare / "log"))
    for program in ("xlprompt", "python", "ruff", "mypy", "lint-imports"):
        write_program(bare / ".venv" / "bin" / program, recorder)
    (bare / ".venv" / ".ready").touch()
    return bare


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def targets() -> list[str]:
    """Those with a rule of their own."""
    return re.findall(r"^([a-z-]+):(?: |$)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_help_is_the_default_and_names_every_target_on_one_screen(ready):
    result = make(ready)
    assert result.returncode == 0, result.stderr
    assert result.stdout == make(ready, "help").stdout
    assert len(result.stdout.splitlines()) <= 22  # of 24 rows, the command and the next prompt take one each
    named = result.stdout.split()
    for target in {*targets(), *(f"TASK-{method}" for method in METHODS)} - {"help"}:
        assert target in named, target
    assert f"TASK is one of {' '.join(TASKS)}" in result.stdout


def test_each_topic_has_a_line_for_its_targets_and_all_help_fits_80_columns(ready):
    listing = make(ready, "help").stdout
    topics = re.findall(r"make (help-[a-z]+)", listing)
    pages = {topic: make(ready, topic).stdout for topic in topics}
    together = "".join(pages.values())
    for target in {*targets(), *(f"TASK-{method}" for method in METHODS)} - {"help"}:
        assert re.search(rf"^  {target} +\w.+", together, flags=re.MULTILINE), target
    for page in (listing, *pages.values()):
        assert max(len(line) for line in page.splitlines()) <= 80
    assert all(len(page.splitlines()) < 24 for topic, page in pages.items() if topic != "help-variables")
    assert {"SEEDS", "EXECUTOR", "NAME"} <= {*pages["help-studies"].split()} - {*pages["help-runs"].split()}


def test_help_lists_the_variables_with_their_defaults(ready):
    listing = make(ready, "help-variables").stdout
    for name, default in {
        "SCALE": "mini",
        "MODEL": "(recipe)",
        "ENGINE": "(by method)",
        "LIMIT": "(all)",
    }.items():
        assert re.search(rf"^  {name} +{re.escape(default)} +\w", listing, flags=re.MULTILINE), name


def test_every_target_is_phony():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    assert re.search(r"^\.PHONY: \$\(targets\)$", makefile, flags=re.MULTILINE)
    (phony,) = re.findall(r"^targets := (.*)$", makefile, flags=re.MULTILINE)
    assert sorted(phony.split()) == sorted([*targets(), "$(runs)", "$(helps)"])


def test_each_task_and_method_is_a_target_that_trains_with_the_mini_recipe(ready):
    result = make(ready, *RUNS)
    assert calls(ready) == [["xlprompt", "train", f"experiments/mini/{run}.yaml"] for run in RUNS]
    assert result.stdout == ""


def test_variables_reach_the_command_as_they_were_given(ready):
    make(
        ready,
        *(
            "pos-prompt",
            "SCALE=paper",
            "MODEL=some folder/model",
            "DATA=it's my data",
            "SEED=3",
            "LIMIT=2000",
            "TRAIN_LANG=fi",
        ),
        "ARGS=--steps 400 --set 'prompt.init=text'",
    )
    assert calls(ready) == [
        [
            *("xlprompt", "train", "experiments/paper/pos-prompt.yaml"),
            *("--model", "some folder/model", "--data", "it's my data", "--seed", "3", "--limit", "2000"),
            *("--train-language", "fi"),
            *("--steps", "400", "--set", "prompt.init=text"),
        ]
    ]


@pytest.fixture
def ablations(ready):
    """A folder that is set up and has the ablations."""
    shutil.copytree(ROOT / "experiments" / "ablations", ready / "experiments" / "ablations")
    return ready


def test_an_ablation_is_run_as_a_study_is_and_then_compared(ablations):
    ready = ablations
    make(ready, "ablation", "NAME=scheme", "METHODS=finetune", "WORKERS=2", "ENGINE=torch")
    of_file = ("experiments/ablations/scheme.yaml", "--recipe", "../mini/{task}-{method}.yaml")
    assert calls(ready) == [
        ["xlprompt", "study", *of_file, "--methods", "finetune", "--workers", "2", "--engine", "torch"],
        ["xlprompt", "analyze", "ablation", *of_file, "--methods", "finetune"],
    ]


def test_how_an_ablation_runs_is_nothing_to_its_analysis(ablations):
    """On a GPU machine the larger scales use the GPU; --force and the like are the study's alone."""
    ready = ablations
    how = "--force --json --threads 2 --gpus 0.5 --address auto"
    make(ready, "ablation", "NAME=scheme", "SCALE=paper", f"ARGS={how} --mlruns runs")
    of_file = ("experiments/ablations/scheme.yaml", "--recipe", "../paper/{task}-{method}.yaml")
    assert calls(ready) == [
        ["xlprompt", "study", *of_file, "--gpus", "any", *how.split(), "--mlruns", "runs"],
        ["xlprompt", "analyze", "ablation", *of_file, "--mlruns", "runs"],
    ]


def test_an_ablation_without_variants_is_a_study_alone_and_sizes_have_an_analysis_of_their_own(ablations):
    ready = ablations
    for name in ("scheme", "curves", "size"):
        done = make(ready, "ablation", f"NAME={name}")
        assert done.returncode == 0, done.stderr
    assert [words[1] for words in calls(ready)] == ["study", "analyze", "study", "study", "analyze"]
    assert calls(ready)[-1] == ["xlprompt", "analyze", "size"]
    make(ready, "ablation", "NAME=size", "ARGS=--set schedule.steps=2 --mlruns there")
    assert calls(ready)[-1] == ["xlprompt", "analyze", "size", "--mlruns", "there"]


def test_a_plan_of_an_ablation_is_not_compared_and_one_that_is_not_there_is_told(ablations):
    make(ablations, "ablation", "NAME=scheme", "ARGS=--dry-run")
    assert [words[1] for words in calls(ablations)] == ["study"]
    done = make(ablations, "ablation", "NAME=shceme")
    assert done.returncode != 0
    assert "There are" in done.stderr
    assert "scheme size" in done.stderr
    assert len(calls(ablations)) == 1


def test_a_variable_given_empty_is_not_given(ready):
    make(ready, "ner-prompt", "SCALE=", "MODEL=", "DATA= ", "SEED=", "LIMIT=", "RECIPE=", "ARGS=")
    assert calls(ready) == [["xlprompt", "train", "experiments/mini/ner-prompt.yaml"]]


def test_other_recipes_can_be_named(ready):
    make(ready, "xnli-prompt", "RECIPE=my recipes/one.yaml")
    make(ready, "xnli-prompt", "RECIPE=my recipes/one.yaml,it's two.yaml")
    assert calls(ready) == [
        ["xlprompt", "train", "my recipes/one.yaml"],
        ["xlprompt", "train", "my recipes/one.yaml", "it's two.yaml"],
    ]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["ENGINE=torch"], ["--engine", "torch"]),
        (["ZERO=3-offload"], ["--deepspeed", "experiments/deepspeed/zero3-offload.json"]),
        (["GPUS=4"], ["--launcher", "deepspeed", "--num-gpus", "4"]),
        (["GPUS=4", "LAUNCHER=torchrun"], ["--launcher", "torchrun", "--num-gpus", "4"]),
        (["HOSTFILE=my hosts"], ["--launcher", "deepspeed", "--hostfile", "my hosts"]),
        (["RESUME=1", "ZERO=2"], ["--resume", "--deepspeed", "experiments/deepspeed/zero2.json"]),
        (["ENGINE=", "ZERO= ", "GPUS=", "HOSTFILE="], []),
    ],
)
def test_engines_and_processes_are_chosen_by_variables(ready, arguments, options):
    make(ready, "pos-finetune", *arguments)
    assert calls(ready) == [["xlprompt", "train", "experiments/mini/pos-finetune.yaml", *options]]


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["all-tasks"], ["study", "experiments/mini/study.yaml"]),
        (["report", "RUNS=my/runs.jsonl.gz"], ["report", "--runs", "my/runs.jsonl.gz"]),
        (["analyze", "RUNS=my/runs.jsonl.gz"], ["analyze", "tokenization", "--runs", "my/runs.jsonl.gz"]),
        (["all-tasks", "ENGINE=torch"], ["study", "experiments/mini/study.yaml", "--engine", "torch"]),
        (
            ["all-tasks", "SCALE=gemma", "SEEDS=3", "TASKS=xnli,pos", "METHODS=prompt", "DATA=my data"],
            [
                *("study", "experiments/gemma/study.yaml", "--tasks", "xnli,pos", "--methods", "prompt"),
                *("--seeds", "3", "--data", "my data"),
            ],
        ),
        (
            ["all-tasks", "WORKERS=2", "EXECUTOR=ray", "MODEL=m", "LIMIT=9", "ARGS=--address auto"],
            [
                *("study", "experiments/mini/study.yaml", "--model", "m", "--limit", "9"),
                *("--executor", "ray", "--workers", "2", "--address", "auto"),
            ],
        ),
        (
            ["all-tasks", "TRAIN_LANG=de"],
            ["study", "experiments/mini/study.yaml", "--train-language", "de"],
        ),
        (
            ["search", "TASK=pos", "TRAIN_LANG=sw"],
            ["search", "experiments/mini/search.yaml", "--task", "pos", "--train-language", "sw"],
        ),
        (["search", "TASK=pos"], ["search", "experiments/mini/search.yaml", "--task", "pos"]),
        (
            ["search", "SCALE=paper", "TASK=xnli", "METHOD=finetune", "TRIALS=12", "WORKERS=2", "SEED=1"],
            [
                *("search", "experiments/paper/search.yaml", "--task", "xnli", "--method", "finetune"),
                *("--trials", "12", "--seed", "1", "--workers", "2"),
            ],
        ),
        (
            [
                "search",
                "TASK=ner",
                "MODEL=m",
                "DATA=my data",
                "LIMIT=9",
                "DATABASE=mysql://h/s",
                "ARGS=--json",
            ],
            [
                *("search", "experiments/mini/search.yaml", "--task", "ner", "--model", "m"),
                *("--data", "my data", "--limit", "9", "--database", "mysql://h/s", "--json"),
            ],
        ),
        (["ui"], ["ui"]),
        (["ui", "PORT=5005"], ["ui", "--port", "5005"]),
        (["doctor", "ARGS=--json"], ["doctor", "--json"]),
        (["params"], ["params"]),
        (["params", "MODEL=gemma-3-270m"], ["params", "--model", "gemma-3-270m"]),
        (["data-check", "DATA=my data"], ["data", "check", "my data"]),
    ],
)
def test_other_targets_run_their_command(ready, arguments, call):
    make(ready, *arguments)
    assert calls(ready) == [["xlprompt", *call]]


def test_publishing_renews_the_page_and_then_the_readme(ready):
    make(ready, "publish", "SCALE=gemma", "TRAIN_LANG=de", "RUNS=my/runs.jsonl.gz", "ARGS=--replace")
    published = ["publish", "experiments/results/gemma", "--train-language", "de"]
    published += ["--runs", "my/runs.jsonl.gz", "--replace"]
    assert calls(ready) == [["xlprompt", *published], ["python", "docs/overview.py"]]


def taken() -> dict[str, list[str]]:
    """By target, the variables that the Makefile says it takes."""
    makefile = (ROOT / "Makefile").read_text()
    program = makefile + "\n$(foreach v,$(filter takes.%,$(.VARIABLES)),$(info $v $($v)))\n"
    listed = subprocess.run(
        ["make", "-n", "-f", "-", "help"], input=program, capture_output=True, text=True, cwd=ROOT, check=True
    )
    lines = [line.split() for line in listed.stdout.splitlines() if line.startswith("takes.")]
    return {line[0].removeprefix("takes."): line[1:] for line in lines}


def documented() -> list[str]:
    return re.findall(r"^#: ([A-Z_]+) ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


# Where a variable's value does not stand in the command as it is: what stands there.
VALUES = {
    **{name: (f"my-{name}", f"my-{name}") for name in documented()},
    "ZERO": ("9", "zero9.json"),
    "RESUME": ("1", "--resume"),
    "BALANCED": ("1", "xglm-nano-balanced.yaml"),
    "SIZE": ("1m", "xglm-nano-1m.yaml"),
    "NAME": ("length", "length.yaml"),
}


def test_every_documented_variable_is_taken_by_a_target_and_none_else():
    assert {name for names in taken().values() for name in names} == {*documented()} - {"PYTHON"}
    assert {*taken()} <= {*targets(), "TASK-METHOD"}


@pytest.mark.parametrize("target", sorted(taken()))
def test_a_target_uses_each_variable_that_it_takes(ablations, target):
    ready = ablations
    target_name = target.replace("TASK-METHOD", "pos-finetune")
    needed = {
        "ablation": ["NAME=scheme"],
        "search": ["TASK=pos"],
        "data-check": ["DATA=data"],
        "train": ["DATA=data"],
    }.get(target, [])
    for name in taken()[target]:
        given, seen = VALUES[name]
        (ready / "log").unlink(missing_ok=True)
        result = make(ready, target_name, *needed, f"{name}={given}")
        assert result.returncode == 0, result.stderr
        assert seen in (ready / "log").read_text(), name


@pytest.mark.parametrize("target", sorted({*targets(), "xnli-prompt"} - {"lock"}))
def test_a_target_refuses_the_variables_that_it_would_pass_over(ready, target):
    takes = [*taken().get(target.replace("xnli-prompt", "TASK-METHOD"), []), "PYTHON"]
    others = [name for name in documented() if name not in takes]
    result = make(ready, target, *(f"{name}=1" for name in others))
    assert result.returncode == 2
    assert f"make {target} takes no {' '.join(sorted(others))}. It takes" in result.stderr.replace("\n", "")
    assert not (ready / "log").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["LIMT=10", "EPOCHS=3"], "There is no variable LIMT. Did you mean LIMIT?"),
        (["LIMT=10", "EPOCHS=3"], "There is no variable EPOCHS."),
        (["limit=10"], "There is no variable limit. Did you mean LIMIT?"),
        (["tasks=xnli"], "There is no variable tasks. Did you mean TASKS?"),
        (["bin=/usr/bin"], "There is no variable bin."),
        (["-n", "LIMT=it's"], "There is no variable LIMT. Did you mean LIMIT?"),
        (["SEEDS=3"], "make xnli-prompt takes no SEEDS."),
        (
            ["RECIPE=my.yaml", "SCALE=paper"],
            "SCALE chooses among the recipes of experiments/, and RECIPE names",
        ),
    ],
)
def test_a_variable_that_would_be_passed_over_is_named_and_nothing_runs(ready, arguments, message):
    result = make(ready, "xnli-prompt", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (ready / "log").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("xnli-promt", "There is no target xnli-promt. Did you mean xnli-prompt?\nSee: make help."),
        ("lnit", "There is no target lnit. Did you mean lint?"),
        ("it's", "There is no target it's. \n"),
    ],
)
def test_a_target_that_is_not_there_is_told_with_the_one_that_is_meant(ready, target, message):
    result = make(ready, target, "SEED=1")
    assert result.returncode == 2
    assert message in result.stderr
    assert not (ready / "log").exists()


def test_makes_own_variables_and_exported_ones_are_left_alone(ready):
    arguments = ["SHELL=/bin/bash", "MAKEFLAGS=s", "PYTHON=python3", "SEEDS="]
    environment = {"PATH": os.environ["PATH"], "LIMT": "3", "SEEDS": "9", "EPOCHS": "2"}
    subprocess.run(["make", "xnli-prompt", *arguments], cwd=ready, env=environment, check=True)
    assert calls(ready) == [["xlprompt", "train", "experiments/mini/xnli-prompt.yaml"]]


@pytest.mark.parametrize("off", ["RESUME=0", "RESUME=no", "RESUME=false"])
def test_a_switch_can_be_off(ready, off):
    make(ready, "xnli-prompt", off)
    assert calls(ready) == [["xlprompt", "train", "experiments/mini/xnli-prompt.yaml"]]


def test_each_make_command_of_the_documents_is_one_that_make_takes(ready):
    documents = [ROOT / "README.md", ROOT / "Makefile", *ROOT.glob("packages/*/README.md")]
    documents += (ROOT / "docs").rglob("*.md")
    documents += [*(ROOT / "experiments").rglob("*.md"), *(ROOT / "experiments").rglob("*.yaml")]
    command = re.compile(r"\bmake ((?:[a-z0-9]+-)*[a-z0-9]+)((?: [A-Z_]+=(?:\"[^\"]*\"|[^\s\"`,;:)]+))+)")
    found = {match for each in documents for match in command.findall(each.read_text(encoding="utf-8"))}
    assert len(found) > 10
    for target, variables in sorted(found):
        result = make(ready, "-n", target, *shlex.split(variables))
        assert "takes no" not in result.stderr, (target, variables)
        assert "no variable" not in result.stderr, (target, variables)


def test_data_check_without_data_says_what_to_give(ready):
    result = make(ready, "data-check")
    assert result.returncode != 0
    assert "make data-check DATA=" in result.stderr


def test_a_search_without_a_task_says_what_to_give(ready):
    result = make(ready, "search")
    assert result.returncode != 0
    assert "make search TASK=" in result.stderr


def test_lint_runs_style_types_import_direction_and_builds_the_site(ready):
    assert make(ready, "lint").returncode == 0
    first, second, *rest = calls(ready)
    assert [first, second] == [["ruff", "check"], ["ruff", "format", "--check"]]
    rest.remove(["mypy"])  # beside the others
    assert rest == [
        ["lint-imports", "--no-logo"],
        [
            *("python", "-m", "sphinx", "--builder", "html", "--nitpicky", "--fail-on-warning"),
            *("--keep-going", "--quiet", "docs", "build/site"),
        ],
    ]


@pytest.mark.parametrize("program", ["mypy", "lint-imports", "python"])
def test_a_check_that_fails_beside_another_fails_lint(ready, program):
    write_program(ready / ".venv" / "bin" / program, "#!/bin/sh\nexit 1\n")
    assert make(ready, "lint").returncode != 0


def test_test_passes_arguments_on_to_pytest(ready):
    make(ready, "test", "ARGS=-k 'a or b'")
    make(ready, "test-slow")
    (tested, slow) = calls(ready)
    assert tested[:3] == slow[:3] == ["python", "-m", "pytest"]
    assert tested[-2:] == ["-k", "a or b"]
    assert slow[3:] == ["-m", "slow"]


@pytest.mark.parametrize("target", sorted({*targets(), *RUNS} - {"help", "setup", "lock", "clean"}))
def test_a_target_makes_the_environment_first(bare, target):
    result = make(bare, "-n", target, "DATA=data")
    assert "pip install" in result.stdout, result.stderr


def fake_python(folder: Path, *, works: bool) -> None:
    """A python3 whose venv is a folder with a python that records, and fails at the lock unless it works."""
    pip = f"""#!/bin/sh
echo "$@" >> '{folder}/pip.log'
case "$*" in *requirements.lock*) exit {0 if works else 1};; esac
"""
    write_program(folder / "pip-recorder", pip)
    python = f"""#!/bin/sh
case "$1" in
  -c) exit 0;;
  -m) echo "$@" >> '{folder}/venv.log'
      rm -rf .venv; mkdir -p .venv/bin; cp '{folder}/pip-recorder' .venv/bin/python;;
esac
"""
    write_program(folder / "tools" / "python3", python)


def setup(folder: Path) -> subprocess.CompletedProcess[str]:
    return make(folder, "setup", path=f"{folder / 'tools'}:{os.environ['PATH']}")


def test_setup_installs_the_lock_and_the_six_distributions_once(bare):
    fake_python(bare, works=True)
    assert setup(bare).returncode == 0
    log = (bare / "pip.log").read_text()
    assert "--requirement requirements.lock" in log
    assert "--no-deps --no-build-isolation " + " ".join(f"--editable packages/{p}" for p in PACKAGES) in log
    again = setup(bare)
    assert again.returncode == 0
    assert (bare / "pip.log").read_text() == log


def test_a_changed_lock_or_pyproject_is_installed_again(bare):
    fake_python(bare, works=True)
    setup(bare)
    for changed in (bare / "requirements.lock", bare / "packages" / "models" / "pyproject.toml"):
        before = (bare / "pip.log").read_text()
        newer = (bare / ".venv" / ".ready").stat().st_mtime + 10
        os.utime(changed, (newer, newer))
        setup(bare)
        assert (bare / "pip.log").read_text() != before
        older = newer - 1000
        os.utime(changed, (older, older))
    assert (bare / "venv.log").read_text().count("venv --clear") == 1


def test_an_interrupted_setup_leaves_no_stamp_and_is_begun_anew(bare):
    fake_python(bare, works=False)
    assert setup(bare).returncode != 0
    assert not (bare / ".venv" / ".ready").exists()
    fake_python(bare, works=True)
    assert setup(bare).returncode == 0
    assert (bare / ".venv" / ".ready").exists()
    assert (bare / "venv.log").read_text().count("venv --clear") == 2


def test_a_missing_python_is_named_with_the_way_out(bare):
    result = make(bare, "setup", "PYTHON=python9.99")
    assert result.returncode != 0
    assert "There is no python9.99 here" in result.stderr
    assert "make setup PYTHON=" in result.stderr


def test_an_old_python_is_named_with_the_way_out(bare):
    write_program(bare / "tools" / "python2", "#!/bin/sh\nexit 1\n")
    result = make(bare, "setup", "PYTHON=tools/python2")
    assert result.returncode != 0
    assert "tools/python2 is older than Python 3.11" in result.stderr
