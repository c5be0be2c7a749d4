"""A Slurm of one node on the loopback, in a folder: Debian's daemons under this user, without accounting.

Its configuration, key and sockets are all in the folder, so nothing of the system is read or changed.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")
_PLACES = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))  # daemons are on no user's path
_START_SECONDS = 30.0

_CONFIGURATION = """
ClusterName=one
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=15
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=localhost CPUs=2 Sockets=1 CoresPerSocket=2 ThreadsPerCore=1
PartitionName=main Nodes=ALL Default=YES MaxTime=60
"""


class NoSlurm(RuntimeError):
    """Why there can be no Slurm here."""


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A Slurm of two cores in a new folder; yields the environment variables that its clients need.

    Raises:
        NoSlurm: It is not installed, or its daemons do not start.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name, path=_PLACES) is None]:
        raise NoSlurm(f"{', '.join(missing)} not installed (Debian: apt-get install slurm-wlm munge)")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    configuration = folder / "slurm.conf"
    user = psutil.Process().username()
    controller, daemon = _free_ports(2)
    configuration.write_text(
        _CONFIGURATION.format(user=user, folder=folder, controller=controller, daemon=daemon)
    )
    # Without cgroups, which a container may not have.
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    variables = {"SLURM_CONF": str(configuration), "PATH": _PLACES}
    munge = [
        *("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"),
        *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"),
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for line in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "localhost"]):
            with (folder / f"{line[0]}.out").open("wb") as out:
                daemons.append(
                    subprocess.Popen(
                        line, env=os.environ | variables, stdout=out, stderr=out, start_new_session=True
                    )
                )
            if line is munge:
                _wait_for(lambda: (folder / "munge.socket").exists(), daemons, folder)
        _wait_for(lambda: _is_idle(variables), daemons, folder)
        yield variables
        _end_jobs(variables)
    finally:
        for process in reversed(daemons):  # slurmd before the controller, or its steps stay
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ask(variables: dict[str, str], *command: str) -> str:
    """What a Slurm command prints."""
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def _is_idle(variables: dict[str, str]) -> bool:
    return "idle" in ask(variables, "sinfo", "--noheader", "--format=%T")


def _end_jobs(variables: dict[str, str]) -> None:
    """Cancel what is left, and wait until its steps are gone."""
    ask(variables, "scancel", f"--user={psutil.Process().username()}")
    deadline = time.monotonic() + 30
    while ask(variables, "squeue", "--noheader").strip() and time.monotonic() < deadline:
        time.sleep(0.2)


def _wait_for(condition, daemons: list[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        ended = [process for process in daemons if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            logs = "\n".join(file.read_text(errors="replace")[-600:] for file in folder.glob("*.out"))
            raise NoSlurm(f"its daemons do not start here: {logs}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
