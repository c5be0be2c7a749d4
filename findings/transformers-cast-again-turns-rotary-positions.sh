#!/usr/bin/env bash
# transformers 5.23.0 (torch 2.13.0): a model loaded in bfloat16 and cast to bfloat16 once more has other rotary positions.
#
# Expected: `.to(torch.bfloat16)` on a model that `from_pretrained(dtype=torch.bfloat16)` gave changes nothing, as its
# weights are bfloat16 already.
# What happens: `from_pretrained` casts weights and leaves the buffers `inv_freq` in float32. `.to` casts buffers as well.
# The forward pass computes angles in float32, from frequencies that were rounded to eight bits; the error of an angle
# grows with the position. Nothing warns, and `.float()` does not bring the lost digits back.
# Whom it hurts: who moves device and precision in one call, or wraps the model in a module that is cast as a whole.
# Llama, Gemma, Qwen, Mistral, Phi and other rotary decoders are affected; short texts hardly, long ones, or languages
# that a tokenizer cuts finely, more.
#
# Seen:
#   from_pretrained: inv_freq torch.float32, weights torch.bfloat16
#   cast once more:  inv_freq torch.bfloat16
#   an angle at position 511 is off by up to 0.63 radians
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 numpy
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import torch
from transformers import AutoModel, LlamaConfig

config = LlamaConfig(
    vocab_size=64, hidden_size=256, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, head_dim=128
)
AutoModel.from_config(config).save_pretrained("model")
model = AutoModel.from_pretrained("model", dtype=torch.bfloat16)
exact = model.rotary_emb.inv_freq.clone()
print(f"from_pretrained: inv_freq {exact.dtype}, weights {model.embed_tokens.weight.dtype}")
model.to(torch.bfloat16)
rounded = model.rotary_emb.inv_freq
print(f"cast once more:  inv_freq {rounded.dtype}")
off = (511 * (rounded.float() - exact)).abs().max().item()
print(f"an angle at position 511 is off by up to {off:.2f} radians")
assert exact.dtype == torch.float32 and rounded.dtype == torch.bfloat16, "no longer so"
assert off > 0.3, "no longer so"
PYTHON
