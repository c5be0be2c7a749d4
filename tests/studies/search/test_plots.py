"""Plots of a search, by Optuna."""

from types import SimpleNamespace

import optuna
import pytest

from xlprompt.studies.search.outcome import draw_trials


def searched(values: list[str]) -> SimpleNamespace:
    """What `draw_trials` asks of a search's trials."""
    study = optuna.create_study(direction="maximize")
    space = {
        "prompt.text": optuna.distributions.CategoricalDistribution(values),
        "optimizer.learning_rate": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
    }
    for number, value in enumerate(values):
        params = {"prompt.text": value, "optimizer.learning_rate": 10.0**-number / 20}
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=space, value=50.0 + number, intermediate_values={2: 50.0}
            )
        )
    trials = [SimpleNamespace(state="complete") for _ in values]
    return SimpleNamespace(study=study, trials=lambda: trials, importances=dict, scored=lambda: study)


@pytest.mark.parametrize("text", ["$x_{$ 100 % $\\frac{$", "[/red] <b> ज", "two\nlines"])
def test_a_search_over_any_text_is_drawn(text, tmp_path):
    files = draw_trials(searched([text, "plain"]), tmp_path, "accuracy")
    assert [file.name for file in files] == ["history.png", "steps.png", "slices.png"]
    assert all(file.stat().st_size > 1000 for file in files)


def test_a_search_without_a_finished_trial_is_not_drawn(tmp_path):
    nothing = SimpleNamespace(trials=lambda: [SimpleNamespace(state="running")])
    assert draw_trials(nothing, tmp_path, "accuracy") == []
