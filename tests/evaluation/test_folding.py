"""Text at a terminal's width: nothing is lost, and no word is broken."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlprompt.evaluation.folding import folded, folded_command

WORD = st.text(alphabet="abcdefg%.,:", min_size=1, max_size=30)
SHELL_WORD = st.one_of(WORD, st.text(alphabet="ab c", min_size=1, max_size=20).map(shlex.quote))


@settings(max_examples=40)
@given(st.lists(WORD, min_size=1, max_size=40), st.integers(40, 120))
def test_words_stay_whole_and_lines_fit(words, width):
    shown = folded(" ".join(words), width)
    assert shown.split() == words
    assert all(len(line) <= width for line in shown.split("\n"))


@settings(max_examples=40)
@given(st.lists(SHELL_WORD, min_size=1, max_size=15), st.integers(40, 120))
def test_a_folded_command_is_the_same_command(words, width):
    shown = folded_command("  xlprompt " + " ".join(words), width)
    joined = shown.replace("\\\n", "")  # as a shell reads it, and shlex does not
    assert shlex.split(joined) == ["xlprompt", *shlex.split(" ".join(words))]
    assert all(len(line) <= width for line in shown.split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("  two words more", "  two words\n  more"),
        ("training 4 %, rest 7 %", "training 4 %,\nrest 7 %"),
        ("ok   name   of things", "ok   name   of\nthings"),
        ("a/path/that/is/longer stays", "a/path/that/is/longer\nstays"),
    ],
)
def test_margins_columns_figures_with_units_and_paths_are_kept(text, shown):
    assert folded(text, 14) == shown


def test_lines_that_are_added_can_hang():
    assert folded("ok  what it is", 11, hanging=4) == "ok  what it\n    is"


@pytest.mark.parametrize("program", ["xlprompt", "/far/away/.venv/bin/xlprompt", "'/my home/bin/xlprompt'"])
def test_a_command_that_a_sentence_ends_with_can_be_pasted(program):
    command = f"{program} study 'my grid.yaml' --seeds 2 --set schedule.steps=4 --mlruns /tmp/store"
    shown = folded(f"Error: nothing has finished. Run it first: {command}", 50)
    assert all(len(line) <= 50 for line in shown.split("\n"))
    sentence, _, pasted = shown.partition(":\n  ")
    assert sentence.replace("\n", " ") == "Error: nothing has finished. Run it first"
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(command)


def test_a_sentence_that_goes_on_behind_a_command_stays_one():
    text = "Make it: xlprompt evaluate RUN --align mean, with --data FOLDER where the text lies"
    assert " \\" not in folded(text, 40)
