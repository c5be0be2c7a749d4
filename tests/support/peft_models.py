"""Adapters as PEFT itself makes and saves them, on tiny models, with weights that make a difference."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from tiny import bpe_tokenizer, save
from transformers import (
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}


def make_qwen(folder: Path, *, seed: int = 0) -> Path:
    """Qwen 3: norms of queries and keys, two key-value heads for four, heads wider than the hidden size."""
    tokenizer = bpe_tokenizer()
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        **_IDS,
    )
    return save(Qwen3ForCausalLM(config), tokenizer, folder)


def trained_by_peft(
    cls: Any, base: Path, config: PeftConfig, folder: Path, **options: Any
) -> tuple[PeftModel, Path]:
    """PEFT's model of a configuration with random weights in all that trains, and the folder it was saved to.

    Args:
        cls: The class of transformers that it wraps, such as `AutoModelForSequenceClassification`.
        base: Folder of the base model.
        config: What PEFT adds.
        folder: Where the adapter goes.
        options: For `from_pretrained` of the class.
    """
    model: PreTrainedModel = cls.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager", **options
    )
    torch.manual_seed(3)
    adapted = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.05
    adapted.save_pretrained(folder)
    return adapted, folder
