"""Finer cuts: the same text, known tokens, labels in their places, and no change where none is asked for."""

import math
from collections import Counter
from functools import cache
from itertools import chain

import pytest
import tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from xlprompt.data import STUDY_LANGUAGES, TASKS, DataError
from xlprompt.data.encoding.encode import ENCODER_VERSION, encode
from xlprompt.data.fingerprints import fingerprint_of, rows_fingerprint, tokenizer_fingerprint
from xlprompt.data.sources import open_source
from xlprompt.data.tokens.cutter import SMOOTHING, Cutter, GranularitySettings, cut
from xlprompt.data.tokens.pieces import Pieces, pieces_of
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.models import load_tokenizer


def byte_level_tokenizer():
    """A byte-level BPE tokenizer, as Llama 3's and BLOOM's are."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(tiny.CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>")


@pytest.fixture(scope="module", params=["unigram", "byte fallback", "byte level", "xglm-nano"])
def tokenizer(request):
    makers = {
        "unigram": tiny.xglm_tokenizer,
        "byte fallback": tiny.bpe_tokenizer,
        "byte level": byte_level_tokenizer,
        "xglm-nano": lambda: load_tokenizer("xglm-nano"),
    }
    return makers[request.param]()


@pytest.fixture(scope="module")
def nano():
    return load_tokenizer("xglm-nano")


@cache  # saying them takes longer than what is tested
def rows_of(task, language, limit=12):
    return open_source("mini").load(TASKS[task], language, "test", limit=limit)


def finely(share=1.0, **values):
    return EncodingSettings(granularity=GranularitySettings(share=share, **values))


def ids_of(encoded):
    return [list(row) for row in encoded.dataset["input_ids"]]


@pytest.mark.parametrize("language", STUDY_LANGUAGES)
def test_a_finer_cut_writes_the_same_text_with_more_known_tokens(tokenizer, language):
    for name in ("xnli", "pos"):
        rows, task = rows_of(name, language, limit=4), TASKS[name]
        plain = EncodingSettings(max_length=4096)  # so that nothing is cut away
        whole = ids_of(encode(rows, task, tokenizer, plain, language=language))
        finest = plain.model_copy(update={"granularity": GranularitySettings(share=1.0)})
        finer = ids_of(encode(rows, task, tokenizer, finest, language=language))
        assert [tokenizer.decode(row) for row in finer] == [tokenizer.decode(row) for row in whole]
        unknown = tokenizer.unk_token_id
        assert sum(row.count(unknown) for row in finer) == sum(row.count(unknown) for row in whole)
        # Where nearly all is single characters (the tiny vocabularies), there is little left to cut.
        assert sum(map(len, finer)) >= sum(map(len, whole))


@pytest.mark.parametrize("language", ["en", "de", "ru", "hi", "te"])
def test_xglm_nanos_words_become_clearly_more_tokens(nano, language):
    rows = rows_of("pos", language)
    whole, finer = (
        sum(map(len, ids_of(encode(rows, TASKS["pos"], nano, settings, language=language))))
        for settings in (EncodingSettings(), finely())
    )
    assert finer > 1.3 * whole


@pytest.mark.parametrize("task", ["xnli", "pos"])
def test_share_0_and_what_it_does_not_apply_to_stay_as_they_were(nano, task):
    rows = rows_of(task, "de")
    columns = ["first", "second", "label"] if task == "xnli" else ["tokens", "tags"]
    row = TASKS[task]
    settings = {
        "max_length": 256,
        "label_on": "last",
        "separator": None,
        "end": None,
        "word_spaces": "script",
    }
    before = fingerprint_of(  # as it was when there were no finer cuts
        {
            "encoder": ENCODER_VERSION,
            "origin": None,
            "rows": rows_fingerprint(rows, columns),
            "tokenizer": tokenizer_fingerprint(nano),
            "task": [row.name, row.kind.name, row.labels, row.version],
            "settings": settings,
            "glued": False,
        }
    )
    plain = encode(rows, row, nano, EncodingSettings(), language="de")
    assert plain.fingerprint == before
    for other in (
        finely(0.0, seed=3),
        finely(languages=("sw",)),
        finely(split="train"),
    ):
        same = encode(rows, row, nano, other, language="de", split="test")
        assert same.fingerprint == before
        assert ids_of(same) == ids_of(plain)


def test_every_value_that_changes_ids_changes_the_fingerprint(nano):
    rows, task = rows_of("xnli", "de"), TASKS["xnli"]

    def of(**values):
        return encode(rows, task, nano, finely(**values), language="de", split="test").fingerprint

    assert len({of(share=0.5), of(share=0.6), of(share=0.5, seed=1), of(share=0.5, kind="sampling")}) == 4
    assert of(share=0.5) == of(share=0.5, languages=("de", "en")) == of(share=0.5, split="evaluation")


def test_the_same_seed_cuts_the_same_words_and_a_larger_share_cuts_them_too(nano):
    count = 2000
    token = next(place for place, text in enumerate(pieces_of(nano).texts) if text and len(text) == 6)

    def chosen(share, seed=0):
        cutter = Cutter(nano, GranularitySettings(share=share, seed=seed))
        return [len(ids) > 1 for ids in cutter.words([[token]] * count, 7)]

    quarter, half = chosen(0.25), chosen(0.5)
    assert quarter == chosen(0.25)
    assert quarter != chosen(0.25, seed=1)
    assert sum(quarter) / count == pytest.approx(0.25, abs=0.03)
    assert sum(half) / count == pytest.approx(0.5, abs=0.035)
    assert all(large for small, large in zip(quarter, half, strict=True) if small)
    assert all(chosen(1.0))


@pytest.mark.parametrize("language", ["de", "zh"])
@pytest.mark.parametrize("label_on", ["last", "first"])
@pytest.mark.parametrize("max_length", [256, 24])
def test_every_word_is_read_once_at_its_own_last_or_first_token(nano, language, label_on, max_length):
    rows, task = rows_of("pos", language), TASKS["pos"]
    settings = EncodingSettings(
        max_length=max_length, label_on=label_on, granularity=GranularitySettings(share=0.5)
    )
    encoded = encode(rows, task, nano, settings, language=language)
    assert encoded.gold() == rows["tags"][:]
    assert max(encoded.lengths) <= max_length
    read = Counter()
    for row in encoded.dataset:
        words = rows[row["example"]]["tokens"]
        for place, word in zip(row["readouts"], row["words"], strict=True):
            read[row["example"], word] += 1
            text = nano.decode(row["input_ids"][: place + 1]).replace(" ", "")
            piece = nano.decode([row["input_ids"][place]]).strip()
            if label_on == "last":
                assert text.endswith(words[word].replace(" ", ""))
            else:
                assert words[word].startswith(piece)
    assert set(read.values()) == {1}
    assert len(read) == sum(map(len, rows["tokens"]))


def toy(*texts, byte_ids=None):
    ids = {text: place for place, text in enumerate(texts)}
    return Pieces(tuple(texts), ids, byte_ids or {}, byte_level=False, unknown_id=None)


def written(pieces, text):
    return [pieces.texts[each] or "byte" for each in cut(pieces, pieces.ids[text])]


def test_a_token_is_cut_into_few_known_pieces_of_even_lengths():
    vocabulary = toy("▁walked", "▁wal", "ked", "▁walk", "ed", "▁w", "alked", "▁", "walked")
    assert written(vocabulary, "▁walked") == ["▁wal", "ked"]
    assert written(vocabulary, "▁wal") == ["▁wal"]  # neither "▁wa" nor "al" is known
    assert written(toy("▁walked", "▁walk", "ed", "▁w", "alked"), "▁walked") == ["▁walk", "ed"]
    assert written(toy("abcde", "a", "b", "c", "de", "bc"), "abcde") == ["a", "bc", "de"]
    # A space that stands alone cuts nothing.
    assert written(toy("▁abc", "▁", "abc", "▁a", "b", "c"), "▁abc") == ["▁a", "b", "c"]
    assert written(toy("▁abc", "▁", "abc", "ab", "c"), "▁abc") == ["▁", "ab", "c"]
    assert written(toy("▁abc", "▁", "abc"), "▁abc") == ["▁abc"]


def test_characters_that_the_vocabulary_lacks_are_written_by_their_bytes():
    assert written(toy("abc", "a", "b"), "abc") == ["abc"]  # rather than an unknown token
    byte_ids = {value: 10 + value for value in range(256)}
    with_bytes = toy("猫犬", "猫", *[None] * 300, byte_ids=byte_ids)
    assert cut(with_bytes, 0) == (1, *(10 + value for value in "犬".encode()))


def test_few_means_as_few_as_a_search_over_all_cuts_finds():
    names = (
        "abcdef",
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "ab",
        "cd",
        "abc",
        "ef",
        "bcde",
        "▁",
        "▁abcdef",
        "▁ab",
        "def",
    )
    vocabulary = toy(*names)

    def all_cuts(text):
        if not text:
            return [()]
        heads = [text[:length] for length in range(1, len(text) + 1) if text[:length] in names]
        return [(head, *rest) for head in heads for rest in all_cuts(text[len(head) :])]

    for text in ("abcdef", "▁abcdef", "bcde", "def"):
        cuts = [each for each in all_cuts(text) if len(each) > 1 and "▁" not in each]
        fewest = min((len(each) for each in cuts), default=1)
        assert len(written(vocabulary, text)) == fewest


def test_single_characters_and_special_tokens_stay_whole():
    vocabulary = toy("▁a", "▁", "a", None)
    assert cut(vocabulary, 0) == (0,)
    assert cut(vocabulary, 3) == (3,)


def test_sampled_cuts_have_the_tokenizers_own_distribution():
    unigram = Tokenizer(
        models.Unigram(
            [("<unk>", 0.0), ("abc", -1.0), ("ab", -2.0), ("c", -3.0), ("a", -9.0), ("bc", -4.0)], 0
        )
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>")
    scores = {("abc",): -1.0, ("ab", "c"): -5.0, ("a", "bc"): -13.0}
    total = sum(math.exp(SMOOTHING * score) for score in scores.values())
    cutter = Cutter(tokenizer, GranularitySettings(share=1.0, kind="sampling"))
    whole = tokenizer.convert_tokens_to_ids(["abc"])
    drawn = Counter(tuple(tokenizer.convert_ids_to_tokens(ids)) for ids in cutter.words([whole] * 4000, 0))
    assert drawn.keys() == scores.keys()
    for pieces, score in scores.items():
        assert drawn[pieces] / 4000 == pytest.approx(math.exp(SMOOTHING * score) / total, abs=0.03)


def test_sampling_needs_a_tokenizer_that_has_a_distribution():
    with pytest.raises(DataError, match="kind to forced"):
        Cutter(tiny.bpe_tokenizer(), GranularitySettings(share=0.5, kind="sampling"))


def test_a_text_without_spaces_is_cut_token_by_token(nano):
    ids = nano("女の人が本を読んでいます", add_special_tokens=False)["input_ids"]
    cutter = Cutter(nano, GranularitySettings(share=1.0))
    assert cutter.text(ids, 0, spaced=False) == list(
        chain.from_iterable(cutter.words([[each] for each in ids], 0))
    )


def test_where_finer_cuts_apply():
    both = GranularitySettings(share=0.5, languages=("de",))
    assert both.applies_to("de", None)
    assert not both.applies_to("en", "test")
    assert not both.applies_to(None, "test")
    assert not both.model_copy(update={"share": 0.0}).applies_to("de", "test")
    training = both.model_copy(update={"split": "train"})
    evaluating = both.model_copy(update={"split": "evaluation"})
    for split, in_training in (("train", True), ("validation", False), ("test", False)):
        assert training.applies_to("de", split) is in_training
        assert evaluating.applies_to("de", split) is not in_training
    assert not training.applies_to("de", None)
    assert not evaluating.applies_to("de", None)


@pytest.mark.parametrize("language", STUDY_LANGUAGES)
def test_the_bundled_model_knows_every_sign_of_the_words_to_tag(language, nano):
    signs = {
        sign
        for task in ("ner", "pos")
        for words in rows_of(task, language, limit=100)["tokens"]
        for word in words
        for sign in word
    }
    unknown = [sign for sign in sorted(signs) if nano.unk_token_id in nano(sign)["input_ids"]]
    assert not unknown
