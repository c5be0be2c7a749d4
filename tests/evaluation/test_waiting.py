"""Lines that are rewritten while one waits, on a terminal of 80 columns and in a log."""

import io

import pytest
from screens import COLUMNS, replay

from xlprompt.evaluation import waiting as module
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import counted, waiting


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch, tmp_path):
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path))
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def terminal(clock):
    return open_console(
        file=io.StringIO(), force_terminal=True, width=COLUMNS, height=24, get_time=clock.monotonic
    )


def test_what_took_long_says_so_the_next_time(terminal, clock):
    for _ in range(2):
        with waiting(terminal, "Reading the data"):
            clock.now += 75
    seen = replay(terminal.file.getvalue())
    assert any("Reading the data 1:15" in line for line in seen.lines)
    assert any("0:00, about 1:15 the last time" in line for line in seen.lines)
    assert not any("Reading" in line for line in seen.screen)


def test_a_bar_keeps_count_and_time_left_beside_a_long_name(terminal, clock):
    with counted(terminal, "scoring a test set of many languages and of a long name", 400) as done:
        for _ in range(3):
            clock.now += 10
            done()
    seen = replay(terminal.file.getvalue())
    assert seen.widest <= COLUMNS
    assert any("3/400" in line and "1:06:10 left" in line for line in seen.lines)


def test_a_log_has_lines_of_what_is_counted_and_of_nothing_else(clock):
    console = open_console(file=io.StringIO(), width=COLUMNS)
    with waiting(console, "Reading the data"):
        clock.now += 75
    with counted(console, "scoring", 4) as done:
        for _ in range(4):
            clock.now += 8
            done()
    assert console.file.getvalue() == "scoring: 2/4, 0:16 left\n"
