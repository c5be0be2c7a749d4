"""Which trials are drawn and how many, on a real database but with trials that only pretend to train."""

import math
import platform
import sqlite3
import threading
from contextlib import closing

import optuna
import pytest

from xlprompt.evaluation import Score
from xlprompt.studies.search.database import hidden, open_database
from xlprompt.studies.search.space import PruningSettings, Range, SearchError
from xlprompt.studies.search.trial import Pruned
from xlprompt.studies.search.trials import SearchTrials
from xlprompt.training.fitting.loop import TrainingDiverged

RATE, LENGTH, BATCH = "optimizer.learning_rate", "prompt.length", "schedule.batch_size"
SPACE = {RATE: Range(low=5e-5, high=5e-2, log=True), LENGTH: Range(low=8, high=50), BATCH: (32, 64)}
SHIPPED = {RATE: 2e-2, LENGTH: 16, BATCH: 32}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """One for all tests, since its tables take a while to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/search.db"


@pytest.fixture
def open_trials(database, request):
    def open_them(space=SPACE, shipped=SHIPPED, *, trials=6, name="search", seed=0, pruning=None):
        return SearchTrials(
            database,
            f"{request.node.name}-{name}",
            space,
            shipped,
            trials=trials,
            startup_trials=3,
            pruning=pruning,
            steps=20,
            seed=seed,
        )

    return open_them


def pretend(draw):
    """Trains for 20 steps; the best learning rate is 1e-3."""
    try:
        for step in (10, 20):
            far = abs(math.log10(draw.values.get(RATE, 1e-3) / 1e-3))
            draw.scored(step, Score(60 + step - 10 * far, 1.5))
    except Pruned:
        return None
    return draw.best.value


def run_all(trials, train=pretend):
    while trials.run_next(train):
        pass
    return trials.trials()


def values_of(trials):
    return [trial.values for trial in trials]


def test_a_search_begins_with_the_recipe_and_has_as_many_different_trials_as_asked_for(open_trials):
    trials = open_trials()
    found = run_all(trials)
    assert trials.are_complete
    assert len(found) == 6
    assert [trial.shipped for trial in found] == [True, *[False] * 5]
    assert found[0].values == SHIPPED
    assert len({tuple(trial.values.values()) for trial in found}) == 6
    for trial in found:
        assert SPACE[RATE].holds(trial.values[RATE])
        assert SPACE[LENGTH].holds(trial.values[LENGTH])
        assert trial.values[BATCH] in SPACE[BATCH]
        assert (trial.state, trial.stderr, trial.step) == ("complete", 1.5, 20)
    more = open_trials(trials=7)
    assert len(run_all(more)) == 7


def test_the_same_seed_gives_the_same_trials_whether_the_search_was_interrupted_or_not(open_trials):
    whole = run_all(open_trials(name="whole", trials=5))

    def interrupt(draw):
        draw.scored(10, Score(99.0, 1.5))
        raise SystemExit(143)

    for number in (0, 3):
        trials = open_trials(name="stopped", trials=5)
        for _ in range(number - len(trials.trials())):
            trials.run_next(pretend)
        with pytest.raises(SystemExit, match="143"):
            trials.run_next(interrupt)
    assert values_of(run_all(open_trials(name="stopped", trials=5))) == values_of(whole)
    assert values_of(run_all(open_trials(name="other", seed=1, trials=2))) != values_of(whole[:2])


def test_a_space_with_few_values_is_tried_in_full_by_two_workers_that_repeat_nothing(open_trials):
    space = {LENGTH: Range(low=8, high=11), BATCH: (32, 64)}
    barrier = threading.Barrier(2)

    def work():
        trials = open_trials(space, {LENGTH: 8, BATCH: 32}, trials=50)
        barrier.wait()
        run_all(trials)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    trials = open_trials(space, {LENGTH: 8, BATCH: 32}, trials=50)
    found = trials.trials()
    assert trials.are_complete
    assert len(found) == trials.budget == 8
    assert {(trial.values[LENGTH], trial.values[BATCH]) for trial in found} == {
        (length, batch) for length in (8, 9, 10, 11) for batch in (32, 64)
    }


def test_who_ends_a_trial_after_another_worker_has_ended_it_goes_on(open_trials):
    trials, other = open_trials(), open_trials()

    def both(draw):
        draw.scored(10, Score(61.0, 1.5))
        other.study.tell(draw.number, 61.0)
        draw.scored(20, Score(61.0, 1.5))
        return 61.0

    assert trials.run_next(both)
    assert [trial.score for trial in trials.trials()] == [61.0]

    def fails(draw):
        raise ValueError("a fault of the training")

    with pytest.raises(ValueError, match="a fault of the training"):
        trials.run_next(fails)


def test_a_trial_that_falls_behind_is_cut_short_but_never_the_recipe(open_trials):
    pruning = PruningSettings(startup_trials=1, warmup_share=0.0)
    trials = open_trials(shipped=SHIPPED | {RATE: 5e-5}, pruning=pruning, trials=7)
    found = run_all(trials)
    assert found[0].state == "complete"
    cut = [trial for trial in found if trial.state == "pruned"]
    assert cut
    assert {trial.step for trial in cut} == {10}
    middle = sorted(trial.score for trial in found)[len(found) // 2]
    assert max(trial.score for trial in cut) <= middle
    assert sum(trials.importances().values()) == pytest.approx(1)
    assert max(trials.importances(), key=trials.importances().get) == RATE


def test_training_that_diverges_is_an_outcome_and_any_other_error_gives_the_trial_up(open_trials):
    trials = open_trials(trials=3)

    def diverge(draw):
        raise TrainingDiverged("loss nan")

    def fail(draw):
        raise OSError("the disk is full")

    trials.run_next(pretend)
    assert trials.run_next(diverge)
    with pytest.raises(OSError, match="disk is full"):
        trials.run_next(fail)
    found = run_all(trials)
    assert [trial.state for trial in found] == ["complete", "diverged", "complete"]
    assert (found[1].score, found[1].stderr) == (None, None)


def test_the_trial_of_a_process_that_is_gone_is_replaced_and_that_of_a_living_one_counts(open_trials):
    trials = open_trials(trials=3)
    trials.run_next(pretend)
    trials.study.ask(trials._space).set_user_attr("process", f"{platform.node()} 99999999 1.00")
    trials.study.ask(trials._space)
    assert len(trials.trials()) == 3
    trials.give_up_dead()
    assert len(trials.trials()) == 2  # the other one has begun just now, and may yet give its name
    found = run_all(trials)
    assert [trial.state for trial in found] == ["complete", "running", "complete"]
    assert not trials.are_complete


def test_the_trial_of_a_machine_that_gives_no_sign_of_life_is_replaced(open_trials, database):
    trials = open_trials(trials=2)
    dead = trials.study.ask(trials._space)
    dead.set_user_attr("process", "node17 4242 1.00")
    storage = open_database(database)
    storage.record_heartbeat(dead._trial_id)
    trials.give_up_dead()
    assert [trial.machine for trial in trials.trials()] == ["node17"]
    fall_silent(database)
    assert [trial.state for trial in run_all(trials)] == ["complete", "complete"]


def fall_silent(database):
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-181 seconds')")


def test_who_was_asleep_and_finds_its_trial_given_up_goes_on_with_another(open_trials, database):
    trials, other = open_trials(trials=1), open_trials(trials=1)

    def sleep(draw):
        while other.trials():  # its first sign of life may come later than this
            fall_silent(database)
            other.give_up_dead()
        return pretend(draw)

    assert trials.run_next(sleep)
    assert trials.trials() == ()
    assert len(run_all(trials)) == 1


def test_a_search_that_lost_the_recipes_own_trial_runs_it_again(open_trials):
    trials = open_trials(trials=2)
    with pytest.raises(KeyboardInterrupt):
        trials.run_next(lambda draw: (_ for _ in ()).throw(KeyboardInterrupt))
    assert [trial.shipped for trial in run_all(trials)] == [True, False]


def test_a_database_that_cannot_be_used_is_named_without_its_password():
    for url, reason in (
        ("postgresql+nothing://user:secret@host/search", "nothing"),
        ("sqlite://", "this process's alone"),
        ("no url", "Could not parse"),
    ):
        with pytest.raises(SearchError, match=reason) as raised:
            SearchTrials(url, "a", SPACE, SHIPPED, trials=2, startup_trials=1, pruning=None, steps=1, seed=0)
        assert "secret" not in str(raised.value)
    assert hidden("mysql://user:secret@host/search") == "mysql://user:***@host/search"


def test_values_that_another_trial_runs_with_are_given_up(open_trials):
    """The moment between drawing and looking, in which another worker may draw the same."""
    trials, others = open_trials(trials=4), open_trials(trials=4)
    trials.run_next(pretend)
    same = {RATE: 1e-2, LENGTH: 20, BATCH: 64}
    others.study.enqueue_trial(same)
    running = others.study.ask(others._space)
    trials.study.enqueue_trial(same)
    found = run_all(trials)
    assert running.params == same
    assert values_of(found).count(same) == 1
    assert len(found) == 4
    given_up = [each for each in trials.study.trials if each.state == optuna.trial.TrialState.FAIL]
    assert [each.user_attrs["ended"] for each in given_up] == ["repeats another"]
