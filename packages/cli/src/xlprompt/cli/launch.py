"""Starts a command again in many processes, through the launchers that DeepSpeed and torch bring along.

The launchers tell each process its number by environment variables; `xlprompt.evaluation.processes` reads
them. Nothing is supervised here: this process becomes the launcher.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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


def become_launcher(launcher: str | None, num_gpus: int | None, hostfile: Path | None) -> None:
    """Replace this process by a launcher that runs the same command line in each of its processes.

    Returns only where there is nothing to launch: no launcher is asked for, or it has done its work.

    Raises:
        click.UsageError: The options don't go together.
    """
    if launcher is None:
        if num_gpus is not None or hostfile is not None:
            raise click.UsageError("--num-gpus and --hostfile need --launcher")
        return
    if is_launched():
        return
    if hostfile is not None and launcher != "deepspeed":
        raise click.UsageError(
            "--hostfile needs --launcher deepspeed; on many machines, start torchrun on each of them yourself"
        )
    if num_gpus is None and hostfile is None:
        raise click.UsageError("--launcher needs --num-gpus (processes on this machine) or --hostfile")
    arguments = launch_command(launcher, num_gpus, hostfile, sys.argv[1:])
    processes = num_gpus or 1
    # Otherwise every process would start as many threads as there are cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // processes)))
    sys.stdout.flush()
    os.execv(sys.executable, arguments)


def launch_command(
    launcher: str, num_gpus: int | None, hostfile: Path | None, command: list[str]
) -> list[str]:
    """The launcher's command line, which runs `xlprompt` with the arguments in `command`."""
    if launcher == "torchrun":
        options = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_gpus)]
    else:
        options = ["-m", "deepspeed.launcher.runner", "--master_port", str(_free_port())]
        if num_gpus is not None:
            options += ["--num_gpus", str(num_gpus)]
        if hostfile is not None:
            options += ["--hostfile", str(hostfile)]
    return [sys.executable, *options, "--module", "xlprompt.cli", *command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
