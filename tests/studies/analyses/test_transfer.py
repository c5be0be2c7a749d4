"""The matrix of training by test language, and whether kinship explains it."""

import numpy as np
import pytest
from simulated_studies import make_runs

from xlprompt.data import language
from xlprompt.evaluation import TaskRuns
from xlprompt.evaluation.comparison.counts import Counts
from xlprompt.studies.analyses.transfer.findings import kinship, transfer_matrix
from xlprompt.studies.analyses.transfer.section import transfer_answer, transfer_section
from xlprompt.studies.reports.page import Image, Section, Table

TRAINED_ON = ("en", "ru", "ar", "hi", "tr", "fi")
LANGUAGES = ("en", "ru", "de", "fi", "tr", "ar", "vi", "bg", "hi", "ur", "sw")


def related(trait: str, *, ease: float = 0.0) -> np.ndarray:
    """Scores that are 20 points higher where a trait is shared; test languages differ by `ease` points."""
    rng = np.random.default_rng(1)
    same = [
        [getattr(language(a), trait) == getattr(language(b), trait) for b in LANGUAGES] for a in TRAINED_ON
    ]
    return 50 + 20 * np.array(same) + ease * np.arange(len(LANGUAGES)) + rng.normal(0, 1, np.shape(same))


@pytest.fixture(scope="module")
def matrix():
    (found,) = make_runs(8.0).values()
    return transfer_matrix(found, {"prompt": "en", "finetune": "ru"}, method="lora")


def test_every_pair_has_its_scores_over_seeds(matrix):
    (found,) = make_runs(8.0).values()
    means = matrix.means()
    assert means.shape == (2, len(found.languages))
    for row, method in enumerate(("prompt", "finetune")):
        for column, code in enumerate(matrix.languages):
            assert means[row, column] == pytest.approx(found.languages[code].scores[found.of(method)].mean())


def test_each_zero_shot_mean_leaves_out_its_own_training_language(matrix):
    for row, source in enumerate(matrix.trained_on):
        others = [
            value for code, value in zip(matrix.languages, matrix.means()[row], strict=True) if code != source
        ]
        assert matrix.zero_shot[source].mean == pytest.approx(np.mean(others))


def test_in_brief_a_section_says_each_training_languages_zero_shot_mean(matrix):
    english, russian = (matrix.zero_shot[source] for source in ("en", "ru"))
    section = transfer_section("Transfer", [matrix])
    assert section.brief.rows == (
        (
            "`Transfer`",
            "xnli lora",
            f"en: {english.mean:.1f} ± {english.deviation:.1f}",
            f"ru: {russian.mean:.1f} ± {russian.deviation:.1f}",
        ),
    )


def test_pairs_are_of_different_languages_and_counted_by_what_they_share():
    found = kinship(related("script"), TRAINED_ON, LANGUAGES, "script")
    assert found.pairs == len(TRAINED_ON) * len(LANGUAGES) - len(TRAINED_ON)
    # en, tr and fi with en, de, fi, tr, vi and sw; ru with bg; ar with ur
    assert found.sharing == 3 * 5 + 1 + 1
    assert found.score_shared - found.score_other == pytest.approx(20, abs=1)


def test_a_shared_script_that_matters_is_found_behind_languages_that_differ_in_difficulty():
    found = kinship(related("script", ease=10), TRAINED_ON, LANGUAGES, "script")
    assert found.adjusted > found.rho
    assert found.adjusted > 0.5
    assert 0 < found.low < found.adjusted
    assert found.p_value < 0.05
    again = kinship(related("script", ease=10), TRAINED_ON, LANGUAGES, "script")
    assert found == again


def test_without_a_relation_none_is_claimed():
    noise = np.random.default_rng(5).normal(50, 5, (len(TRAINED_ON), len(LANGUAGES)))
    found = kinship(noise, TRAINED_ON, LANGUAGES, "family")
    assert found.low < 0 < found.high
    assert found.p_value > 0.05


def test_where_no_pair_shares_a_trait_there_is_no_correlation():
    found = kinship(np.array([[60.0, 50.0], [40.0, 70.0]]), ("zh", "te"), ("zh", "te"), "script")
    assert (found.sharing, found.score_shared, found.rho, found.p_value) == (0, None, None, None)
    assert found.score_other == 45


def test_the_section_has_a_figure_a_matrix_and_the_correlations(matrix):
    section = transfer_section("Transfer", [matrix])
    figure, scores, kin = section.content
    assert isinstance(figure, Image)
    assert figure.svg.startswith("<?xml")
    assert isinstance(scores, Table)
    assert scores.columns == ("tested on", "en", "ru")
    marked = [
        (row[0], [cell.endswith("*") for cell in row[1:]]) for row in scores.rows if "*" in "".join(row)
    ]
    assert marked == [("English", [True, False]), ("Russian", [False, True])]
    assert [row[0] for row in scores.rows[-2:]] == ["zero-shot mean", "± over seeds"]
    assert [row[0] for row in kin.rows] == ["family", "script"]
    assert Section.from_json(section.to_json()) == section


def test_variants_of_one_training_language_make_no_matrix(matrix):
    counts = {"en": Counts(np.ones((2, 3)), np.ones((2, 3)), 34.0)}
    runs = TaskRuns("xnli", "accuracy", "test", (("a", 0), ("b", 0)), counts)
    with pytest.raises(ValueError, match="same training language"):
        transfer_matrix(runs, {"a": "en", "b": "en"}, method="prompt")


def test_the_answer_names_the_best_language_to_train_on(matrix):
    assert transfer_answer(matrix).startswith("xnli lora: trained on English it scores highest elsewhere, ")
