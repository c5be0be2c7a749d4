"""Confusions, misses of answers in a text, and flips, on predictions whose outcome is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from xlprompt.data import DataError
from xlprompt.evaluation import SavedPredictions
from xlprompt.evaluation.mistakes.confusions import confusions
from xlprompt.evaluation.mistakes.flips import flips
from xlprompt.evaluation.mistakes.pairs import answer_pairs, miss

LABELS = ("yes", "no", "maybe")


def saved(language, gold, predicted, *, labels=LABELS, kind="pair"):
    """Predictions; of single answers give numbers, of sentences lists."""
    gold, predicted = (
        [[each] if isinstance(each, int) else each for each in rows] for rows in (gold, predicted)
    )
    ids = [str(place) for place in range(len(gold))]
    return SavedPredictions("task", 1, kind, language, "test", labels, ids, gold, predicted)


def two_languages(taken=30):
    """Of 100 yes in German so many are taken for no, in English 2; of 100 no in both 10 for maybe."""
    gold = [0] * 100 + [1] * 100

    def answers(wrong):
        return [1] * wrong + [0] * (100 - wrong) + [2] * 10 + [1] * 90

    return {"de": saved("de", gold, answers(taken)), "en": saved("en", gold, answers(2))}


def test_a_confusion_that_is_more_frequent_than_in_english_is_found_with_fishers_p_after_holm():
    found = confusions([two_languages()], "en")
    first, second = (each for each in found.found if each.language == "de")
    assert (first.right, first.given, first.times, first.share, first.there) == ("yes", "no", 30, 30, 2)
    assert (second.right, second.given, second.times, second.share) == ("no", "maybe", 10, 10)
    assert found.tested == 2
    expected = stats.fisher_exact([[30, 70], [2, 98]], alternative="greater").pvalue
    assert first.p_value == pytest.approx(2 * expected)
    assert second.p_value > 0.5
    assert found.beyond == [first]
    assert first.excess == pytest.approx(28)
    assert found.wrong == pytest.approx({"en": 6, "de": 20})


def test_labels_are_counted_as_given_and_as_right():
    found = confusions([two_languages()], "en")
    use = {(each.language, each.label): (each.given, each.right) for each in found.use}
    assert use["de", "yes"] == pytest.approx((35, 50))
    assert use["de", "no"] == pytest.approx((60, 50))
    assert use["en", "maybe"] == pytest.approx((5, 0))


def test_without_the_reference_language_confusions_are_counted_and_nothing_is_tested():
    found = confusions([{"de": two_languages()["de"]}], "en")
    assert found.reference is None
    assert {each.p_value for each in found.found} == {None}
    assert found.tested == 0


def test_words_of_a_sentence_are_no_independent_trials():
    """One long sentence with the confusion at every word is one example, which is no evidence."""
    gold = [[0] * 3 for _ in range(20)] + [[0] * 200]
    right = [[0] * 3 for _ in range(20)]
    both = {
        "de": saved("de", gold, [*right, [1] * 200], kind="tagging"),
        "en": saved("en", gold, [*right, [0] * 200], kind="tagging"),
    }
    (only,) = confusions([both], "en").found
    assert only.times == 200
    assert only.p_value > 0.1


def test_confusions_that_chance_makes_are_rarely_called_significant():
    draw = np.random.default_rng(0)
    false = 0
    for _ in range(40):
        gold = draw.integers(3, size=(2, 120)).tolist()
        wrong = [[(g + int(draw.random() < 0.3)) % 3 for g in each] for each in gold]
        both = {code: saved(code, g, p) for code, g, p in zip(("en", "de"), gold, wrong, strict=True)}
        false += bool(confusions([both], "en").beyond)
    assert false <= 5  # at 5 % a count exceeds this in one of seventy cases


def test_of_several_seeds_the_examples_shares_are_compared():
    runs = [two_languages(28), two_languages(32)]
    first = next(each for each in confusions(runs, "en").found if each.language == "de")
    assert (first.times, first.share) == (30, 30)
    assert first.significant


@pytest.mark.parametrize(
    ("answer", "right", "how"),
    [
        ("the red house", ["The red house."], "exact"),
        ("red", ["red house"], "too short"),
        ("in the red house today", ["red house"], "too long"),
        ("red garden", ["red house"], "shifted"),
        ("garden", ["red house"], "elsewhere"),
        ("the", ["red house"], "empty"),
        ("garden", ["red house", "garden"], "exact"),
    ],
)
def test_an_answer_in_a_text_misses_in_one_of_five_ways(answer, right, how):
    assert miss(answer, right, "en") == how


def test_of_answers_in_texts_the_misses_are_what_is_counted():
    each = saved("en", [["red house"], ["garden"]], [["red"], ["garden"]], labels=(), kind="span")
    assert answer_pairs(each) == [[("exact", "too short")], [("exact", "exact")]]
    found = confusions([{"en": each}], "en")
    assert [(one.right, one.given, one.times) for one in found.found] == [("exact", "too short", 1)]
    assert found.use == ()


def test_flips_are_examples_that_one_run_alone_answers_right():
    gold = [0, 1, 2, 0]
    ours, theirs = saved("en", gold, [0, 1, 0, 1]), saved("en", gold, [0, 2, 2, 2])
    found = flips([{"en": ours}], [{"en": theirs}])
    (count,) = found.counts
    assert (count.both, count.first, count.second, count.neither) == (1, 1, 1, 1)
    assert count.p_value == 1
    assert [(each.id, each.right, each.first, each.second) for each in found.examples] == [
        ("1", "no", "no", "maybe"),
        ("2", "maybe", "yes", "maybe"),
    ]
    assert [each.first_is_right for each in found.examples] == [True, False]


def test_a_method_is_right_where_all_of_its_seeds_are():
    gold = [0, 0, 0]
    seeds = [{"en": saved("en", gold, each)} for each in ([0, 0, 1], [0, 1, 1])]
    other = [{"en": saved("en", gold, each)} for each in ([1, 1, 0], [1, 1, 0])]
    (count,) = flips(seeds, other).counts
    assert (count.both, count.first, count.second, count.neither) == (0, 1, 1, 1)


def test_of_sentences_the_tags_that_flip_are_shown():
    ours = saved("en", [[0, 1, 2]], [[0, 1, 0]], kind="tagging")
    theirs = saved("en", [[0, 1, 2]], [[0, 2, 0]], kind="tagging")
    (flip,) = flips([{"en": ours}], [{"en": theirs}]).examples
    assert (flip.right, flip.first, flip.second) == ("no", "no", "maybe")


def test_runs_of_two_tasks_are_not_compared():
    ours = saved("en", [0], [0])
    with pytest.raises(DataError, match="are of different tasks, task and other"):
        flips([{"en": ours}], [{"en": replace(ours, task="other")}])


def test_runs_on_other_examples_are_not_compared():
    with pytest.raises(DataError, match="did not answer the same test examples of task in 'en'"):
        flips([{"en": saved("en", [0], [0])}], [{"en": saved("en", [1], [0])}])
    with pytest.raises(DataError, match="no language in common"):
        flips([{"en": saved("en", [0], [0])}], [{"de": saved("de", [0], [0])}])
