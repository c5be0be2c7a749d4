"""Where a run's time went."""

import time

import pytest

from xlprompt.training.machine.phases import Phase, Phases, in_words, process_began


def test_a_phase_within_another_stops_the_others_clock_and_all_add_up_to_the_whole():
    phases = Phases()
    with phases.of(Phase.TEST):
        with phases.of(Phase.ENCODING):
            time.sleep(0.05)
        time.sleep(0.01)
    whole = time.perf_counter() - phases.began
    seconds = phases.seconds()
    assert list(seconds) == ["encoding", "test", "rest"]
    assert seconds["encoding"] >= 0.05 > whole - seconds["encoding"] >= seconds["test"] >= 0.01
    assert sum(seconds.values()) == pytest.approx(whole, abs=0.02)


def test_what_was_before_is_the_imports_and_earlier_attempts_stand_apart():
    phases = Phases(time.perf_counter() - 10)
    seconds = phases.seconds(earlier=5.0)
    assert list(seconds) == ["earlier_attempts", "imports", "rest"]
    assert sum(seconds.values()) == pytest.approx(15, abs=0.5)


def test_shares_are_told_without_those_that_are_nothing():
    told = in_words({"imports": 10.0, "losses_before": 30.0, "storing": 0.1, "rest": 59.9})
    assert told == "imports 10 %, losses before 30 %, rest 60 %"


def test_a_process_knows_when_it_began():
    assert process_began() == pytest.approx(process_began(), abs=0.5)
    assert process_began() < time.perf_counter()
