"""The blocks of commands in the documentation, and what `make` would run for its own."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^(?:<!-- (run|file: \S+) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACEHOLDER = re.compile(r"<[a-z][a-z ]*>")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands.
        language: What is written behind the fence.
        text: What stands in it.
        runs: Whether a test runs it.
        file: The file that it is, where it is one.
    """

    page: Path
    language: str
    text: str
    runs: bool = False
    file: str = ""

    def commands(self) -> list[str]:
        """Its lines without comments; what is not a shell's has none."""
        lines = self.text.splitlines() if self.language == "sh" else []
        return [text for line in lines if (text := re.sub(r"(^|\s+)#.*", "", line))]


def pages() -> list[Path]:
    """The README, then the site's pages in the order of its menus."""
    index = DOCS / "index.md"
    menus = re.findall(r"```{toctree}\n.*?```", index.read_text(encoding="utf-8"), re.DOTALL)
    names = [line for menu in menus for line in menu.splitlines() if re.fullmatch(r"[\w/-]+", line)]
    return [ROOT / "README.md", index, *(DOCS / f"{name}.md" for name in names)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found = []
    for mark, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        file = mark.removeprefix("file: ") if mark.startswith("file: ") else ""
        found.append(Block(page, language, text, mark == "run", file))
    return found


def make_checkout(folder: Path) -> Path:
    """A folder in which `make -n` says what it would run, as if the environment were there."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "experiments", folder / "experiments", ignore=shutil.ignore_patterns("results"))
    (folder / "requirements.lock").touch()
    for file in (ROOT / "packages").glob("*/pyproject.toml"):
        stub = folder / file.relative_to(ROOT)
        stub.parent.mkdir(parents=True)
        stub.touch()
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".ready").touch()
    return folder


def run_make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """`make` in a folder, in a clean environment.

    Under `make test` the variables of that call are exported and would be taken over.
    """
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def xlprompt_calls(command: str, checkout: Path) -> list[list[str]]:
    """The arguments of each call of xlprompt that a line of shell comes to; none for other programs.

    Raises:
        ValueError: `make` does not take the line.
    """
    calls = []
    for part in command.split(" && "):
        words = shlex.split(PLACEHOLDER.sub("folder", part))
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words[:1] == ["make"]:
            listed = run_make(checkout, "-n", *words[1:])
            if listed.returncode or "takes no" in listed.stderr:
                raise ValueError(f"{command}: {listed.stderr}")
            lines = listed.stdout.replace("\\\n", " ").splitlines()
            calls += [shlex.split(line)[1:] for line in lines if line.startswith(".venv/bin/xlprompt ")]
        elif words[:1] in (["xlprompt"], [".venv/bin/xlprompt"]):
            calls.append(words[1:])
    return calls
