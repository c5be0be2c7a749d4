"""The parameter budget: what trains, and what share of the backbone that is."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from xlprompt.models.accounting.trained_share import trained_share
from xlprompt.models.methods.projections import is_inserted


@dataclass(frozen=True)
class ParameterBudget:
    """Parameters by part; `total_params` is the backbone's.

    Percentages are shares of the backbone (see `trained_share`).

    Attributes:
        model: Name of the backbone.
        scheme: The prompt's scheme, or None without a prompt.
        prompt_length: Its length, 0 without a prompt.
        embedding_params: Rows times width of the (tied) embedding, and of a learned table of positions.
        attention_params: The layers' attention projections and their norms.
        feed_forward_params: The layers' feed-forward weights.
        norm_params: Everything else: layer norms.
        total_params: Sum of the four above.
        prompt_params: The prompt's.
        head_params: The head's.
        adapter_params: What LoRA, (IA)3, adapters or BitFit add to the backbone; not in `total_params`.
        finetuned_params: Those of the backbone that train: all or most by fine-tuning, biases by BitFit.
        trainable_params: Sum of the four above.
    """

    model: str
    scheme: str | None
    prompt_length: int
    embedding_params: int
    attention_params: int
    feed_forward_params: int
    norm_params: int
    total_params: int
    prompt_params: int
    head_params: int
    adapter_params: int
    finetuned_params: int
    trainable_params: int

    @property
    def added_params(self) -> int:
        """What is put to the backbone: prompt, head and adapters. All of it trains."""
        return self.prompt_params + self.head_params + self.adapter_params

    @property
    def trainable_percent(self) -> float:
        """Trainable parameters in percent of the backbone's."""
        return trained_share(self.trainable_params, self.total_params)

    @property
    def total_params_no_embeddings(self) -> int:
        """The backbone's parameters without the embedding."""
        return self.total_params - self.embedding_params

    @property
    def trainable_percent_no_embeddings(self) -> float:
        """The same share without the embedding, which is left out of what trains as well."""
        elsewhere = min(self.finetuned_params, self.total_params_no_embeddings)
        return trained_share(elsewhere + self.added_params, self.total_params_no_embeddings)

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values; percentages rounded to three digits."""
        return {
            **asdict(self),
            "total_params_no_embeddings": self.total_params_no_embeddings,
            "trainable_percent": float(f"{self.trainable_percent:.3g}"),
            "trainable_percent_no_embeddings": float(f"{self.trainable_percent_no_embeddings:.3g}"),
        }


def count_parameters(
    model: nn.Module,
    *,
    name: str,
    scheme: str | None,
    prompt_length: int,
    prompt_params: int,
    head_params: int,
    adapter_params: int,
    finetuned_params: int,
) -> ParameterBudget:
    """Sort the parameters of a transformers base model into parts and add what trains."""
    parts = {"embedding": 0, "attention": 0, "feed_forward": 0, "norm": 0}
    tables = {path for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    for path, parameter in model.named_parameters():
        if not is_inserted(path):
            parts[_part(path, tables)] += parameter.numel()
    return ParameterBudget(
        model=name,
        scheme=scheme,
        prompt_length=prompt_length,
        **{f"{part}_params": number for part, number in parts.items()},
        total_params=sum(parts.values()),
        prompt_params=prompt_params,
        head_params=head_params,
        adapter_params=adapter_params,
        finetuned_params=finetuned_params,
        trainable_params=prompt_params + head_params + adapter_params + finetuned_params,
    )


def _part(path: str, tables: set[str]) -> str:
    module = path.rpartition(".")[0]
    if module in tables:
        return "embedding"
    if any(part.endswith(("attn", "attention")) and not _is_norm(part) for part in module.split(".")):
        return "attention"
    return "norm" if _is_norm(module.rpartition(".")[2]) else "feed_forward"


def _is_norm(name: str) -> bool:
    """Whether a module is a norm: `ln_f`, `ln_attn`, `input_layernorm`."""
    return "norm" in name or name.startswith("ln_")
