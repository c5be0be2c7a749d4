"""What a run's figures and folders are called."""

import pytest

from xlprompt.training.store.metric_names import (
    KeptPredictions,
    kept_in,
    predictions_folder,
    scored_languages,
)


@pytest.mark.parametrize(
    ("kept", "folder"),
    [
        (KeptPredictions("none"), "predictions"),
        (KeptPredictions("mean_scale"), "predictions-mean_scale"),
        (KeptPredictions("mean", 20), "predictions-mean-head-20"),
        (KeptPredictions("subspace", 500, 12), "predictions-subspace-12-500"),
    ],
)
def test_a_folder_of_predictions_is_read_as_it_was_named(kept, folder):
    assert predictions_folder(*kept) == folder
    assert kept_in(folder) == kept


@pytest.mark.parametrize(
    "name", ["figures", "predictions-", "predictions-mean-20", "predictions-mean-last-5"]
)
def test_other_folders_hold_no_predictions(name):
    assert kept_in(name) is None


def test_languages_are_found_in_the_names_of_scores_and_of_nothing_else():
    names = [
        *("test/f1/sw", "test/f1/en", "test/accuracy/en", "test/f1/mean", "test/f1/mean_zero_shot"),
        *("test/f1/transfer_gap", "test/collapsed_languages", "validation/f1/pl", "validation/loss"),
        *("test-mean/f1/fr", "curve/f1/ru", "answers/entropy/hi", "train/loss", "score/gap"),
    ]
    assert scored_languages(names) == ("en", "sw", "pl")
