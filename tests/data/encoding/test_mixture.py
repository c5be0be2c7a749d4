"""Training sets of several languages: their shares, which examples they take, and their rows."""

import numpy as np
import pytest
import tiny

from xlprompt.data import DataError, language, open_source, task
from xlprompt.data.encoding.batches import training_steps
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.encoding.mixture import draw_examples, examples_by_language, language_shares, mix
from xlprompt.data.tokens.settings import EncodingSettings

CODES = ("en", "de", "sw", "eu")


@pytest.fixture(scope="module")
def parts() -> dict[str, Encoded]:
    """Twelve sentences that are translations of each other, the longer ones in several rows."""
    source, tokenizer = open_source("mini"), tiny.xglm_tokenizer()
    settings = EncodingSettings(max_length=24)
    return {
        code: encode(source.load(task("pos"), code, "validation", limit=12), task("pos"), tokenizer, settings)
        for code in ("en", "de", "sw")
    }


def test_without_an_exponent_all_shares_are_alike_and_with_one_they_follow_the_tokens():
    assert language_shares(CODES, 0) == dict.fromkeys(CODES, 0.25)
    assert language_shares(["en", "af"], 0) == {"en": 0.5, "af": 0.5}
    whole, smooth = language_shares(CODES, 1), language_shares(CODES, 0.3)
    assert sum(whole.values()) == pytest.approx(1)
    assert whole["de"] / whole["sw"] == pytest.approx(language("de").tokens / language("sw").tokens)
    assert whole["en"] > smooth["en"] > 0.25 > smooth["eu"] > whole["eu"]


def test_a_language_that_was_not_in_pretraining_has_no_share_by_tokens():
    with pytest.raises(DataError, match="af had no part in pre-training"):
        language_shares(["en", "af"], 0.5)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("total", [4, 5, 17, 4000])
def test_counts_add_up_and_no_language_is_without_an_example(exponent, total):
    shares = language_shares(CODES, exponent)
    counts = examples_by_language(shares, total)
    assert list(counts) == list(CODES)
    assert sum(counts.values()) == total
    assert min(counts.values()) >= 1
    if total == 4000:
        assert all(abs(counts[code] - shares[code] * total) <= 4 for code in CODES)


def test_fewer_examples_than_languages_are_an_error():
    with pytest.raises(DataError, match="3 examples cannot be shared by 4 languages"):
        examples_by_language(language_shares(CODES, 0), 3)


def test_of_parallel_sets_each_item_comes_in_one_language_alone():
    counts = {"en": 5, "de": 4, "sw": 3}
    chosen = draw_examples(dict.fromkeys(counts, 12), counts, seed=3)
    assert {code: len(places) for code, places in chosen.items()} == counts
    assert sorted(np.concatenate(list(chosen.values()))) == list(range(12))
    again, other = (draw_examples(dict.fromkeys(counts, 12), counts, seed=seed) for seed in (3, 4))
    assert all((chosen[code] == again[code]).all() for code in counts)
    assert any((chosen[code] != other[code]).any() for code in counts)


def test_a_small_set_gives_some_of_its_examples_twice():
    chosen = draw_examples({"en": 12, "sw": 2}, {"en": 6, "sw": 6}, seed=0)
    assert set(chosen["sw"]) == {0, 1}
    assert len(chosen["sw"]) == 6


def test_a_mixture_holds_the_chosen_examples_whole(parts):
    assert len(parts["en"].dataset) > 12  # some sentences are several rows
    chosen = {"en": np.array([0, 5, 5]), "de": np.array([2, 11]), "sw": np.array([7])}
    mixed = mix(parts, chosen)
    assert mixed.num_examples == 6
    expected = [parts[code].gold()[place] for code, places in chosen.items() for place in places]
    assert mixed.gold() == expected
    ids = [
        row
        for code, places in chosen.items()
        for place in places
        for row, example in zip(parts[code].dataset["input_ids"], parts[code].examples, strict=True)
        if example == place
    ]
    assert list(mixed.dataset["input_ids"]) == ids
    assert mixed.fingerprint != mix(parts, chosen | {"sw": np.array([8])}).fingerprint


def test_steps_over_a_mixture_go_on_where_they_were_left(parts):
    mixed = mix(parts, draw_examples(dict.fromkeys(parts, 12), dict.fromkeys(parts, 4), seed=1))
    options = {"batch_size": 4, "token_budget": 96, "seed": 1, "pad_id": 1}
    steps = training_steps(mixed, **options)
    whole = [next(steps) for _ in range(6)]
    late = next(training_steps(mixed, start_step=5, **options))
    pairs = zip(whole[5].micro_batches, late.micro_batches, strict=True)
    assert all((one.input_ids == other.input_ids).all() for one, other in pairs)
