#!/usr/bin/env bash
# PEFT 0.21.2 (transformers 5.23.0): (IA)3's default targets are keys, values and feed-forward for Llama and Mistral, and
# *queries*, values and feed-forward for Gemma 1 to 3, Qwen 2 and 3, Phi, OPT, GPT-J and Llama 4.
#
# Expected: (IA)3 rescales keys, values and the feed-forward's inner states, as its paper (Liu et al., 2022) has it,
# whatever the decoder is called.
# What happens: the table of default targets holds q_proj in the place of k_proj for these types. In Qwen 3 and Gemma 3
# an RMS norm stands behind q_proj, which takes a common factor of the vector out again: the vector trained there has a
# direction in which nothing changes. Where key-value heads are shared, more numbers train than for keys.
# Whom it hurts: who compares (IA)3 across model families, or counts its parameters, by defaults; and who folds a trained
# vector into the weights of keys. With `target_modules=["k_proj", "v_proj", "down_proj"]` all are alike.
#
# Seen:
#   llama: down_proj k_proj v_proj, 256 numbers; vectors of keys doubled: logits move by 2.6e+00
#   qwen3: down_proj q_proj v_proj, 320 numbers; vectors of queries doubled: logits move by 4.5e-06
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2 numpy
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import torch
from peft import IA3Config, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

SIZE = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "initializer_range": 0.3,
}
FIRST = {"llama": "k_proj", "qwen3": "q_proj"}
moved = {}
for family, first in FIRST.items():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZE)).eval()
    adapted = get_peft_model(model, IA3Config(task_type="CAUSAL_LM")).eval()
    vectors = {name: each for name, each in adapted.named_parameters() if each.requires_grad}
    targets = sorted({name.split(".ia3_l")[0].rpartition(".")[2] for name in vectors})
    assert first in targets, f"no longer so: {family} has {targets}"
    ids = torch.arange(1, 13)[None]
    with torch.no_grad():
        before = adapted(ids).logits
        for name, vector in vectors.items():
            if first in name:
                vector.mul_(2)
        moved[family] = (adapted(ids).logits - before).abs().max().item()
    what = "keys" if first == "k_proj" else "queries"
    print(
        f"{family}: {' '.join(targets)}, {sum(map(torch.numel, vectors.values()))} numbers; "
        f"vectors of {what} doubled: logits move by {moved[family]:.1e}"
    )
assert moved["llama"] > 1e-2, "Llama's no longer move"
assert moved["qwen3"] < 1e-4, "no longer so: Qwen 3's move"
PYTHON
