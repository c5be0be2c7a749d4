"""The alternatives that xlprompt is measured against, as their own users would write them.

PEFT's PrefixTuning and LoRA on transformers' XGLM, and full fine-tuning of it. XGLM has no class for
classifying texts, so what stands for transformers' Trainer is its step written out: a linear head on the last
token of `XGLMModel`, bfloat16 autocast over float32 weights (the Trainer's `bf16=True`), gradients clipped to
1, fused AdamW (its default). Batches come in the order of the examples, padded to their longest.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from common import NUM_LABELS, Setting, xglm_config
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel

from xlprompt.data.encoding.batches import Batch
from xlprompt.models import LoraSettings

Precision = Literal["autocast", "bfloat16"]
"""Autocast over float32 weights, or the backbone's weights in bfloat16 and no autocast."""
Trained = Literal["prefix", "lora", "all"]


class Rival(nn.Module):
    """A decoder of transformers with a linear head, and PEFT around it where less than all trains."""

    def __init__(
        self, setting: Setting, trained: Trained, precision: Precision, *, dropout: bool = True
    ) -> None:
        """Build with random weights, on the device."""
        super().__init__()
        torch.manual_seed(setting.seed)
        config = xglm_config(setting, dropout=dropout)
        self.autocast = precision == "autocast"
        held_in = torch.float32 if self.autocast else torch.bfloat16
        model = AutoModel.from_config(config, dtype=held_in).to(setting.device)  # an XGLMModel
        if trained == "prefix":
            prefix = PrefixTuningConfig(
                task_type="FEATURE_EXTRACTION",
                num_virtual_tokens=setting.prompt_length,
                num_layers=config.num_layers,
                num_attention_heads=config.attention_heads,
                token_dim=config.d_model,
                num_transformer_submodules=1,
            )
            model = get_peft_model(model, prefix)
        elif trained == "lora":
            ours = LoraSettings()
            low_rank = LoraConfig(
                task_type="FEATURE_EXTRACTION",
                r=ours.rank,
                lora_alpha=ours.alpha,
                lora_dropout=ours.dropout,
                target_modules=["q_proj", "v_proj"],
            )
            model = get_peft_model(model, low_rank)
        self.model = model.to(setting.device)
        self.head = nn.Linear(config.d_model, NUM_LABELS, device=setting.device)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `[batch, labels]`."""
        with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=self.autocast):
            positions = torch.arange(batch.input_ids.shape[1], device=batch.columns.device)
            mask = (positions <= batch.columns[:, None]).long()
            hidden = self.model(input_ids=batch.input_ids, attention_mask=mask).last_hidden_state
            return self.head(hidden[batch.rows, batch.columns].to(self.head.weight.dtype)).float()


def padded_batches(
    rows: Sequence[np.ndarray], batch_size: int, padded_to: int | None = None
) -> Iterator[Batch]:
    """Batches in the given order, padded to their longest row or to a fixed length, as a collator does."""
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        ids = torch.ones(len(chunk), padded_to or max(map(len, chunk)), dtype=torch.long)
        for index, row in enumerate(chunk):
            ids[index, : len(row)] = torch.tensor(row)
        numbers = torch.arange(len(chunk))
        last = torch.tensor([len(row) - 1 for row in chunk])
        zeros, tokens = torch.zeros_like(numbers), sum(map(len, chunk))
        yield Batch(ids, numbers, last, numbers % NUM_LABELS, numbers, zeros, None, tokens)


class Trainer:
    """The steps of a training loop."""

    def __init__(self, model: Rival) -> None:
        """Train what the model lets train."""
        self.model = model.train()
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-5, fused=True)

    def step(self, batch: Batch) -> None:
        """One optimizer step."""
        functional.cross_entropy(self.model(batch), batch.labels).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


@torch.inference_mode()
def answers(model: Rival, rows: Sequence[np.ndarray], batch_size: int, device: str) -> list[int]:
    """The label of each row."""
    model.eval()
    found: list[int] = []
    for batch in padded_batches(rows, batch_size):
        found += model(batch.to(device)).argmax(-1).cpu().tolist()
    return found
