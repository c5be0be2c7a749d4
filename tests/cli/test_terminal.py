"""What a person sees at 80 x 24: a run on a pseudo-terminal, from its first line to its last."""

import re
import shutil

import pytest
from screens import COLUMNS, on_terminal

from xlprompt.cli.main import main

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe_file, empty_store):
    """A run of four steps, in an environment that is not activated."""
    folder = tmp_path_factory.mktemp("terminal")
    store = shutil.copytree(empty_store, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(folder / "cache"))
        patch.setenv("PATH", "/usr/bin:/bin")
        return on_terminal(lambda: main(["train", str(recipe_file), "--mlruns", str(store)]))


def test_nothing_that_a_run_draws_is_wider_than_the_terminal(trained):
    assert trained.status == 0, "\n".join(trained.screen)
    assert trained.widest <= COLUMNS


def test_a_run_says_what_it_waits_for_and_what_it_took(trained):
    drawn = "\n".join(trained.lines)
    assert re.search(r"Loading torch and transformers \d+:\d\d", drawn)
    assert re.search(r"Reading the data and loading the model \d+:\d\d", drawn)
    assert re.search(r"scoring test sets .* \d/2 \S+ (left|\d)", drawn)
    assert re.search(r"^training +━+ 4/4 took \d+:\d\d$", drawn, flags=re.MULTILINE)


def test_lines_that_showed_a_wait_are_gone_at_the_end(trained):
    screen = "\n".join(trained.screen)
    for passing in ("Loading torch", "Reading the data", "scoring test sets", "language-model losses"):
        assert passing not in screen


def test_no_word_of_a_run_is_broken(trained):
    screen = "\n".join(trained.screen)
    for words in ("most predicted", "transfer gap", "development examples", "Where the time went:"):
        assert words in screen
    ends = [line for line in trained.screen if len(line) == COLUMNS]
    assert not [line for line in ends if line[-1].isalnum() and _goes_on(trained.screen, line)]


def _goes_on(screen, line):
    """Whether the next line begins with a letter, as where a terminal breaks a word."""
    below = screen[screen.index(line) + 1 : screen.index(line) + 2]
    return bool(below) and below[0][:1].isalnum()


def test_a_run_ends_with_commands_that_run_here_as_they_stand(trained):
    screen = "\n".join(trained.screen)
    named = re.findall(
        r"^(?:Score it again|See where it errs|Look at it):(?: |\n +)(\S+)", screen, re.MULTILINE
    )
    assert len(named) == 3
    assert all(re.fullmatch(r"\S*/xlprompt", each) for each in named)


def test_an_error_is_folded_between_words():
    seen = on_terminal(lambda: main(["study", "nothere.yaml", "--steps", "20", "--slurm", "partition=long"]))
    assert seen.status == 2
    assert seen.widest <= COLUMNS
    assert "'--threads'?)" in "\n".join(seen.screen)


def test_examples_of_a_command_are_folded_with_backslashes():
    seen = on_terminal(lambda: main(["train", "--help"]))
    assert seen.widest <= COLUMNS
    folded = [line for line in seen.screen if line.endswith(" \\")]
    assert folded
    assert all("xlprompt train" in line for line in folded)
