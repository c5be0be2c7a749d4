"""What is given on the command line is used, or refused with exit code 2; nothing is passed over."""

import pytest

from xlprompt.cli.main import main
from xlprompt.training.store.database import store_uri


def refusal(result):
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "r.yaml", "--languages", ""),
        ("train", "r.yaml", "--languages="),
        ("train", "r.yaml", "--model", " "),
        ("train", "r.yaml", "--set", "seed=1", "--set", ""),
        ("train", "r.yaml", "--resume", ""),
        ("study", "g.yaml", "--tasks", ""),
        ("search", "s.yaml", "--task", ""),
        ("evaluate", "run", "--align", ""),
        ("report", "--train-language", ""),
        ("analyze", "alignment", "--seeds", ""),
        ("analyze", "granularity", "g.yaml", "--shares", ""),
        ("params", "--model", "xglm-564M", "--model", ""),
        ("data", "show", "mini", "--task", ""),
        ("pretrain", "n.yaml", "--out", ""),
        ("train", ""),
        ("evaluate", " "),
        ("data", "check", ""),
        ("publish", ""),
    ],
)
def test_a_value_that_is_given_empty_is_refused(xlprompt, arguments):
    assert "is given empty. Give a value, or leave it out" in refusal(xlprompt(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "r.yaml", "--languages", "en,en"), "en is there twice; remove one"),
        (("train", "r.yaml", "--languages", ","), "expected names by commas"),
        (("train", "r.yaml", "--languages", "en,,de"), "expected names by commas"),
        (("study", "g.yaml", "--tasks", "xnli, ,pos"), "expected names by commas"),
        (("study", "g.yaml", "--seeds", "0,,1"), "expected a number of seeds"),
        (("study", "g.yaml", "--methods", "prompt,head,prompt"), "prompt is there twice"),
        (("study", "g.yaml", "--seeds", "0,0"), "each once"),
        (("study", "g.yaml", "--seeds", ","), "expected a number of seeds"),
        (("analyze", "alignment", "--sweep", "--seeds", "1,1"), "each once"),
        (("analyze", "alignment", "--sweep", "--seeds", "0"), "at least one seed, got '0'"),
        (("analyze", "alignment", "--sweep", "--seeds=-1"), "at least one seed, got '-1'"),
        (("study", "g.yaml", "--seeds=-1,2"), "expected a number of seeds"),
        (("analyze", "alignment", "--task", "pos", "--task", "pos"), "pos is there twice"),
        (("evaluate", "run", "--align", "mean,mean"), "mean is there twice"),
        (("evaluate", "run", "--align", "mean", "--align-sentences", "5,5"), "5 is there twice"),
        (("evaluate", "run", "--align", "mean", "--align-layer", "head,head"), "head is there twice"),
    ],
)
def test_a_list_names_each_once_and_something(xlprompt, arguments, message):
    assert message in refusal(xlprompt(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "seed=1", "--set", "seed=2"), "seed is given twice"),
        (("--seed", "1", "--set", "seed=2"), "seed is given by an option of its own and by --set"),
        (("--set", "data.languages="), "the value '' is empty: write null for none"),
        (("--set", "seed=!!int x"), "the tag !!int has no place here"),
        (("--set", "seed=1:30"), "seed: give a whole number (found '1:30')"),
        (("--set", "data.languages=de"), "data.languages: give study or a list, as in [de]"),
        (("--set", "prompt.length=3", "--set", "prompt={length: 3}"), "prompt: keys of it were also given"),
        (("--learning-rate", "1e300"), "optimizer.learning_rate: give 0 or a number whose size is"),
        (("--learning-rate", "nan"), "optimizer.learning_rate: give a number above 0"),
        (("--set", "lora.rank=4"), "lora.rank: is of method lora, and here is prompt"),
        (("--set", "method=head", "--prompt-length", "3"), "prompt.length: is of method prompt"),
        (("--set", "prompt.text=a"), "prompt.text: needs prompt.init=text"),
        (
            ("--set", "evaluation.alignment.layer=1"),
            "evaluation.alignment.layer: needs evaluation.alignment.k",
        ),
        (("--set", "alignment_loss.rows=4"), "alignment_loss.rows: needs an alignment_loss.weight above 0"),
        (
            ("--set", "encoding.granularity.seed=4"),
            "encoding.granularity.seed: needs an encoding.granularity.",
        ),
        (
            ("--set", "method=zeroshot", "--learning-rate", "0.1"),
            "optimizer.learning_rate: is of training, and zeroshot trains nothing",
        ),
        (("--set", "method=zeroshot", "--set", "evaluation.curve_every=2"), "curve_every: is of training"),
        (("--set", "method=zeroshot", "--resume", "abcd"), "none of its runs can be gone on with"),
        (("--num-gpus", "2"), "--num-gpus and --hostfile need --launcher"),
        (("--launcher", "torchrun"), "--launcher needs --num-gpus"),
        (("--resume-step", "2"), "--resume-step needs --resume"),
        (("--engine", "torch", "--deepspeed", "zero.json"), "the engine 'torch' reads no DeepSpeed file"),
        (("--deepspeed", "zero.json"), "DeepSpeed is for full fine-tuning"),
    ],
)
def test_what_a_training_would_pass_over_is_refused(xlprompt, recipe_file, tmp_path, arguments, message):
    assert message in refusal(xlprompt("train", recipe_file, "--mlruns", tmp_path / "runs", *arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("analyze", "ablation", "g.yaml", "--json", "--out", "o"), "--out is for the page"),
        (("analyze", "alignment", "--out", "o", "--json"), "--out is for the page"),
        (("analyze", "granularity", "g.yaml", "--json", "--out", "o"), "--out is for the page"),
        (("analyze", "tokenization", "--json", "--out", "o"), "--out is for the page"),
        (
            ("analyze", "alignment", "--workers", "2"),
            "--workers says what to score, which is done with --sweep",
        ),
        (
            ("analyze", "granularity", "experiments/granularity/mini.yaml", "--seeds", "2"),
            "seeds: is of training. Add --train",
        ),
        (
            (
                "analyze",
                "granularity",
                "experiments/granularity/mini.yaml",
                "--train",
                "both",
                "--device",
                "cpu",
            ),
            "Leave --device out",
        ),
        (
            (
                "study",
                "experiments/mini/study.yaml",
                "--methods",
                "head",
                "--engine",
                "deepspeed",
                "--dry-run",
            ),
            "no method here is finetune",
        ),
        (("study", "experiments/mini/study.yaml", "--address", "auto", "--dry-run"), "with --executor ray"),
        (("study", "experiments/mini/study.yaml", "--gpus", "-1", "--dry-run"), "-1.0 is not in the range"),
        (("study", "experiments/mini/study.yaml", "--gpus", "all", "--dry-run"), "'all' is not a valid"),
        (
            (
                "study",
                "experiments/mini/study.yaml",
                "--dry-run",
                "--methods",
                "head",
                "--set",
                "lora.rank=4",
            ),
            "lora.rank: is of method lora, and here is head",
        ),
    ],
)
def test_what_another_command_would_pass_over_is_refused(xlprompt, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setenv("XLPROMPT_MLRUNS", str(tmp_path / "runs"))
    assert message in refusal(xlprompt(*arguments))


def test_where_runs_go_is_said_where_mlflows_variables_say_it(xlprompt, tmp_path, monkeypatch):
    call = ("doctor", "--mlruns", tmp_path)
    assert "MLFLOW" not in xlprompt(*call).stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(tmp_path))
    assert "MLFLOW" not in xlprompt(*call).stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://name:secret@127.0.0.1:9")
    said = xlprompt(*call)
    assert said.stderr.count("Runs are tracked at http://127.0.0.1:9 (MLFLOW_TRACKING_URI)") == 1
    assert "it does not answer" in said.output
    assert "secret" not in said.output
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert "MLFLOW_EXPERIMENT_NAME is set and not used" in xlprompt(*call).stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    assert "databricks: is no address of a server or database" in refusal(xlprompt(*call))
    assert "MLFLOW" not in xlprompt("report", "--help").stderr


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("trian",), "train"),
        (("repport",), "report"),
        (("analyze", "algnment"), "alignment"),
        (("data", "chek"), "check"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(xlprompt, arguments, meant):
    assert f"Did you mean '{meant}'?" in refusal(xlprompt(*arguments))


def test_help_of_every_group_still_lists_its_commands(xlprompt):
    assert set(main.list_commands(None)) >= {"train", "analyze", "data"}
    assert "check" in xlprompt("data", "--help").output
