"""Commands that need a process of their own, run one after the other in a single one: it imports once."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_RUN = """
import json, sys
from click.testing import CliRunner
from xlprompt.cli.main import main

checkpoint = ""
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, [checkpoint if each == "CHECKPOINT" else each for each in arguments])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    print(json.dumps(done.stdout))
    if arguments[0] == "train":
        checkpoint = json.loads(done.stdout)["checkpoint"]
"""


def run_commands(
    commands: Sequence[Sequence[object]], *, sources: Sequence[Path], folder: Path, **variables: str
) -> list[str]:
    """Run commands of xlprompt with other sources than the tests' own.

    Args:
        commands: Each one's arguments; CHECKPOINT stands for that of the last `train --json`.
        sources: Folders that come before this process's own on the path of modules.
        folder: Where the process runs.
        variables: Of its environment.

    Returns:
        What each wrote on standard output.
    """
    environment: Mapping[str, str] = {**os.environ, **variables, "PYTHONPATH": _path(sources)}
    asked = [list(map(str, arguments)) for arguments in commands]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(asked)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _path(sources: Sequence[Path]) -> str:
    return os.pathsep.join(filter(None, (*map(str, sources), os.environ.get("PYTHONPATH", ""))))
