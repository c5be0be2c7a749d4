import logging
import os
import subprocess
import sys

import click
import pytest

from xlprompt.cli import main as main_module
from xlprompt.cli.main import COMMANDS, main
from xlprompt.data import DataError

RUN = "from xlprompt.cli.main import main; main()"


def test_help_lists_every_command_with_a_line(xlprompt):
    result = xlprompt("--help")
    assert result.exit_code == 0
    listed = [line.split(maxsplit=1) for line in result.stdout.split("Commands:")[1].strip().splitlines()]
    assert [name for name, _ in listed] == list(COMMANDS)


NESTED = [("data", "check"), ("data", "show")]
NESTED += [("analyze", name) for name in ("alignment", "tokenization", "granularity")]


@pytest.mark.parametrize("command", [(name,) for name in COMMANDS] + NESTED)
def test_a_commands_help_has_an_example_and_explains_every_option(xlprompt, command):
    result = xlprompt(*command, "--help")
    assert result.exit_code == 0
    assert f"xlprompt {command[0]} " in result.stdout or command == ("data",)
    found = main
    for name in command:
        found = found.get_command(click.Context(found), name)
    options = [option for option in found.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_no_librarys_bar_comes_between_the_lines_of_a_command():
    code = "import xlprompt.cli.main; from tqdm.auto import tqdm; print(len(list(tqdm(range(3)))))"
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_an_unknown_command_is_refused(xlprompt):
    result = xlprompt("trian")
    assert result.exit_code == 2
    assert "No such command 'trian'" in result.stderr


def test_notes_on_the_data_and_on_the_run_are_said_once_and_a_warning_every_time():
    said = main_module._SaidOnce()
    note, warning, run = (
        logging.LogRecord(name, level, "", 0, "%s: left out", (what,), None)
        for name, level, what in (
            ("xlprompt.data.sources.folder", logging.INFO, "a.txt"),
            ("xlprompt.data.sources.folder", logging.WARNING, "a.txt"),
            ("xlprompt.training.store.find", logging.WARNING, "another run"),
        )
    )
    asked = (note, note, warning, warning, run, run)
    assert [said.filter(record) for record in asked] == [True, False, True, True, True, False]


def test_lines_of_the_log_are_shown_as_they_are_and_handlers_of_others_stay(xlprompt, monkeypatch):
    root, others = logging.getLogger(), logging.NullHandler()
    monkeypatch.setattr(root, "handlers", [])
    xlprompt("data", "check", "no/such-folder")
    (handler,) = root.handlers
    record = logging.LogRecord("xlprompt.data", logging.WARNING, "", 0, "%d rows", (3,), None)
    assert handler.format(record) == "3 rows"
    assert len(handler.filters) == 1
    monkeypatch.setattr(root, "handlers", [others])
    xlprompt("data", "check", "no/such-folder")
    assert not others.filters


@pytest.mark.integration
def test_help_does_not_wait_for_the_heavy_libraries():
    heavy = ["torch", "transformers", "datasets", "mlflow", "pandas"]
    check = "import sys; from xlprompt.cli.main import main; main(['--help'], standalone_mode=False); "
    check += f"print(set(sys.modules) & set({heavy}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


@pytest.mark.integration
def test_neither_a_report_nor_a_study_that_is_done_waits_for_the_models():
    check = "import sys, xlprompt.studies.reports.report, xlprompt.studies.grid.study; "
    check += "print('transformers.modeling_utils' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def failing(monkeypatch):
    """Makes `xlprompt ui` raise what a test wants."""

    def install(error):
        @click.command()
        def command():
            raise error

        module = type("Module", (), {"command": command})
        monkeypatch.setattr(main_module.importlib, "import_module", lambda name: module)

    return install


def test_an_error_for_the_user_is_one_line_and_exit_code_2(xlprompt, failing):
    failing(DataError("unknown label 'x'", file="a.tsv", line=3, fix="Use one of the task's labels."))
    result = xlprompt("ui")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "Error: a.tsv:3: unknown label 'x'. Use one of the task's labels.\n"


def test_debug_shows_the_traceback_of_an_error_for_the_user(xlprompt, failing):
    failing(DataError("unknown label 'x'"))
    assert isinstance(xlprompt("--debug", "ui").exception, DataError)


def test_a_bug_keeps_its_traceback(xlprompt, failing):
    failing(ZeroDivisionError("oops"))
    assert isinstance(xlprompt("ui").exception, ZeroDivisionError)


def test_ctrl_c_ends_with_130_and_no_traceback(xlprompt, failing):
    failing(KeyboardInterrupt())
    result = xlprompt("ui")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted.\n"


@pytest.mark.integration
def test_an_error_in_a_real_process_leaves_standard_output_empty():
    call = [sys.executable, "-c", RUN, "params", "--task", "xmli", "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "xnli" in done.stderr
    assert "Traceback" not in done.stderr
