"""Texts with a label: what stands where, what is cut, and where the model is read."""

from dataclasses import replace
from itertools import product

import pytest
import tiny
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from xlprompt.data import DataError, task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.tasks.kinds.layout import longest_first
from xlprompt.data.tokens.settings import EncodingSettings

XNLI = task("xnli")
PAIR = ("The man walked to the station.", "Nobody reads a book.")


@pytest.fixture(scope="module")
def xglm() -> PreTrainedTokenizerFast:
    return tiny.xglm_tokenizer()


@pytest.fixture(scope="module")
def bpe() -> PreTrainedTokenizerFast:
    return tiny.bpe_tokenizer()


def pairs(*texts: tuple[str, str], label: int = 1) -> Dataset:
    return Dataset.from_dict(
        {
            "id": [str(i) for i in range(len(texts))],
            "first": [first for first, _ in texts],
            "second": [second for _, second in texts],
            "label": [label] * len(texts),
        }
    )


def row(encoded: Encoded, index: int = 0) -> list[int]:
    return encoded.dataset[index]["input_ids"]


def plain(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_an_xglm_pair_has_its_own_template_and_an_end_token(xglm: PreTrainedTokenizerFast) -> None:
    encoded = encode(pairs(PAIR), XNLI, xglm, EncodingSettings())
    assert row(encoded) == [*xglm(*PAIR)["input_ids"], xglm.eos_token_id]
    first, second = (plain(xglm, text) for text in PAIR)
    assert row(encoded) == [2, *first, 2, 2, *second, 2]


def test_a_pair_of_other_models_is_two_lines_behind_bos(bpe: PreTrainedTokenizerFast) -> None:
    encoded = encode(pairs(PAIR), XNLI, bpe, EncodingSettings())
    first, second = (plain(bpe, text) for text in PAIR)
    line_break = plain(bpe, "\n")
    assert line_break
    assert row(encoded) == [bpe.bos_token_id, *first, *line_break, *second, *line_break]


@pytest.mark.parametrize("tokenizer", ["xglm", "bpe"])
def test_a_pair_is_read_once_at_its_last_token(tokenizer: str, request: pytest.FixtureRequest) -> None:
    encoded = encode(pairs(PAIR, ("A", "B")), XNLI, request.getfixturevalue(tokenizer), EncodingSettings())
    for i in range(2):
        assert encoded.dataset[i]["readouts"] == [len(row(encoded, i)) - 1]
        assert encoded.dataset[i]["words"] == [0]
    assert encoded.num_readouts == encoded.num_examples == 2
    assert encoded.gold() == [[1], [1]]


def test_separator_and_end_can_be_any_text(bpe: PreTrainedTokenizerFast) -> None:
    settings = EncodingSettings(separator=" Is the man", end="?")
    encoded = encode(pairs(PAIR), XNLI, bpe, settings)
    first, second = (plain(bpe, text) for text in PAIR)
    assert row(encoded) == [bpe.bos_token_id, *first, *plain(bpe, " Is the man"), *second, *plain(bpe, "?")]


def test_special_tokens_are_recognized_in_the_separator_but_not_in_the_data(
    bpe: PreTrainedTokenizerFast,
) -> None:
    encoded = encode(pairs(("a <bos>", "b")), XNLI, bpe, EncodingSettings(separator="<eos>", end=""))
    ids = row(encoded)
    assert ids.count(bpe.eos_token_id) == 1
    assert ids.count(bpe.bos_token_id) == 1


def test_an_empty_end_reads_at_the_last_token_of_the_second_text(xglm: PreTrainedTokenizerFast) -> None:
    encoded = encode(pairs(PAIR), XNLI, xglm, EncodingSettings(end=""))
    assert row(encoded) == xglm(*PAIR)["input_ids"]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (40, 5, (23, 5)),  # room for 28 tokens of text: only the longer one is cut
        (5, 40, (5, 23)),
        (40, 40, (14, 14)),
        (15, 40, (14, 14)),
        (14, 14, (14, 14)),
        (0, 40, (0, 28)),
    ],
)
def test_the_longer_text_is_cut_first(
    first: int, second: int, kept: tuple[int, int], bpe: PreTrainedTokenizerFast
) -> None:
    letter = plain(bpe, "Q")
    assert len(letter) == 1
    settings = EncodingSettings(max_length=32, separator="<eos>", end="\n")
    lead_and_joints = 1 + 1 + len(plain(bpe, "\n"))
    settings = settings.model_copy(update={"max_length": 28 + lead_and_joints})
    encoded = encode(pairs(("Q" * first, "Q" * second)), XNLI, bpe, settings)
    ids = row(encoded)
    middle = ids.index(bpe.eos_token_id)
    assert (ids[:middle].count(letter[0]), ids[middle:].count(letter[0])) == kept
    assert ids[0] == bpe.bos_token_id
    assert ids[-1] == plain(bpe, "\n")[-1]
    assert encoded.truncated == (first + second > 28)


def test_two_long_texts_leave_the_odd_token_to_the_first(bpe: PreTrainedTokenizerFast) -> None:
    settings = EncodingSettings(max_length=9, separator="<eos>", end="")
    ids = row(encode(pairs(("Q" * 30, "Q" * 30)), XNLI, bpe, settings))
    assert len(ids) == 9
    assert ids.index(bpe.eos_token_id) == 1 + 4  # lead, 4 of 7 tokens
    ids = row(encode(pairs(("Q" * 30, "Q" * 30)), XNLI, bpe, settings.model_copy(update={"max_length": 10})))
    assert ids.index(bpe.eos_token_id) == 1 + 4


def test_only_cut_pairs_are_counted(xglm: PreTrainedTokenizerFast) -> None:
    encoded = encode(
        pairs(PAIR, ("A", "B"), ("w " * 300, "B"), ("A", "w " * 300)),
        XNLI,
        xglm,
        EncodingSettings(max_length=64),
    )
    assert encoded.truncated == 2
    assert encoded.lengths.max() == 64


def test_rows_keep_the_order_of_examples_over_many_tokenizer_calls(
    xglm: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [(f"a {i}", f"b {i % 3}") for i in range(23)]
    whole = encode(pairs(*texts), XNLI, xglm, EncodingSettings())
    monkeypatch.setattr("xlprompt.data.tasks.kinds.classification.TEXTS_AT_ONCE", 5)
    parts = encode(pairs(*texts), XNLI, xglm, EncodingSettings())
    assert parts.dataset.to_dict() == whole.dataset.to_dict()
    assert parts.examples.tolist() == list(range(23))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_the_task_does_not_have_is_an_error_that_names_the_row(
    label: int, xglm: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(DataError, match=rf"row 0 has label {label}, and xnli has 0 to 2"):
        encode(pairs(PAIR, label=label), XNLI, xglm, EncodingSettings())


def test_a_separator_that_fills_the_row_is_an_error(bpe: PreTrainedTokenizerFast) -> None:
    with pytest.raises(DataError, match="max_length 8 leaves no room"):
        encode(pairs(PAIR), XNLI, bpe, EncodingSettings(max_length=8, separator="QQQQQQQQQ"))


def test_a_pair_without_any_token_is_an_error() -> None:
    tokenizer = tiny.bpe_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, unk_token="<unk>")
    with pytest.raises(DataError, match="row 1 has no text"):
        encode(pairs(PAIR, ("", "")), XNLI, tokenizer, EncodingSettings(separator="", end=""))


def test_settings_refuse_unknown_names_and_describe_every_field() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        EncodingSettings(max_len=128)  # type: ignore[call-arg]
    assert all(field.description for field in EncodingSettings.model_fields.values())


def test_columns_have_the_documented_types(xglm: PreTrainedTokenizerFast) -> None:
    features = encode(pairs(PAIR), XNLI, xglm, EncodingSettings()).dataset.features
    types = {name: getattr(feature, "feature", feature).dtype for name, feature in features.items()}
    assert types == {
        "input_ids": "int32",
        "readouts": "int32",
        "labels": "int32",
        "example": "int32",
        "words": "int32",
    }


def test_one_text_has_no_separator_and_three_have_two(bpe: PreTrainedTokenizerFast) -> None:
    texts = {"first": [PAIR[0]], "second": [PAIR[1]], "third": ["A"], "label": [1]}
    ids = [plain(bpe, text) for text in (*PAIR, "A")]
    line_break = plain(bpe, "\n")
    one = encode(Dataset.from_dict(texts), replace(XNLI, fields=("text", "label")), bpe, EncodingSettings())
    assert row(one) == [bpe.bos_token_id, *ids[0], *line_break]
    three = replace(XNLI, fields=("a", "b", "c", "label"))
    encoded = encode(Dataset.from_dict(texts), three, bpe, EncodingSettings())
    assert row(encoded) == [bpe.bos_token_id, *(each for text in ids for each in (*text, *line_break))]


def test_no_text_is_cut_below_its_share_and_the_first_have_the_odd_tokens() -> None:
    for lengths in product(range(1, 8), repeat=3):
        for room in range(3, 22):
            kept = longest_first(list(lengths), room)
            assert sum(kept) == min(room, sum(lengths))
            assert all(keep <= length for keep, length in zip(kept, lengths, strict=True))
            cut = [keep for keep, length in zip(kept, lengths, strict=True) if keep < length]
            assert not cut or max(kept) - min(cut) <= 1
    assert longest_first([9, 9, 9], 14) == [5, 5, 4]
    assert longest_first([2, 9, 9], 13) == [2, 6, 5]
