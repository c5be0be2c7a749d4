#!/usr/bin/env bash
# transformers 5.23.0 (torch 2.13.0): a Falcon with ALiBi gives other hidden states by eager attention than by SDPA.
#
# Expected: `attn_implementation` chooses a kernel; both compute the same up to rounding, as they do in Falcons with
# rotary positions.
# What happens: with `alibi=True` the eager path adds the bias to the scores although the mask that it also adds holds
# the bias already; the SDPA path adds it once. Each token then looks twice as steeply at its neighbors.
# Whom it hurts: who compares with eager attention, asks for attention weights (which falls back on eager), or trains
# by one and serves by the other. Falcon-RW 1B and 7B are models with ALiBi.
#
# Seen:
#   rotary: largest difference of hidden states, eager and SDPA: 2.4e-05
#   alibi:  largest difference of hidden states, eager and SDPA: 3.0e+00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 numpy
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import copy

import torch
from transformers import AutoModel, FalconConfig


def difference(alibi: bool) -> float:
    config = FalconConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        alibi=alibi,
        multi_query=False,
        parallel_attn=False,
        bias=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
    )
    models = {}
    for kind in ("eager", "sdpa"):
        torch.manual_seed(0)
        models[kind] = AutoModel.from_config(copy.deepcopy(config), attn_implementation=kind).eval()
    for parameter in models["eager"].parameters():
        parameter.data.mul_(8)  # weights are drawn so small that attention is nearly flat
    models["sdpa"].load_state_dict(models["eager"].state_dict())
    ids = torch.arange(1, 25)[None]
    with torch.no_grad():
        states = [models[kind](ids).last_hidden_state for kind in ("eager", "sdpa")]
    return (states[0] - states[1]).abs().max().item()


rotary, alibi = difference(False), difference(True)
print(f"rotary: largest difference of hidden states, eager and SDPA: {rotary:.1e}")
print(f"alibi:  largest difference of hidden states, eager and SDPA: {alibi:.1e}")
assert rotary < 1e-3, "rotary differs, too"
assert alibi > 1e-1, "no longer so"
PYTHON
