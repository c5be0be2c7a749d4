"""Who began a run, and by which command, as MLflow's UI shows it."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

COMMAND_VARIABLE = "XLPROMPT_COMMAND"
"""Environment variable by which processes know the command that they work for."""

COMMAND_TAG = "command"
"""A run's tag: the xlprompt command that began it, whole but for passwords."""

_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")


def origin_tags() -> dict[str, str]:
    """Tags of user, source and command; without what is not known.

    The source is `xlprompt train`, say, or the name of the script or kernel that calls from Python.
    """
    command = os.environ.get(COMMAND_VARIABLE)
    # MLflow's UI shows of a source what stands behind its last slash, so that arguments go elsewhere.
    name = " ".join(shlex.split(command)[:2]) if command else Path(sys.argv[0] or "python").name
    tags = {"mlflow.source.name": name, "mlflow.source.type": "LOCAL"}
    if command:
        tags[COMMAND_TAG] = command
    with suppress(OSError, KeyError):  # a user id without a name, as in containers
        tags["mlflow.user"] = getpass.getuser()
    return tags


@contextmanager
def working_for(arguments: Sequence[str]) -> Iterator[None]:
    """Let runs that begin within it, in this process and those that it starts, name an xlprompt command."""
    before = os.environ.get(COMMAND_VARIABLE)
    os.environ[COMMAND_VARIABLE] = without_passwords(shlex.join(["xlprompt", *arguments]))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(COMMAND_VARIABLE, None)
        else:
            os.environ[COMMAND_VARIABLE] = before


def without_passwords(text: str) -> str:
    """Text whose addresses name no user with a password."""
    return _PASSWORD.sub("", text)
