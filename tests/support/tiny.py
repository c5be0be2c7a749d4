"""Tiny models with random weights in transformers' format: real code paths at a size that costs nothing."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    XGLMConfig,
    XGLMForCausalLM,
    XGLMTokenizer,
)

CORPUS = [
    "The man in the red coat walked to the station, but the train had already left.",
    "A woman reads a book. Nobody reads a book. Is the woman outside?",
    "Der Mann im roten Mantel ging zum Bahnhof, aber der Zug war schon weg.",
    "Женщина читает книгу в парке, а дети играют в мяч.",
    "女の人が本を読んでいます。男は駅まで歩いた。",
    "एक आदमी लाल कोट में स्टेशन तक गया।",
    "ผู้หญิงอ่านหนังสือในสวน",
    "Mwanamke anasoma kitabu katika bustani.",
]
VOCAB_SIZE = 400

_USUAL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}


def xglm_tokenizer() -> PreTrainedTokenizerFast:
    """A unigram tokenizer with XGLM's special tokens and templates, trained on the corpus above."""
    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCAB_SIZE - 7, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    unigram.train_from_iterator(CORPUS, trainer)
    scores = dict(json.loads(unigram.to_str())["model"]["vocab"])
    vocab = [(piece, 0.0) for piece in specials]
    vocab += [(piece, score) for piece, score in scores.items() if piece not in specials]
    return XGLMTokenizer(vocab=vocab)


def bpe_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-fallback BPE tokenizer with `<bos>` in front, as Gemma's and Llama's are."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE + 256,
        special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", *bytes_],
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bpe.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Write model and tokenizer as a hub repository would hold them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_xglm(folder: Path, *, seed: int = 0, layers: int = 3) -> Path:
    """XGLM, layers of width 32 with 4 heads."""
    tokenizer = xglm_tokenizer()
    torch.manual_seed(seed)
    config = XGLMConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        num_layers=layers,
        ffn_dim=64,
        attention_heads=4,
        max_position_embeddings=256,
    )
    return save(_scaled(XGLMForCausalLM(config)), tokenizer, folder)


def make_gemma(folder: Path, *, seed: int = 0) -> Path:
    """Gemma 3: grouped-query attention, a sliding window of 8, a global layer among local ones."""
    tokenizer = bpe_tokenizer()
    torch.manual_seed(seed)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        query_pre_attn_scalar=16,
        **_USUAL,
    )
    return save(_scaled(Gemma3ForCausalLM(config)), tokenizer, folder)


def make_llama(folder: Path, *, seed: int = 0, scaled: bool = True) -> Path:
    """Llama with two key-value heads for four query heads; transformers' own weights if not scaled."""
    tokenizer = bpe_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **_USUAL, **_IDS)
    model = LlamaForCausalLM(config)
    return save(_scaled(model) if scaled else model, tokenizer, folder)


def make_qwen(folder: Path, *, seed: int = 0) -> Path:
    """Qwen 3: norms of queries and keys, two key-value heads for four, heads wider than the hidden size."""
    tokenizer = bpe_tokenizer()
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        num_key_value_heads=2,
        head_dim=16,
        tie_word_embeddings=True,
        **_USUAL,
        **_IDS,
    )
    return save(Qwen3ForCausalLM(config), tokenizer, folder)


@torch.no_grad()
def _scaled(model: PreTrainedModel) -> PreTrainedModel:
    """Enlarge the projections: at the usual 0.02 a tiny model's attention is flat, and tests see nothing."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
            parameter.mul_(8)
    return model
