"""What a language-model head makes of the product with the input embedding, for decoders whose head is that.

Classification has no such head; the loss of text without labels, which tells what a model has forgotten,
needs one. A head that cannot be rebuilt exactly from the base model is not claimed.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

_FACTORS = {"logit_scale": 1, "lm_head_multiplier": 1, "logits_scaling": -1}  # Cohere, Falcon-H1; Granite
_CAP = "final_logit_softcapping"  # Gemma 2
_ELSEWHERE = ("attn_", "attention_", "router_", "output_")  # logits of attention and of mixtures


@dataclass(frozen=True)
class TokenHead:
    """Scale and cap of a head's logits."""

    factor: float = 1.0
    cap: float | None = None

    def __call__(self, product: Tensor) -> Tensor:
        """Logits, `[positions, vocabulary]`, from the product with the embedding, which may be changed."""
        logits = product if self.factor == 1.0 else product * self.factor
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def token_head(config: PreTrainedConfig) -> TokenHead | None:
    """The head of a decoder that ties it to the input embedding; None where it is not understood."""
    if not getattr(config, "tie_word_embeddings", False):
        return None
    values = {key: value for key, value in config.to_dict().items() if value not in (None, False, 1)}
    about_logits = {
        key for key in values if ("logit" in key or "lm_head" in key) and not key.startswith(_ELSEWHERE)
    }
    if about_logits - {*_FACTORS, _CAP} or not _is_one_product(config):
        return None
    factor = 1.0
    for key in about_logits & _FACTORS.keys():
        factor *= float(values[key]) ** _FACTORS[key]
    return TokenHead(factor, values.get(_CAP))


def _is_one_product(config: PreTrainedConfig) -> bool:
    """Whether beside the base model there is one linear layer without bias, and nothing else."""
    try:
        with torch.device("meta"):
            whole = AutoModelForCausalLM.from_config(
                copy.deepcopy(config), attn_implementation="eager", trust_remote_code=False
            )
    except ValueError:  # transformers has no such class
        return False
    heads = [module for name, module in whole.named_children() if name != whole.base_model_prefix]
    return len(heads) == 1 and isinstance(heads[0], nn.Linear) and heads[0].bias is None
