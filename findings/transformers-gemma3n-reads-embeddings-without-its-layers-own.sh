#!/usr/bin/env bash
# transformers 5.23.0: Gemma 3n's text model takes inputs_embeds alone, and leaves its per-layer embeddings out.
#
# Expected: hidden states of inputs_embeds=model.get_input_embeddings()(ids) are those of input_ids=ids, as of other
#   decoders, or an error says that the ids are needed.
# Happens: each layer adds an embedding of its own, which is looked up by the ids. Without ids it is left out, with no
#   word, and what is computed is another model. With freshly drawn weights nothing shows, since the scale of what is
#   added begins at zero, so a test on a model that was only initialized passes.
# Seen (torch 2.13.0, CPU; relative difference of hidden states):
#   weights as initialized: 0.0e+00
#   all weights drawn: 0.25
# Hurts: whoever gives embeddings in place of ids, as prompt tuning, adversarial training and attribution do.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import torch
from transformers import AutoModel, Gemma3nTextConfig

config = Gemma3nTextConfig(
    vocab_size=256,
    vocab_size_per_layer_input=256,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    hidden_size_per_layer_input=8,
    num_kv_shared_layers=0,
    laurel_rank=4,
    sliding_window=8,
    layer_types=["sliding_attention", "full_attention"] * 2,
    activation_sparsity_pattern=[0.0] * 4,
    pad_token_id=0,
)
torch.manual_seed(0)
model = AutoModel.from_config(config).eval()
ids = torch.randint(3, 256, (2, 12))


@torch.no_grad()
def difference():
    """Of the hidden states of embeddings from those of ids, by norms."""
    by_ids = model(input_ids=ids).last_hidden_state
    embedded = model(inputs_embeds=model.get_input_embeddings()(ids)).last_hidden_state
    return ((embedded - by_ids).norm() / by_ids.norm()).item()


fresh = difference()
with torch.no_grad():
    for weight in model.parameters():
        weight.normal_(0, 0.2) if weight.ndim > 1 else weight.add_(0.1 * torch.randn_like(weight))
drawn = difference()
print(f"weights as initialized: {fresh:.1e}")
print(f"all weights drawn: {drawn:.2f}")
assert fresh < 1e-5 and drawn > 0.2, "this has changed"
PY
