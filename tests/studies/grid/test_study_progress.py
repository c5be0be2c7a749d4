"""What a study says in plain lines, where there is no terminal."""

import io
import re

import pytest
from rich.console import Console
from screens import COLUMNS, replay

from xlprompt.studies.grid import study_progress as module
from xlprompt.studies.grid.study_progress import study_progress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def lines_of(events, clock):
    console = Console(file=io.StringIO(), width=100)
    with study_progress(console, cells=1, left=lambda: "") as progress:
        for at, event in events:
            clock.now = at
            progress.event("pos seed 0", event)
        progress.ended("pos seed 0", "finished")
    return console.file.getvalue().splitlines()


def step(number):
    return {"event": "step", "step": number, "steps": 4}


SCORE = {"event": "score", "metric": "accuracy", "best": 81.25}


def test_a_long_run_says_that_it_has_come_to_scoring(clock):
    events = [(0, {"event": "started"}), (10, step(1)), (75, step(2)), (80, step(4)), (90, SCORE)]
    assert lines_of(events, clock) == [
        "pos seed 0: started",
        "pos seed 0: step 2/4  ",
        "pos seed 0: scoring languages  best development accuracy 81.2",
        "pos seed 0: finished after 90 s (1/1)",
    ]


def test_a_short_one_has_no_line_but_its_first_and_last(clock):
    events = [(0, {"event": "started"}), (10, step(1)), (20, step(4)), (30, SCORE)]
    assert lines_of(events, clock) == ["pos seed 0: started", "pos seed 0: finished after 30 s (1/1)"]


def test_one_that_was_interrupted_is_not_counted_as_done(clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=COLUMNS, height=24)
    with study_progress(console, cells=2, left=lambda: "", what="trials") as progress:
        for place, (word, counts) in enumerate([("88.4 ± 1.4", True), ("stopped", False)]):
            progress.event(f"trial {place}", {"event": "started"})
            clock.now += 5
            progress.ended(f"trial {place}", word, counts=counts)
    screen = [line for line in replay(console.file.getvalue()).screen if line]
    assert screen[:2] == ["trial 0: 88.4 ± 1.4 after 5 s (1/2)", "trial 1: stopped after 5 s (1/2)"]
    assert re.match(r"all trials +1/2 +0:\d\d so far$", screen[2])


def test_on_a_terminal_cells_keep_count_and_time_left(clock):
    console = Console(
        file=io.StringIO(), force_terminal=True, width=COLUMNS, height=24, get_time=clock.monotonic
    )
    name = "xnli-finetune layers seed 0"
    with study_progress(console, cells=2, left=lambda: "about 3 h 20 min left") as progress:
        progress.event(name, {"event": "started"})
        for number in (1, 2):
            clock.now += 30
            progress.event(name, step(number))
        progress.event(name, SCORE)
        progress._bars.refresh()
    seen = replay(console.file.getvalue())
    assert seen.widest <= COLUMNS
    drawn = [line for line in seen.screen if line.strip()]
    assert re.match(r"all cells +0/2 +about 3 h 20 min left", drawn[0])
    assert re.search(rf"{name} +2/4 +1:00 left +training +accuracy 81.2", " ".join(drawn[1:]))
