"""Learning by language on curves whose course is known: when, how far it falls, by which method sooner."""

import pytest

from xlprompt.evaluation.comparison.learning import (
    LanguageCurves,
    curves_of,
    falls_of,
    noticeable,
    steps_to,
)
from xlprompt.studies.analyses.learning import measure
from xlprompt.studies.analyses.learning.findings import (
    FALLS,
    STEPS_TRAINED,
    STEPS_ZERO_SHOT,
    contrast,
    difference_of,
    learning_of,
)
from xlprompt.studies.analyses.learning.section import learning_answers, learning_section
from xlprompt.studies.analyses.learning.settings import Settings
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun

STEPS = (1, 10, 100, 200, 300)


def curves(*, late=0.0, drop=0.0, examples=100):
    """English and German rise; Swahili loses `drop` points at the end."""
    return LanguageCurves(
        STEPS,
        {
            "en": (40.0, 60.0 - late, 80.0, 81.0, 82.0),
            "de": (40.0, 55.0 - late, 66.0 - late, 70.0, 71.0),
            "sw": (40.0, 50.0, 60.0, 62.0, 62.0 - drop),
        },
        examples,
    )


def test_a_language_is_learned_at_the_first_step_with_nine_tenths_of_its_last_score():
    assert steps_to((1, 2, 3, 4), (10.0, 89.0, 90.0, 100.0)) == 3
    assert steps_to((1, 2), (95.0, 20.0)) == 1  # it was there, and fell: that is what falls are for
    assert steps_to((1, 2), (0.0, 0.0)) == 1


def test_what_is_noticeable_is_two_standard_errors_of_two_samples():
    assert noticeable(50, 100) == pytest.approx(2 * 100 * (2 * 0.25 / 100) ** 0.5)
    assert noticeable(100, 100) == 0
    assert noticeable(50, 400) == pytest.approx(noticeable(50, 100) / 2)


def test_a_language_falls_only_while_the_trained_one_does_not():
    fallen = falls_of(curves(drop=20), "sw", "en")
    assert (fallen.number, fallen.deepest, fallen.lasting, fallen.is_lasting) == (1, 20, 20, True)
    small = falls_of(curves(drop=5), "sw", "en")
    assert (small.number, small.deepest, small.lasting, small.is_lasting) == (0, 5, 5, False)
    assert falls_of(curves(drop=5, examples=10_000), "sw", "en").is_lasting
    both = LanguageCurves((1, 2), {"en": (80.0, 60.0), "sw": (60.0, 30.0)}, 100)
    assert falls_of(both, "sw", "en").deepest == 0


def test_curves_have_the_steps_that_all_languages_have():
    found = curves_of({"en": [(1, 50.0), (2, 60.0)], "de": [(2, 40.0)]}, 10)
    assert (found.steps, found.scores) == ((2,), {"en": (60.0,), "de": (40.0,)})
    assert curves_of({}, 10) is curves_of({"en": [(1, 5.0)], "de": [(2, 4.0)]}, 10) is None
    with pytest.raises(ValueError, match="the curve of 'de' has not one score"):
        LanguageCurves((1,), {"de": (101.0,)}, 10)


@pytest.fixture(scope="module")
def learned():
    prompt = {seed: curves(late=30, drop=20 * (seed < 2)) for seed in range(3)}
    finetune = {seed: curves() for seed in range(4)}
    methods = {"prompt": prompt, "finetune": finetune}
    return [learning_of("xnli", name, "accuracy", ("en",), found) for name, found in methods.items()]


def test_seeds_are_summed_up_and_methods_compared_over_them(learned):
    prompt, finetune = learned
    assert (prompt.seeds, finetune.steps) == ((0, 1, 2), STEPS)
    assert [row.language for row in prompt.languages] == ["en", "de", "sw"]
    english, german, swahili = prompt.languages
    assert (english.steps.mean, german.steps.mean) == (100, 200)
    assert (swahili.lasting, swahili.falls) == (2, pytest.approx(2 / 3))
    assert swahili.over_seeds == pytest.approx(20 / 3**0.5 / 5)  # apart at one of five steps
    rows = {row.quantity: row.difference for row in contrast(prompt, finetune)}
    assert rows[STEPS_TRAINED].value == 0
    assert rows[STEPS_ZERO_SHOT].value == 100
    assert rows[FALLS].value == pytest.approx(1 / 3)
    assert rows[FALLS].low < 0 < rows[FALLS].high


def test_the_interval_is_welchs():
    from scipy import stats

    ours, theirs = [1.0, 2.0, 4.0], [2.0, 6.0, 7.0, 9.0]
    found = difference_of(ours, theirs)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert difference_of([1.0], theirs).low is None


def test_the_section_has_a_table_a_figure_for_each_task_and_rows_in_brief(learned):
    section = learning_section(learned, contrast(*learned))
    overview, compared, figure, languages = section.content
    assert [row[1] for row in overview.rows] == ["prompt", "finetune"]
    assert [row[1] for row in compared.rows][0] == STEPS_TRAINED
    assert figure.svg.startswith("<?xml")
    assert [row[0] for row in languages.rows] == ["English en", "German de", "Swahili sw"]
    assert section.brief.rows[0][0] == "xnli prompt"


class _Curves:
    """A store of runs whose curves are known."""

    def training_runs(self, tasks):
        trainings = [("prompt", "de"), ("prompt", "de"), ("finetune", "en"), ("prompt", "en")]
        return [
            CellRun(
                f"{method}-{place}",
                "FINISHED",
                -place,
                {"seed": str(place), "data.train_language": language},
                {"task": "pos", "method": method, "model": "nano", GROUP_TAG: f"{method} {language}"},
                {},
                None,
            )
            for place, (method, language) in enumerate(trainings)
        ]

    def has_language_curves(self, run):
        return True

    def language_curves(self, run, metric):
        return curves()


def test_methods_are_compared_that_were_trained_on_the_same_language(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "open_runs", lambda *_, **__: _Curves())

    def looked_at(**asked):
        outcome = measure.measure(Settings(tasks=("pos",), **asked), store=tmp_path)
        (found,) = outcome.findings
        return [(each.method, each.trained, each.seeds) for each in found.learned], list(outcome.notes)

    learned, notes = looked_at()
    assert learned == [("prompt", ("en",), (3,)), ("finetune", ("en",), (2,))]
    assert notes == ["Runs of nano trained on de are left out; name them with --train-language."]
    assert looked_at(train_language="de")[0] == [("prompt", ("de",), (0, 1))]
    with pytest.raises(StudyError, match="no finished run of a study trained on sw has two points"):
        looked_at(train_language="sw")
    assert not Settings(train_language="de").are_all


def test_seeds_without_a_language_or_a_second_point_are_no_learning():
    one = LanguageCurves((1,), {"en": (50.0,), "de": (40.0,)}, 10)
    assert learning_of("xnli", "prompt", "accuracy", ("en",), {0: one}) is None
    alone = LanguageCurves((1, 2), {"en": (50.0, 60.0)}, 10)
    assert learning_of("xnli", "prompt", "accuracy", ("en",), {0: alone}) is None


def test_the_answer_says_when_each_method_has_learned_and_which_is_sooner(learned):
    prompt, finetune, sooner = learning_answers(learned, contrast(*learned))
    assert prompt.startswith("xnli prompt: English has 90 % of its last score at step 100, the mean over")
    assert prompt.endswith(
        "of 6 pairs of a run and another language, 2 end noticeably below an earlier score."
    )
    assert "at step 10;" in finetune or "at step 100;" in finetune
    assert sooner.startswith("xnli, steps to 90 % of the zero-shot mean: prompt minus finetune is +100 (95 %")
