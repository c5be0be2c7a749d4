"""How the commands of this program are typed here, so that what names one can be pasted into the shell.

Texts call the program `xlprompt`. Where the shell does not find it under that name, because no environment is
activated, they are printed with its path instead.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

NAME = "xlprompt"
COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "serve",
    "runs",
    "inspect",
    "study",
    "search",
    "report",
    "publish",
    "analyze",
    "params",
    "export",
    "import",
    "push",
    "data",
    "pretrain",
    "doctor",
    "ui",
)
"""In the order in which a newcomer meets them."""

_NAMED = re.compile(rf"(?<![\w./-]){NAME}(?= (?:{'|'.join(COMMANDS)})\b)")


def program() -> str:
    """What the shell is given for `xlprompt`: the name where its path has it, else where the program lies."""
    beside = Path(sys.executable).with_name(NAME)
    called = Path(sys.argv[0]) if sys.argv and Path(sys.argv[0]).name == NAME else beside
    place = called if called.is_file() else beside
    if not place.is_file():
        return NAME
    found = shutil.which(NAME)
    if found is not None and os.path.samefile(found, place):
        return NAME
    place = place.absolute()
    below = place.is_relative_to(Path.cwd())
    return shlex.quote(str(place.relative_to(Path.cwd()) if below else place))


def as_typed(text: str) -> str:
    """The text with each command that it names as it is typed here."""
    if NAME not in text:
        return text
    return _NAMED.sub(lambda _: program(), text)
