"""Scores against seqeval's own, standard errors against simulation, and the rule for a collapse."""

import gzip
import json
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score
from sklearn.metrics import accuracy_score

from xlprompt.data import TASKS, Task, task
from xlprompt.evaluation import label_shares, main_metric, score
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED, main_value

NER, POS, XNLI, PAWSX = task("ner"), task("pos"), task("xnli"), task("pawsx")
SEQEVAL = {"f1": f1_score, "precision": precision_score, "recall": recall_score}

Labels = list[list[int]]


def tags(of: Task, *sentences: str) -> Labels:
    return [[of.labels.index(name) for name in sentence.split()] for sentence in sentences]


def pairs(*labels: int) -> Labels:
    return [[label] for label in labels]


def random_tags(of: Task, sentences: int, *, right: float, seed: int = 0) -> tuple[Labels, Labels]:
    """Sentences of 0 to 20 words with arbitrary tags, I- without B- included, and predictions of them."""
    rng = np.random.default_rng(seed)
    gold = [rng.integers(len(of.labels), size=rng.integers(21)).tolist() for _ in range(sentences)]
    return gold, with_noise(of, gold, right=right, seed=seed + 1)


def with_noise(of: Task, gold: Labels, *, right: float, seed: int = 1) -> Labels:
    rng = np.random.default_rng(seed)
    return [[g if rng.random() < right else int(rng.integers(len(of.labels))) for g in s] for s in gold]


def by_seqeval(metric: str, of: Task, gold: Labels, predicted: Labels) -> float:
    def names(labels: Labels) -> list[list[str]]:
        return [[of.labels[index] for index in sentence] for sentence in labels]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return 100 * SEQEVAL[metric](names(gold), names(predicted))


def real_tags(folder: Path, of: Task, language: str) -> Labels:
    path = next((folder / of.name).glob(f"{language}.test.jsonl*"))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [[of.labels.index(name) for name in json.loads(line)["tags"]] for line in file]


# ------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("of", [NER, POS], ids=lambda of: of.name)
def test_the_main_value_alone_is_that_of_the_score(of):
    gold, predicted = random_tags(of, 60, right=0.7)
    assert main_value(of, gold, predicted) == pytest.approx(score(of, gold, predicted)[main_metric(of)].value)


def test_every_task_has_its_main_metric_among_its_scores():
    for row in TASKS.values():
        gold = [[0], [1]] if not row.kind.by_word else [[0, 1], [1]]
        if not row.kind.labeled:
            gold = [["Rome"], ["in Rome"]]
        assert score(row, gold, gold, language="en")[main_metric(row)].value == 100.0


def test_accuracy_of_pairs_is_the_share_of_right_ones_in_percent():
    scores = score(XNLI, pairs(0, 1, 2, 0), pairs(0, 1, 1, 0))
    assert set(scores) == {"accuracy"}
    assert scores["accuracy"].value == 75.0


def test_accuracy_of_tags_counts_words_and_not_sentences():
    gold, predicted = tags(POS, "NOUN VERB NOUN", "X"), tags(POS, "NOUN VERB NOUN", "SYM")
    assert score(POS, gold, predicted)["accuracy"].value == 75.0


@pytest.mark.parametrize("of", [NER, POS])
def test_accuracy_equals_sklearns_over_all_words(of: Task):
    gold, predicted = random_tags(of, 150, right=0.6)
    expected = 100 * accuracy_score(list(chain(*gold)), list(chain(*predicted)))
    assert score(of, gold, predicted)["accuracy"].value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("right", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize(("of", "metrics"), [(NER, ("f1", "precision", "recall")), (POS, ("f1",))])
def test_chunk_scores_equal_seqevals_on_arbitrary_tags(of: Task, metrics: tuple[str, ...], right: float):
    gold, predicted = random_tags(of, 150, right=right)
    scores = score(of, gold, predicted)
    assert set(scores) == {"accuracy", *metrics}
    for metric in metrics:
        assert scores[metric].value == pytest.approx(by_seqeval(metric, of, gold, predicted), abs=1e-9)


@pytest.mark.integration
@pytest.mark.parametrize(("name", "language"), [("ner", "en"), ("ner", "ja"), ("pos", "en"), ("pos", "zh")])
def test_chunk_scores_equal_seqevals_on_real_sentences(benchmark_data: Path, name: str, language: str):
    gold = real_tags(benchmark_data, task(name), language)
    predicted = with_noise(task(name), gold, right=0.8)
    f1 = score(task(name), gold, predicted)["f1"].value
    assert f1 == pytest.approx(by_seqeval("f1", task(name), gold, predicted), abs=1e-9)


def test_an_entity_that_begins_with_i_counts_as_in_conlleval():
    scores = score(NER, tags(NER, "I-PER I-PER O"), tags(NER, "B-PER I-PER O"))
    assert scores["f1"].value == 100.0
    assert scores["accuracy"].value == pytest.approx(200 / 3)


def test_an_entity_of_another_type_or_length_is_wrong():
    gold = tags(NER, "B-PER I-PER O B-LOC O")
    scores = score(NER, gold, tags(NER, "B-PER O O B-ORG O"))
    assert scores["f1"].value == scores["precision"].value == scores["recall"].value == 0.0


def test_no_entities_anywhere_score_zero_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score(NER, tags(NER, "O O", "O"), tags(NER, "O O", "O"))
    assert scores["accuracy"].value == 100.0
    assert (scores["f1"].value, scores["precision"].value, scores["recall"].value) == (0.0, 0.0, 0.0)


def test_seqeval_does_not_warn_about_pos_tags():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score(POS, *random_tags(POS, 10, right=0.5))
    assert not caught


def test_seqeval_loses_a_final_x():
    assert score(POS, tags(POS, "NOUN X"), tags(POS, "NOUN NOUN"))["f1"].value == 0.0
    assert score(POS, tags(POS, "NOUN X"), tags(POS, "NOUN X"))["f1"].value == 100.0
    assert score(POS, tags(POS, "X"), tags(POS, "X"))["f1"].value == 0.0


def test_seqeval_merges_equal_neighbors():
    gold = tags(POS, "NOUN NOUN NOUN NOUN VERB")
    scores = score(POS, gold, tags(POS, "NOUN NOUN NOUN ADJ VERB"))
    assert scores["accuracy"].value == 80.0
    assert scores["f1"].value == pytest.approx(40.0)  # of 2 gold and 3 predicted chunks, VERB alone is right


def test_seqeval_takes_the_two_kinds_of_conjunction_for_one():
    scores = score(POS, tags(POS, "SCONJ NOUN"), tags(POS, "CCONJ NOUN"))
    assert scores["accuracy"].value == 50.0
    assert scores["f1"].value == 100.0


# ------------------------------------------------------------------------------------------ errors


def test_examples_must_be_as_many_as_predictions():
    with pytest.raises(ValueError, match="2 examples have gold labels but 1 have predictions"):
        score(XNLI, pairs(0, 1), pairs(0))


def test_a_word_without_a_prediction_is_an_error_and_not_left_out():
    with pytest.raises(ValueError, match="Example 1 has 2 gold labels but 1 predictions.*counts as wrong"):
        score(POS, [[0], [1, 2]], [[0], [1]])


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_that_is_no_label_is_an_error(index: int):
    with pytest.raises(ValueError, match=f"predicted label index {index} is not one of the 3 labels"):
        score(XNLI, pairs(0), pairs(index))


@pytest.mark.parametrize("nothing", [[], [[], []]])
@pytest.mark.parametrize("function", [score, label_shares])
def test_nothing_to_score_is_an_error(function: Callable[..., object], nothing: Labels):
    with pytest.raises(ValueError, match="nothing to score"):
        function(POS, nothing, nothing)


# ------------------------------------------------------------------------------------------ standard errors


def test_the_standard_error_of_pairs_is_binomial():
    scores = score(PAWSX, pairs(*[0] * 100), pairs(*[0] * 80 + [1] * 20))
    assert scores["accuracy"].stderr == pytest.approx(100 * np.sqrt(0.8 * 0.2 / 99))


def test_the_standard_error_of_accuracy_counts_sentences_when_their_words_fall_together():
    # Each sentence is wholly right or wholly wrong: ten times the words carry no more information.
    gold = [[0] * 10 for _ in range(50)]
    predicted = [[index % 2] * 10 for index in range(50)]
    assert score(POS, gold, predicted)["accuracy"].stderr == pytest.approx(100 * np.sqrt(0.5 * 0.5 / 49))


@pytest.fixture(scope="module")
def scores_of_many_test_sets():
    """Scores of test sets drawn from one population, whose sentences differ in length and difficulty."""
    rng = np.random.default_rng(3)
    scores = []
    for _ in range(150):
        gold, predicted = [], []
        for _ in range(80):
            length = int(rng.integers(2, 15))
            right = rng.beta(2, 1)
            sentence = rng.choice(7, size=length, p=[0.52, *[0.08] * 6])
            noise = rng.choice(7, size=length, p=[0.52, *[0.08] * 6])
            gold.append(sentence.tolist())
            predicted.append(np.where(rng.random(length) < right, sentence, noise).tolist())
        scores.append(score(NER, gold, predicted))
    return scores


@pytest.mark.parametrize("metric", ["accuracy", "f1", "precision", "recall"])
def test_standard_errors_are_the_spread_over_test_sets(metric: str, scores_of_many_test_sets):
    values = [each[metric].value for each in scores_of_many_test_sets]
    errors = [each[metric].stderr for each in scores_of_many_test_sets]
    # 150 sets give their own spread to within 1/sqrt(2 x 149) = 6 %; this allows for three times that.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.18)


def test_bootstrap_and_formula_agree_on_accuracy():
    result = score(POS, *random_tags(POS, 400, right=0.7))["accuracy"]
    # The bootstrap's relative noise is 2.2 %.
    assert np.std(result.replicates, ddof=1) == pytest.approx(result.stderr, rel=0.08)


def test_a_replicate_is_the_score_of_a_resample():
    gold, predicted = random_tags(NER, 60, right=0.6)
    drawn = np.random.default_rng([BOOTSTRAP_SEED, 60]).integers(60, size=60)
    resample = [gold[i] for i in drawn], [predicted[i] for i in drawn]
    for metric in ("f1", "precision", "recall"):
        expected = by_seqeval(metric, NER, *resample)
        assert score(NER, gold, predicted)[metric].replicates[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", ["f1", "precision", "recall"])
def test_the_bootstrap_of_few_examples_has_the_factor_of_the_formula(metric: str):
    result = score(NER, *random_tags(NER, 5, right=0.6))[metric]
    assert result.stderr == pytest.approx(np.sqrt(5 / 4) * np.std(result.replicates, ddof=1))


def test_exact_match_and_accuracy_of_the_same_answers_have_one_standard_error():
    right = [True, True, False, True, False]
    of_texts = score(XNLI, pairs(*[0] * 5), pairs(*[0 if one else 1 for one in right]))["accuracy"]
    answers = [["x" if one else "y"] for one in right]
    of_spans = score(task("xquad"), [["x"]] * 5, answers, language="en")["exact_match"]
    assert of_texts.stderr == pytest.approx(100 * np.sqrt(0.6 * 0.4 / 4))
    # The bootstrap's relative noise is 2.2 %; without the factor of 5 / 4 it would be 11 % too small.
    assert of_spans.stderr == pytest.approx(of_texts.stderr, rel=0.06)


def test_the_same_predictions_give_the_same_standard_errors():
    gold, predicted = random_tags(NER, 50, right=0.6)
    assert score(NER, gold, predicted) == score(NER, gold, predicted)


def test_one_example_has_no_standard_error():
    result = score(NER, tags(NER, "B-PER O"), tags(NER, "B-PER O"))["f1"]
    assert (result.value, result.stderr, result.replicates) == (100.0, None, None)


# ------------------------------------------------------------------------------------------ collapse


def test_shares_are_those_of_the_commonest_labels():
    shares = label_shares(XNLI, pairs(0, 0, 1, 2), pairs(1, 1, 1, 2))
    assert (shares.majority, shares.top_predicted, shares.top_predicted_share) == (50.0, "neutral", 75.0)


def three_classes(neutral_share: float) -> tuple[Labels, Labels]:
    """900 balanced pairs, of which some share is called neutral and the rest is right."""
    gold = np.repeat([0, 1, 2], 300)
    order = np.concatenate([gold[gold == 1], gold[gold == 0], gold[gold == 2]])
    predicted = order.copy()
    taken = round((neutral_share - 1 / 3) * 900)
    predicted[300 : 300 + taken] = 1
    return pairs(*order.tolist()), pairs(*predicted.tolist())


@pytest.mark.parametrize(("share", "collapsed"), [(1.0, True), (0.91, True), (0.8, True), (0.7, False)])
def test_pairs_collapse_when_one_of_three_classes_takes_nearly_all(share: float, collapsed: bool):
    assert label_shares(XNLI, *three_classes(share)).collapsed is collapsed


def test_pairs_collapse_when_one_of_two_classes_takes_over_nine_tenths():
    gold = pairs(*[0] * 450 + [1] * 550)  # as unequal as PAWS-X
    for common in (0, 1):
        predicted = pairs(*[common] * 230 + [1 - common] * 80 + [common] * 690)
        assert label_shares(PAWSX, gold, predicted).collapsed


def test_guessing_is_bad_but_no_collapse():
    rng = np.random.default_rng(0)
    gold = pairs(*[0, 1, 2] * 300)
    guesses = [pairs(*rng.integers(3, size=900).tolist()) for _ in range(200)]
    # Two standard errors below the majority by chance: 2.3 % of guessers, here 4.6 give or take 2.1.
    assert sum(label_shares(XNLI, gold, guess).collapsed for guess in guesses) <= 11


def test_a_tagger_that_is_far_below_the_majority_has_collapsed_without_a_commonest_label():
    gold = [[POS.labels.index("NOUN")] * 6 + [POS.labels.index("VERB")] * 4 for _ in range(50)]
    predicted = [list(range(10)) for _ in range(50)]
    shares = label_shares(POS, gold, predicted)
    assert shares.top_predicted_share == 10.0
    assert shares.collapsed


def test_a_rare_tag_for_most_words_is_a_collapse():
    gold, _ = random_tags(POS, 200, right=1.0)
    propn = POS.labels.index("PROPN")
    predicted = [[propn if index % 6 else tag for index, tag in enumerate(sentence)] for sentence in gold]
    assert label_shares(POS, gold, predicted).collapsed


def test_no_entities_at_all_is_a_collapse_although_the_accuracy_is_that_of_the_majority():
    gold = tags(NER, "O O O B-PER I-PER", "O B-LOC O O B-ORG")
    shares = label_shares(NER, gold, tags(NER, "O O O O O", "O O O O O"))
    assert (shares.majority, shares.top_predicted, shares.top_predicted_share) == (60.0, "O", 100.0)
    assert shares.collapsed


def test_a_cautious_entity_tagger_has_not_collapsed():
    gold = tags(NER, *["O O O B-PER I-PER", "O B-LOC O O B-ORG"] * 20)
    predicted = tags(NER, *["O O O B-PER I-PER", "O O O O O"] * 20)  # finds a third of the entities
    shares = label_shares(NER, gold, predicted)
    assert shares.top_predicted_share == 80.0
    assert not shares.collapsed


@pytest.mark.integration
def test_no_perfect_tagger_of_a_real_test_set_has_collapsed(benchmark_data: Path):
    files = sorted((benchmark_data / "ner").glob("*.test.jsonl*"))
    assert files
    for path in files:
        gold = real_tags(benchmark_data, NER, path.name.split(".")[0])
        assert not label_shares(NER, gold, gold).collapsed, path.name


def test_gold_labels_that_are_all_alike_are_no_collapse():
    assert not label_shares(XNLI, pairs(1, 1, 1), pairs(1, 1, 1)).collapsed
