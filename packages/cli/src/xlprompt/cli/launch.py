"""Starts a command again in many processes, through the launchers that DeepSpeed and torch bring along.

The launchers tell each process its number by environment variables; `xlprompt.evaluation.processes` reads
them. Nothing is supervised here; this process waits, and passes a signal on.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psutil

LAUNCHERS = ("deepspeed", "torchrun")


def launch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--launcher`, `--num-gpus` and `--hostfile` to a command."""
    for option in (
        click.option(
            "--hostfile",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="With --launcher deepspeed: machines to run on, a line each, such as 'node1 slots=8'.",
        ),
        click.option(
            "--num-gpus",
            type=click.IntRange(min=1),
            help="With --launcher: processes on each machine, one for each GPU or share of the cores.",
        ),
        click.option(
            "--launcher",
            type=click.Choice(LAUNCHERS),
            help="Share the run between several processes, which this program starts.",
        ),
    ):
        command = option(command)
    return command


def is_launched() -> bool:
    """Whether a launcher has started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch(launcher: str | None, num_gpus: int | None, hostfile: Path | None) -> int | None:
    """Run this program's command line in many processes, if that is asked for.

    A signal to this process is passed on once, so that the run ends after its step and writes its training
    state; a second one is left to the shell.

    Returns:
        The launcher's exit status; None where there is nothing to launch, or a launcher has done it.

    Raises:
        click.UsageError: The options don't go together.
    """
    if launcher is None:
        if num_gpus is not None or hostfile is not None:
            raise click.UsageError("--num-gpus and --hostfile need --launcher")
        return None
    if is_launched():
        return None
    if hostfile is not None and launcher != "deepspeed":
        raise click.UsageError(
            "--hostfile needs --launcher deepspeed; on many machines, start torchrun on each of them yourself"
        )
    if num_gpus is None and hostfile is None:
        raise click.UsageError("--launcher needs --num-gpus (processes on this machine) or --hostfile")
    from xlprompt.training.machine.environment import usable_cores
    from xlprompt.training.machine.signals import handled

    environment = dict(os.environ)
    if not _has_gpu():
        environment.setdefault("DS_ACCELERATOR", "cpu")
        # Otherwise every process would start as many threads as there are cores.
        environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // (num_gpus or 1))))
    # In a session of its own, so that Ctrl-C does not reach every process twice.
    process = subprocess.Popen(
        launch_command(launcher, num_gpus, hostfile, sys.argv[1:]), env=environment, start_new_session=True
    )
    try:
        with handled(_interrupt, signal.SIGTERM):
            return process.wait()
    except KeyboardInterrupt:
        for receiver in _receivers(launcher, process.pid):
            receiver.terminate()
        process.wait()
        raise


def launch_command(
    launcher: str, num_gpus: int | None, hostfile: Path | None, command: list[str]
) -> list[str]:
    """The launcher's command line, which runs `xlprompt` with the arguments in `command`."""
    if launcher == "torchrun":
        options = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_gpus)]
    else:
        options = ["-m", "deepspeed.launcher.runner", "--quiet", "--no_local_rank"]
        options += ["--master_port", str(_free_port())]
        if num_gpus is not None:
            options += ["--num_gpus", str(num_gpus)]
        if hostfile is not None:
            options += ["--hostfile", str(hostfile)]
    return [sys.executable, *options, "--module", "xlprompt.cli", *command]


def _receivers(launcher: str, pid: int) -> list[psutil.Process]:
    """The processes that pass a SIGTERM on: torchrun itself, or what DeepSpeed's runner has started."""
    process = psutil.Process(pid)
    return [process] if launcher == "torchrun" else process.children()


def _interrupt(_number: int) -> None:
    raise KeyboardInterrupt


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
