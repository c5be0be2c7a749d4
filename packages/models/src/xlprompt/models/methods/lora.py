"""LoRA and (IA)3 by PEFT, put into a frozen backbone's linear layers.

PEFT's layers compute; which layers they replace, how they start and how many parameters they have is said
here, the last without PEFT, which is imported only where a backbone is changed. Their parameters are float32,
as PEFT itself holds them beside a backbone in bfloat16.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from xlprompt.models.methods.method import Method
from xlprompt.models.methods.projections import is_inserted, last_part, leads_back, linear_layers, named

if TYPE_CHECKING:
    from peft import PeftConfig


class LoraSettings(BaseModel):
    """Low-rank updates of frozen matrices (Hu et al. 2022, LoRA, arXiv 2106.09685).

    The defaults train about as many parameters as a prompt of the paper's length: 786,432 of XGLM-564M's
    against 737,280.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: ClassVar[Method] = "lora"

    rank: int = Field(
        8, ge=1, le=1024, description="width of the two matrices; parameters and time grow with it"
    )
    alpha: int = Field(
        16, ge=1, description="the update is scaled by alpha / rank; costs nothing, acts like a rate"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout on what the update reads while training; a little time"
    )
    targets: Literal["query_value", "all"] = Field(
        "query_value",
        description="queries and values (Hu et al.), or all linear layers of the decoder (Dettmers et al. "
        "2023, QLoRA): six times the parameters in XGLM, and more time",
    )


class Ia3Settings(BaseModel):
    """Scales of keys, values and inner states of the feed-forward (Liu et al. 2022, T-Few, arXiv 2205.05638).

    There is no width to choose: 147,456 parameters in XGLM-564M, a fifth of a prompt of the paper's length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: ClassVar[Method] = "ia3"

    feed_forward: bool = Field(
        True, description="scale the feed-forward's inner states too, two thirds of the parameters in XGLM"
    )


def lora_targets(model: nn.Module, settings: LoraSettings) -> tuple[str, ...]:
    """Names of the linear layers that get an update."""
    if settings.targets == "query_value":
        return ("q_proj", "v_proj")
    return tuple(dict.fromkeys(last_part(path) for path in linear_layers(model)))


def lora_params(model: nn.Module, settings: LoraSettings) -> int:
    """Parameters of all updates: rank x (inputs + outputs) each.

    Raises:
        ModelError: The backbone has no layers of these names.
    """
    layers = named(model, lora_targets(model, settings)).values()
    return settings.rank * sum(layer.in_features + layer.out_features for layer in layers)


def ia3_params(model: nn.Module, settings: Ia3Settings) -> int:
    """Parameters of all scales: outputs of keys and values, inputs of the matrix out of the feed-forward.

    Raises:
        ModelError: The backbone has no layers of these names.
    """
    params = sum(layer.out_features for layer in named(model, ("k_proj", "v_proj")).values())
    if settings.feed_forward:
        params += sum(layer.in_features for layer in named(model, (leads_back(model),)).values())
    return params


def insert_peft_layers(
    model: nn.Module, settings: LoraSettings | Ia3Settings, generator: torch.Generator
) -> None:
    """Replace linear layers of a frozen backbone by PEFT's, which change nothing as they start.

    LoRA's first matrices are drawn as PEFT draws them, uniform within 1 / sqrt(inputs), but from `generator`,
    so that they are the same on any device; its second ones are zero. Scales are one.

    Raises:
        ModelError: The backbone has no layers of the names that are looked for.
    """
    from peft import inject_adapter_in_model

    config = peft_config(model, settings)
    with torch.random.fork_rng(devices=[]):  # PEFT draws matrices of its own first
        inject_adapter_in_model(config, model)
    for path, parameter in model.named_parameters():
        if is_inserted(path):
            parameter.data = parameter.data.float()
            if ".lora_A." in path:
                bound = parameter.shape[1] ** -0.5
                start = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.data.copy_(start)


def peft_config(model: nn.Module, settings: LoraSettings | Ia3Settings) -> "PeftConfig":
    """PEFT's own configuration of the same method.

    Raises:
        ModelError: The backbone has no layers of the names that are looked for.
    """
    from peft import IA3Config, LoraConfig

    if isinstance(settings, LoraSettings):
        targets = lora_targets(model, settings)
        named(model, targets)
        return LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=list(targets),
        )
    back = [leads_back(model)] if settings.feed_forward else []
    named(model, ("k_proj", "v_proj"))
    return IA3Config(target_modules=["k_proj", "v_proj", *back], feedforward_modules=back)
