"""The commands of the documentation, run in their order in one folder, at a size of seconds.

A block behind `<!-- run -->` is run as it stands, but for what `SMALLER` puts behind a command, so that it
takes two steps on a few rows. What `make` would call is called.
"""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from documents import Block, blocks, make_checkout, pages, xlprompt_calls

from xlprompt.cli.main import main

pytestmark = pytest.mark.integration

KEYS = [
    *("schedule.steps=2", "schedule.batch_size=4", "schedule.evaluate_every=2"),
    *("data.limit=8", "evaluation.language_model_rows=0"),
]
TRAINED = [part for key in KEYS for part in ("--set", key)]
SMALLER = {
    "train": TRAINED,
    "study": [*TRAINED, "--workers", "0"],
    "evaluate": ["--limit", "8"],
    "import": ["--limit", "8"],
}
TWO = ["--languages", "en,de"]  # of the mini benchmark's twenty
TWO_LANGUAGES = {"train": TWO, "evaluate": TWO, "import": TWO, "study": ["--set", "data.languages=[en,de]"]}
EXIT_BAD_NEWS = 1


def run_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.runs or block.file]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    folder = make_checkout(tmp_path_factory.mktemp("documents"))
    shutil.copytree(empty_store, folder / "mlruns")
    return folder


def smaller(call: list[str]) -> list[str]:
    """The call with less to do; it is the same command with further options."""
    own = call[0] == "train" and "--data" in call  # a task in languages of its own
    languages = [] if own or "--languages" in call else TWO_LANGUAGES.get(call[0], [])
    return [*call, *SMALLER.get(call[0], []), *languages]


def test_the_commands_of_the_documents_run_one_after_the_other(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    done = []
    for block in run_blocks():
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
            continue
        for command in block.commands():
            for call in xlprompt_calls(command, checkout):
                result = CliRunner().invoke(main, smaller(call))
                expected = {0, EXIT_BAD_NEWS} if call[0] == "doctor" else {0}  # of this machine
                assert result.exit_code in expected, f"{block.page.name}: {command}\n{result.output}"
                done.append(call[0])
    assert {"train", "study", "report", "predict", "evaluate", "export", "import", "push"} <= set(done)
    shutil.rmtree(checkout / "mlruns")
