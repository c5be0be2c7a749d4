"""Adapters as PEFT itself makes and saves them, on tiny models, with weights that make a difference."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    XGLMPreTrainedModel,
)
from transformers.modeling_layers import GenericForSequenceClassification


def with_window(base: Path, window: int, folder: Path) -> Path:
    """A model's folder again, with a sliding window of so many tokens."""
    shutil.copytree(base, folder)
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sliding_window": window}))
    return folder


class XGLMForSequenceClassification(GenericForSequenceClassification, XGLMPreTrainedModel):
    """What transformers has of other decoders and lacks of XGLM, as its users write it."""


def classifier_trained_by_peft(
    base: Path, config: PeftConfig, folder: Path, pairs: Sequence[tuple[str, str]], labels: Sequence[int]
) -> tuple[PeftModel, Path]:
    """PEFT's model after a few steps, and the folder it was saved to.

    The steps are those of PEFT's own example of sequence classification: the tokenizer's pairs, padded to the
    longest, plain PyTorch, `save_pretrained`.

    Args:
        base: Folder of the base model.
        config: What PEFT adds, for `SEQ_CLS`.
        folder: Where the adapter goes.
        pairs: Texts of the only batch.
        labels: The class of each.
    """
    is_xglm = json.loads((base / "config.json").read_text())["model_type"] == "xglm"
    kind: Any = XGLMForSequenceClassification if is_xglm else AutoModelForSequenceClassification
    torch.manual_seed(3)
    model = get_peft_model(kind.from_pretrained(base, num_labels=len(set(labels))), config)
    batch = AutoTokenizer.from_pretrained(base)(*zip(*pairs, strict=True), padding=True, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    model.train()
    for _ in range(5):
        model(**batch, labels=torch.tensor(labels)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return model.eval(), folder


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
