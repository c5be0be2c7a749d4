"""What starts a run of many processes. Whole runs are in tests/training/runs/test_processes.py."""

import click
import pytest
from click.testing import CliRunner

from xlprompt.cli.launch import launch, launch_command
from xlprompt.cli.main import main


@pytest.fixture(autouse=True)
def not_launched(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_launcher_there_is_nothing_to_start():
    assert launch(None, None, None) is None


def test_a_process_that_a_launcher_has_started_starts_no_other(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launch("deepspeed", 2, None) is None


def test_the_launchers_run_the_same_command_line(tmp_path):
    command = ["train", "recipe.yaml", "--launcher", "torchrun"]
    torchrun = launch_command("torchrun", 2, None, command)
    assert torchrun[1:3] == ["-m", "torch.distributed.run"]
    assert torchrun[-6:] == ["--module", "xlprompt.cli", *command]
    assert torchrun[torchrun.index("--nproc-per-node") + 1] == "2"
    deepspeed = launch_command("deepspeed", None, tmp_path / "hosts", command)
    assert deepspeed[1:3] == ["-m", "deepspeed.launcher.runner"]
    assert deepspeed[-6:] == ["--module", "xlprompt.cli", *command]
    assert deepspeed[deepspeed.index("--hostfile") + 1] == str(tmp_path / "hosts")
    assert "--num_gpus" not in deepspeed


@pytest.mark.parametrize(
    ("launcher", "number", "with_hosts", "message"),
    [
        (None, 2, False, "need --launcher"),
        (None, None, True, "need --launcher"),
        ("deepspeed", None, False, "needs --num-gpus"),
        ("torchrun", None, False, "needs --num-gpus"),
        ("torchrun", 2, True, "--hostfile needs --launcher deepspeed"),
    ],
)
def test_options_that_do_not_go_together_are_refused(launcher, number, with_hosts, message, tmp_path):
    with pytest.raises(click.UsageError, match=message):
        launch(launcher, number, tmp_path / "hosts" if with_hosts else None)


def test_an_unknown_launcher_or_a_missing_hostfile_is_refused(tmp_path):
    runner = CliRunner()
    unknown = runner.invoke(main, ["train", "recipe.yaml", "--launcher", "mpirun"])
    assert unknown.exit_code == 2
    assert "'mpirun' is not one of 'deepspeed', 'torchrun'" in unknown.output
    missing = runner.invoke(main, ["train", "recipe.yaml", "--hostfile", str(tmp_path / "hosts")])
    assert missing.exit_code == 2
    assert "does not exist" in missing.output
