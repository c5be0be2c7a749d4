"""Every architecture that prompts are tried in: tiny, with random weights and its own kind of tokenizer.

As a program it prints the table in docs/reference/architectures.md, which tests hold against what
training does.
"""

import copy
import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny import CORPUS, bpe_tokenizer, xglm_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from xlprompt.models import (
    AdapterSettings,
    BitfitSettings,
    FinetuneSettings,
    HeadOnly,
    Ia3Settings,
    LoraSettings,
    ModelError,
    PromptSettings,
)
from xlprompt.models.backbone.own_attention import OWN
from xlprompt.models.methods.projections import attention_inputs
from xlprompt.models.pretrained.examination import examine_config

METHODS = {
    **{
        f"prompt {scheme}": PromptSettings(scheme=scheme, length=3)
        for scheme in ("layers", "input", "both", "hidden")
    },
    "finetune": FinetuneSettings(),
    "head": HeadOnly(),
    "lora": LoraSettings(rank=2),
    "ia3": Ia3Settings(),
    "adapter": AdapterSettings(width=2),
    "bitfit": BitfitSettings(),
    "bitfit add": BitfitSettings(add=True),
}


@dataclass(frozen=True)
class Architecture:
    """A decoder that users bring.

    Attributes:
        examples: Models of it on the hub.
        kind: Its configuration class, without "Config".
        tokenizer: One of `TOKENIZERS`.
        values: What its tiny configuration has beside the usual.
        reference: The attention of transformers that is compared.
        note: What a user should know.
    """

    examples: str
    kind: str
    tokenizer: str
    values: dict[str, Any] = field(default_factory=dict)
    reference: str = "eager"
    note: str = ""

    @property
    def config(self) -> transformers.PreTrainedConfig:
        """Its configuration: 2 layers of width 32, 4 heads, 96 positions."""
        tokenizer = tokenizer_of(self.tokenizer)
        usual = {
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        }
        return getattr(transformers, f"{self.kind}Config")(**{**usual, **self.values})


_POSITIONS = {"max_position_embeddings": 96}
_LLAMA = {"intermediate_size": 48, "num_key_value_heads": 2, **_POSITIONS}
_LOCAL = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
_ALIBI = "ALiBi takes nothing off a prompt's slots; PEFT counts them as text in front, and differs"

ARCHITECTURES: dict[str, Architecture] = {
    "XGLM": Architecture("facebook/xglm-564M to 7.5B", "XGLM", "unigram", {"ffn_dim": 64, **_POSITIONS}),
    "BLOOM": Architecture(
        "bigscience/bloom-560m, bigscience/bloomz-560m", "Bloom", "bytes, no template", note=_ALIBI
    ),
    "GPT-2": Architecture(
        "openai-community/gpt2, ai-forever/mGPT, gpt-sw3", "GPT2", "bytes, one token", {"n_positions": 96}
    ),
    "OPT": Architecture(
        "facebook/opt-125m", "OPT", "bytes, start", {"ffn_dim": 64, "word_embed_proj_dim": 32, **_POSITIONS}
    ),
    "OPT, narrow embedding": Architecture(
        "facebook/opt-350m",
        "OPT",
        "bytes, start",
        {"ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False, **_POSITIONS},
        note="layers are wider than embedding and output",
    ),
    "Falcon, multi-query": Architecture("tiiuae/falcon-7b", "Falcon", "bytes, end only", _POSITIONS),
    "Falcon, new architecture": Architecture(
        "tiiuae/falcon-40b, falcon-11B",
        "Falcon",
        "bytes, end only",
        {"new_decoder_architecture": True, "num_kv_heads": 2, **_POSITIONS},
        note="a prompt has the key-value heads; PEFT repeats them to as many as heads",
    ),
    "Falcon, ALiBi": Architecture(
        "tiiuae/falcon-rw-1b",
        "Falcon",
        "bytes, end only",
        {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True, **_POSITIONS},
        reference="sdpa",
        note=f"{_ALIBI}. transformers' eager code adds the bias twice, its SDPA code once, as here",
    ),
    "GPT-Neo": Architecture(
        "EleutherAI/gpt-neo-125m",
        "GPTNeo",
        "bytes, one token",
        {"attention_types": [[["global", "local"], 1]], "window_size": 8, **_POSITIONS},
    ),
    "GPT-J": Architecture(
        "EleutherAI/gpt-j-6b", "GPTJ", "bytes, one token", {"rotary_dim": 4, "n_positions": 96}
    ),
    "GPT-NeoX": Architecture(
        "EleutherAI/pythia-160m", "GPTNeoX", "bytes, one token", {"intermediate_size": 64, **_POSITIONS}
    ),
    "CodeGen": Architecture(
        "Salesforce/codegen-350M-multi", "CodeGen", "bytes, one token", {"rotary_dim": 4, "n_positions": 96}
    ),
    "GPT-BigCode": Architecture(
        "bigcode/gpt_bigcode-santacoder", "GPTBigCode", "bytes, one token", {"n_positions": 96}
    ),
    "StarCoder 2": Architecture(
        "bigcode/starcoder2-3b", "Starcoder2", "bytes, one token", {**_LLAMA, "sliding_window": None}
    ),
    "Llama": Architecture(
        "meta-llama/Llama-3.2-1B, HuggingFaceTB/SmolLM2-135M", "Llama", "pieces and bytes", _LLAMA
    ),
    "Mistral": Architecture(
        "mistralai/Mistral-7B-v0.1", "Mistral", "pieces and bytes", {**_LLAMA, "sliding_window": 8}
    ),
    "Qwen 2": Architecture("Qwen/Qwen2.5-0.5B", "Qwen2", "bytes, end and pad", _LLAMA),
    "Qwen 3": Architecture("Qwen/Qwen3-0.6B", "Qwen3", "bytes, end and pad", {**_LLAMA, "head_dim": 8}),
    "Gemma 2": Architecture(
        "google/gemma-2-2b",
        "Gemma2",
        "pieces and bytes",
        {**_LLAMA, **_LOCAL, "head_dim": 8, "query_pre_attn_scalar": 8},
    ),
    "Gemma 3": Architecture(
        "google/gemma-3-270m",
        "Gemma3Text",
        "pieces and bytes",
        {**_LLAMA, **_LOCAL, "head_dim": 16, "num_key_value_heads": 1, "query_pre_attn_scalar": 16},
    ),
    "Phi": Architecture("microsoft/phi-2", "Phi", "bytes, one token", {**_LLAMA, "num_key_value_heads": 4}),
    "Phi 3": Architecture(
        "microsoft/Phi-3-mini-4k-instruct",
        "Phi3",
        "pieces and bytes",
        {**_LLAMA, "original_max_position_embeddings": 96},
    ),
    "SmolLM 3": Architecture(
        "HuggingFaceTB/SmolLM3-3B", "SmolLM3", "bytes, no special", {**_LLAMA, "no_rope_layers": [1, 0]}
    ),
    "OLMo 2": Architecture("allenai/OLMo-2-0425-1B", "Olmo2", "bytes, one token", _LLAMA),
    "Granite": Architecture(
        "ibm-granite/granite-3.3-2b-base",
        "Granite",
        "bytes, one token",
        {**_LLAMA, "embedding_multiplier": 6.0, "attention_multiplier": 0.2, "residual_multiplier": 0.5},
    ),
    "Cohere": Architecture("CohereLabs/aya-23-8B", "Cohere", "bytes, start", {**_LLAMA, "logit_scale": 0.25}),
}


_SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_NEVER = "its attention never calls transformers' interface"
REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "StableLM": ("StableLm", {**_SMALL, **_LLAMA}, _NEVER, "does not go through transformers' attention"),
    "BioGPT": ("BioGpt", {**_SMALL, "intermediate_size": 48}, _NEVER, "does not go through transformers'"),
    "Nemotron": ("Nemotron", {**_SMALL, **_LLAMA}, "its layers hand nothing down", "0 of its 2 layers only"),
    "MPT": (
        "Mpt",
        {"d_model": 32, "n_layers": 2, "n_heads": 4, "vocab_size": 64},
        "its layers have another name",
        "no list of decoder layers",
    ),
    "BERT and other encoders": (
        "Bert",
        {**_SMALL, "intermediate_size": 48},
        "texts are read in both directions",
        "no list of decoder layers",
    ),
    "Mamba and hybrids": (
        "Mamba",
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 64},
        "layers without keys and values",
        "does not go through",
    ),
    "RecurrentGemma": (
        "RecurrentGemma",
        {**_SMALL, "intermediate_size": 48, "attention_window_size": 8},
        "layers without keys and values",
        "of its 2 layers only",
    ),
    "Llama 4": (
        "Llama4Text",
        {**_SMALL, **_LLAMA, "head_dim": 8, "num_local_experts": 2},
        "attention in chunks",
        "chunks of the text only",
    ),
    "Gemma 3n": (
        "Gemma3nText",
        {**_SMALL, **_LLAMA, "head_dim": 8},
        "its layers look the text's tokens up anew",
        "looks the text's tokens up anew",
    ),
    "gpt-oss": (
        "GptOss",
        {**_SMALL, **_LLAMA, "head_dim": 8, "num_local_experts": 2},
        "attention with sinks",
        "attention sinks",
    ),
    "Doge": ("Doge", {**_SMALL, **_LLAMA}, "a mask of its own", "attention mask of its own"),
    "MiniCPM 3, DeepSeek": (
        "MiniCPM3",
        {**_SMALL, "intermediate_size": 48},
        "keys and values of two shapes",
        "layers differ in the shape",
    ),
}  # by name: configuration class, its values, why, what is said


def make_architecture(name: str, folder: Path) -> Path:
    """Write the tiny model and its tokenizer as a hub repository would hold them."""
    architecture = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(architecture.config, attn_implementation="eager")
    _enlarge(model)
    model.save_pretrained(folder)
    tokenizer_of(architecture.tokenizer).save_pretrained(folder)
    return folder


@torch.no_grad()
def _enlarge(model: PreTrainedModel) -> None:
    """Enlarge matrices and move biases: at the usual 0.02 and 0 a tiny model's attention is flat."""
    tables = {module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and parameter not in tables and "lm_head" not in name:
            parameter.mul_(8)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.1)


def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of one of the kinds in `TOKENIZERS`."""
    if name not in _BUILT:
        _BUILT[name] = TOKENIZERS[name]()
    return _BUILT[name]


def _byte_level(
    vocabulary: int = 400, *, specials: tuple[str, ...] = (), start: str | None = None, **roles: str
) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as of GPT-2: no character is unknown, and a space is part of the word behind it."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    if start is not None:
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{start} $A",
            pair=f"{start} $A {start} $B",
            special_tokens=[(start, bpe.token_to_id(start))],
        )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **roles)


TOKENIZERS = {
    "unigram": xglm_tokenizer,
    "pieces and bytes": bpe_tokenizer,
    "bytes, one token": lambda: _byte_level(
        specials=("<|endoftext|>",),
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    ),
    "bytes, start": lambda: _byte_level(
        specials=("<s>", "<pad>", "</s>", "<unk>"),
        start="</s>",
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ),
    "bytes, no template": lambda: _byte_level(
        specials=("<unk>", "<s>", "</s>", "<pad>"),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ),
    "bytes, end only": lambda: _byte_level(specials=("<|endoftext|>",), eos_token="<|endoftext|>"),
    "bytes, end and pad": lambda: _byte_level(
        specials=("<|endoftext|>",), eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    ),
    "bytes, no special": _byte_level,
}
_TOLD = {
    "unigram": "SentencePiece unigram, `</s>` in front",
    "pieces and bytes": "BPE of pieces with bytes to fall back to, `<bos>` in front",
    "bytes, one token": "byte-level BPE; one token is bos, eos and unk, and stands nowhere; no pad",
    "bytes, start": "byte-level BPE, a start token in front",
    "bytes, no template": "byte-level BPE; has bos, eos and pad, and puts none of them",
    "bytes, end only": "byte-level BPE; eos and no other special token",
    "bytes, end and pad": "byte-level BPE; no bos, pad is eos",
    "bytes, no special": "byte-level BPE without a special token",
}
_BUILT: dict[str, PreTrainedTokenizerFast] = {}


@functools.cache
def refusals(name: str) -> dict[str, str]:
    """What is said before anything is loaded, by the methods that this architecture has no place for."""
    found = {}
    backbone = examine_config(ARCHITECTURES[name].config, name=name)
    for method, settings in METHODS.items():
        changed, generator = copy.deepcopy(backbone), torch.Generator()
        try:
            settings.prompts(changed, generator)
            settings.apply(changed, generator)
        except ModelError as error:
            found[method] = str(error)
    return found


def table() -> str:
    """Architectures by methods, in Markdown."""
    columns = [method for method in METHODS if method != "bitfit add"]
    lines = [
        "| architecture | for example | " + " | ".join(columns) + " | tokenizer | attention |",
        "|" + "---|" * (len(columns) + 4),
    ]
    notes: list[str] = []
    for name, architecture in ARCHITECTURES.items():
        refused = refusals(name)
        cells = ["yes" if method not in refused else "no" for method in columns]
        if "bitfit" in refused and "bitfit add" not in refused:
            cells[columns.index("bitfit")] = "`add`"
        inputs = attention_inputs(_weightless(name), ("q_proj", "v_proj"))
        if len(inputs) == 1:
            for method in ("lora", "ia3"):
                cells[columns.index(method)] = f"yes, `{inputs[0]}`"
        mark = ""
        if architecture.note:
            notes.append(architecture.note)
            mark = f" ({len(notes)})"
        own = type(_weightless(name)).__module__.split(".")[2] in ("xglm", *_OWN)
        row = [name + mark, architecture.examples, *cells, architecture.tokenizer]
        lines.append("| " + " | ".join([*row, "ours" if own else "transformers'"]) + " |")
    lines += ["", *(f"{number}. {note}." for number, note in enumerate(notes, 1))]
    lines += ["", "Refused before anything is loaded, with what to take instead:", ""]
    lines += ["| decoder | why |", "|---|---|", *(f"| {name} | {row[2]} |" for name, row in REFUSED.items())]
    lines += ["", "| tokenizer | what it is |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {told} |" for name, told in _TOLD.items())]) + "\n"


_OWN = {kind.__module__.split(".")[2] for kind in OWN}


@functools.cache
def _weightless(name: str) -> PreTrainedModel:
    return examine_config(ARCHITECTURES[name].config, name=name).model


if __name__ == "__main__":
    sys.stdout.write(table())
