"""xglm-nano: a small XGLM for the mini world, bundled, and its tokenizer's training.

The weights lie in the package (`models/bundled/xglm-nano`, with a model card). The balanced build, which
differs in the language shares of its text alone, and those of other sizes are made on demand and kept in the
user's cache. Pretraining itself is `xlprompt.training.pretraining.pretrain`.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from xlprompt.models.errors import ModelError
from xlprompt.models.pretrained.cache import cache_dir
from xlprompt.models.pretrained.known import NANO, NANO_BALANCED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # XGLM's ids 0 to 3
_MADE_UP_WORDS = 7  # XGLM's tokenizer adds `<madeupword0>` to `<madeupword6>` at the end
_BUNDLED = Path(str(files("xlprompt.models") / "bundled" / NANO))
_MAX_PIECE = 16  # characters, SentencePiece's own limit
_MAX_SEEDS = 200_000
_MEMORY_LIMIT = 200_000  # lines that SentencePiece reads at most; far fewer hold the mini world's words


def nano_folder(name: str) -> Path:
    """Where a nano model lies in transformers' format.

    Raises:
        ModelError: It is not the bundled one, and it has not been made on this machine.
    """
    if name == NANO:
        return _BUNDLED
    folder = folder_to_write(name)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} has not been built on this machine; run: make nano {_asked(name)}")
    return folder


def _asked(name: str) -> str:
    return "BALANCED=1" if name == NANO_BALANCED else f"SIZE={name.removeprefix(f'{NANO}-')}"


def folder_to_write(name: str) -> Path:
    """Where a build of a model belongs: the bundled one in this package, any other in the user's cache."""
    return _BUNDLED if name == NANO else cache_dir() / "models" / name


def train_tokenizer(lines: Iterable[str], *, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer of XGLM's type: SentencePiece unigram, `</s>` in front.

    Args:
        lines: Text; how often a language occurs decides how finely its words are cut.
        vocabulary: Number of ids, XGLM's four special tokens and seven made-up words among them.
    """
    import sentencepiece
    from transformers import XGLMTokenizer

    everything = list(lines)
    kept = everything[:_MEMORY_LIMIT]
    characters = sorted(set("".join(everything)) - {" "})
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as seeds:
        seeds.writelines(f"{piece}\t{frequency}\n" for piece, frequency in _seed_pieces(kept))
        seeds.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(kept),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocabulary - _MADE_UP_WORDS - 1,  # SentencePiece has three special tokens of its own
            hard_vocab_limit=False,  # a small world may not fill it
            seed_sentencepieces_file=seeds.name,
            required_chars="".join(characters),  # rare ones too
            normalization_rule_name="identity",  # the language files are normalized; joiners must stay
            num_threads=1,  # with several, sums differ in their last digits from run to run
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [
        (processor.id_to_piece(number), processor.get_score(number))
        for number in range(len(processor))
        if not (processor.is_control(number) or processor.is_unknown(number))
    ]
    return XGLMTokenizer(vocab=[*((token, 0.0) for token in _SPECIAL_TOKENS), *pieces])


def _seed_pieces(lines: Iterable[str]) -> list[tuple[str, int]]:
    """Candidates for the vocabulary: the commonest substrings of words, by the text that they would cover.

    SentencePiece's own candidates are substrings of at least two different words. In a closed world of some
    thousand words that leaves out most words themselves, however often they are said.
    """
    words = Counter(word for line in lines for word in f"▁{line.replace(' ', ' ▁')}".split(" "))
    pieces: Counter[str] = Counter()
    for word, frequency in words.items():
        for first, last in combinations(range(len(word) + 1), 2):
            if last - first <= _MAX_PIECE:
                pieces[word[first:last]] += frequency
    best = sorted(pieces.items(), key=lambda piece: (-piece[1] * len(piece[0]), piece[0]))
    return [piece for piece in best if len(piece[0]) > 1][:_MAX_SEEDS]
