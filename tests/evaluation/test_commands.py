"""Commands in texts, as the shell finds them."""

import sys

import pytest

from xlprompt.evaluation.commands import as_typed, program


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An environment in this folder that is not activated."""
    script = tmp_path / ".venv" / "bin" / "xlprompt"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setattr(sys, "argv", ["python"])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    return script


def test_a_program_off_the_path_is_named_as_seen_from_here(installed):
    assert program() == ".venv/bin/xlprompt"
    assert as_typed("Look at it: xlprompt ui") == "Look at it: .venv/bin/xlprompt ui"


def test_from_elsewhere_it_is_named_in_full(installed, monkeypatch):
    monkeypatch.chdir("/usr")
    assert program() == str(installed)


def test_one_on_the_path_keeps_its_name(installed, monkeypatch):
    monkeypatch.setenv("PATH", str(installed.parent))
    assert as_typed("`xlprompt runs` lists them") == "`xlprompt runs` lists them"


@pytest.mark.parametrize(
    "text", ["xlprompt cache", "/opt/xlprompt ui", "make xlprompt", "the xlprompt package"]
)
def test_what_is_no_command_stays(installed, text):
    assert as_typed(text) == text
