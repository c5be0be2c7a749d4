#!/usr/bin/env bash
# torch 2.13.0 with transformers 5.23.0: FlopCounterMode counts nothing of a mixture's experts.
#
# Expected: FlopCounterMode sees every matrix product of a forward pass, whichever kernel computes it; a mixture of which
# two experts work on a token counts as much as a dense model of twice an expert's width, and its router.
# What happens: transformers computes experts by a grouped product, `grouped_mm`, for which the counter has no formula. It
# counts attention, router and projections, and the experts as 0. With experts_implementation="eager" they are counted.
# Whom it hurts: who tells cost, or utilization of a device, of Qwen-MoE, Mixtral, OLMoE and the like: both come out
# several times too low, and the larger the experts the lower.
#
# Seen:
#   FLOPs a token, dense: 245,760
#   FLOPs a token, mixture by default: 51,200
#   FLOPs a token, mixture with eager experts: 247,808
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 numpy
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, Qwen3Config, Qwen3MoeConfig

SHAPE = dict(
    vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16
)


def flops(config, **options) -> int:
    model = AutoModel.from_config(config, **options).eval()
    tokens = 8
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.arange(1, 1 + tokens)[None])
    return counter.get_total_flops() // tokens


def mixture():
    return Qwen3MoeConfig(
        **SHAPE, intermediate_size=256, moe_intermediate_size=128, num_experts=8, num_experts_per_tok=2
    )


dense = flops(Qwen3Config(**SHAPE, intermediate_size=256))
default = flops(mixture())
eager = flops(mixture(), experts_implementation="eager")
print(f"FLOPs a token, dense: {dense:,}")
print(f"FLOPs a token, mixture by default: {default:,}")
print(f"FLOPs a token, mixture with eager experts: {eager:,}")
assert default < dense / 2, "no longer so"
assert eager > 0.9 * dense, "no longer so"
PYTHON
