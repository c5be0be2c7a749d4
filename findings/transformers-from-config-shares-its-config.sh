#!/usr/bin/env bash
# transformers 5.23.0: AutoModel.from_config writes into the configuration that it is given, and models share it.
#
# Expected: the configuration is an input, so two models made from one are independent (from_pretrained copies what it
#   is given: "config = copy.deepcopy(config)").
# Happens: from_config keeps the very object. Options such as attn_implementation are written into it, so making a
#   second model switches the attention of the first, with no word and at once.
# Seen (torch 2.13.0, CPU):
#   first model before: sdpa
#   first model after a second one was made with eager: eager
#   the two share one configuration object: True
# Hurts: whoever compares attention implementations, or builds a model on the meta device beside a live one (counting
#   parameters, FLOPs), from the configuration that the live one holds. Copy it first: copy.deepcopy(model.config).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
from transformers import AutoModel, LlamaConfig

config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
)
first = AutoModel.from_config(config, attn_implementation="sdpa")
before = first.config._attn_implementation
second = AutoModel.from_config(config, attn_implementation="eager")
after = first.config._attn_implementation
print("first model before:", before)
print("first model after a second one was made with eager:", after)
print("the two share one configuration object:", first.config is second.config)
assert (before, after) == ("sdpa", "eager") and first.config is second.config, "this has changed"
PY
