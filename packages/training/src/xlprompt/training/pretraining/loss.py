"""How well xglm-nano predicts text: the loss that trains it, and that of passages it never saw."""

from __future__ import annotations

import math
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, XGLMForCausalLM

from xlprompt.data import STUDY_LANGUAGES
from xlprompt.data.mini.corpus import passages
from xlprompt.data.mini.items import sentence_items
from xlprompt.data.mini.realize import sentence
from xlprompt.evaluation.scores.fertility import fertility
from xlprompt.training.pretraining.text import Row, by_length, token_rows

_HELD_OUT_PASSAGES = 64  # of each language


def next_token_loss(
    model: XGLMForCausalLM, batch: list[Row], *, offset: int = 0, verdict_weight: float = 1.0
) -> tuple[Tensor, int]:
    """Mean cross-entropy of the next token, in nats.

    Args:
        model: With a language-model head.
        batch: Rows of any lengths.
        offset: Position of the first token.
        verdict_weight: Of a verdict's tokens in the mean.

    Returns:
        The loss and the number of tokens that it is the mean of.
    """
    device = model.device
    pad = model.config.pad_token_id
    width = max(len(row.ids) for row in batch)
    ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in batch], device=device)
    verdicts = torch.tensor([row.verdicts + [False] * (width - len(row.ids)) for row in batch], device=device)
    targets = ids[:, 1:]
    real = targets != pad
    positions = torch.arange(offset, offset + width, device=device)[None]
    with torch.autocast(device.type, torch.bfloat16):
        hidden = model.model(ids, position_ids=positions, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][real])
    losses = functional.cross_entropy(logits.float(), targets[real], reduction="none")
    weights = torch.where(verdicts[:, 1:][real], verdict_weight, 1.0)
    return (losses * weights).sum() / weights.sum(), int(real.sum())


@torch.no_grad()
def held_out_loss(
    model: XGLMForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Loss on passages of each language that training never saw.

    Returns:
        By language: nats a token, and bits a character.
    """
    losses, bits = {}, {}
    for code in STUDY_LANGUAGES:
        text = list(islice(passages({code: 1.0}, seed=f"held out {seed}"), _HELD_OUT_PASSAGES))
        rows = token_rows(text, tokenizer, model.config.max_position_embeddings)
        total, tokens = 0.0, 0
        for batch in by_length(rows, 4096):
            loss, number = next_token_loss(model, batch)
            total, tokens = total + loss.item() * number, tokens + number
        characters = sum(len(line.text) + 1 for passage in text for line in passage)
        losses[code] = total / tokens
        bits[code] = total / math.log(2) / characters
    return losses, bits


def held_out_fertility(tokenizer: PreTrainedTokenizerFast, code: str) -> float:
    """On the development sentences of POS, which are parallel."""
    said = [sentence(code, *item.clauses) for item in sentence_items("pos", "validation")]
    return fertility(tokenizer, [one.text for one in said], sum(len(one.words) for one in said))
