"""What is wrong with arguments is told before any large library is imported, which takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LARGE = (
    "torch",
    "transformers",
    "datasets",
    "mlflow",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "optuna",
    "sqlalchemy",
    "deepspeed",
    "peft",
)

MINI = Path(__file__).resolve().parents[2] / "experiments" / "mini"
XNLI = MINI / "xnli-prompt.yaml"
RUNS = MINI.parent / "results" / "mini" / "runs.jsonl.gz"

WRONG = {
    "train nothere.yaml": "there is no such recipe",
    f"train {XNLI} --set schedule.stesp=3": "stesp",
    f"train {XNLI} --steps 0": "schedule.steps",
    f"train {XNLI} --data nothere": "there is no such folder",
    f"train {XNLI} --languages xx": "xx",
    f"train {XNLI} --train-language deutsch": "deutsch",
    f"train {XNLI} --model ./nothere": "no such model folder",
    f"train {XNLI} --device tpu": "cannot be used here",
    f"train {XNLI} --engine horovod": "there is no engine 'horovod'",
    f"train {XNLI} --resume nothere": "no training state of a run 'nothere'",
    f"study {MINI}/study.yaml --tasks nope": "unknown task 'nope'",
    f"study {MINI}/study.yaml --methods nope": "nope",
    f"study {MINI}/study.yaml --data nothere": "there is no such folder",
    f"study {MINI}/study.yaml --model ./nothere": "no such model folder",
    f"search {MINI}/search.yaml --task nope": "nope",
    f"search {MINI}/search.yaml --task xnli --data nothere": "there is no such folder",
    "evaluate nothere": "no MLflow store here",
    "evaluate ./nothere": "no checkpoint here",
    "predict nothere text": "no MLflow store here",
    "predict ./nothere text": "no checkpoint here",
    "serve nothere": "no MLflow store here",
    "runs": "no MLflow store here",
    "inspect nothere": "no MLflow store here",
    "inspect latest --examples 3": "add --against",
    "report": "there is no MLflow store",
    "report --runs nothere": "cannot be read",
    "publish out": "there is no MLflow store",
    f"publish out --runs {RUNS}": "Write it, with the lines '<!-- out begin -->', '<!-- out end -->'",
    "analyze ablation nothere.yaml": "there is no such",
    "analyze alignment": "there is no MLflow store",
    "analyze granularity nothere.yaml": "there is no such recipe",
    "analyze tokenization --data nothere": "there is no such folder",
    "analyze tokenization --model ./nothere": "no such model folder",
    "params --task nope": "unknown task 'nope'",
    "params --model ./nothere": "no such model folder",
    "export nothere --to out": "no MLflow store here",
    "export nothere --to out --format conll": "no MLflow store here",
    "import nothere": "no adapter_config.json",
    "push nothere out": "no MLflow store here",
    "data check nothere": "there is no such folder",
    "pretrain nothere.yaml": "there is no such recipe",
    "ui --port nope": "nope",
    "doctor --nope": "No such option",
}

# One process for all: each command is called as its user calls it, and what it has imported is asked after.
RUN = """
import json, sys
from click.testing import CliRunner
from xlprompt.cli.main import main
large, commands = json.load(sys.stdin)
found = []
for command in commands:
    result = CliRunner().invoke(main, command)
    found.append([result.exit_code, result.stderr, sorted({*large} & {*sys.modules})])
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    commands = [command.split(" ") for command in WRONG]
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([LARGE, commands]),
        cwd=tmp_path_factory.mktemp("empty"),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(WRONG, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_argument_is_told_without_waiting_for_large_libraries(outcomes, command):
    code, said, imported = outcomes[command]
    assert code == 2, said
    assert WRONG[command] in said
    assert imported == []
