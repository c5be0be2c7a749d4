#!/usr/bin/env bash
# peft 0.21.2 with transformers 5.23.0: prompt tuning of XGLM fails for want of num_attention_heads, which it never uses.
#
# Expected: prompt tuning puts vectors in front of the embedded text, one matrix of virtual tokens by hidden size. Heads
#   have no part in it, so it works on XGLM as on GPT-2.
# Happens: PEFT looks for the number of heads in the configuration under names that XGLM does not have (it says
#   attention_heads), and raises before it knows that nothing needs it. Any number satisfies it: 1 and 1000 give the
#   same parameters.
# Seen (torch 2.13.0, CPU):
#   GPT-2: made without a word on heads
#   XGLM: Please specify `num_attention_heads` in `peft_config`
#   XGLM, num_attention_heads 1 and 1000: [[(3, 32)], [(3, 32)]]
# Hurts: whoever tunes prompts of XGLM, and looks for the right number; or writes one that then stands in
#   adapter_config.json as if it meant something.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - <<'PY'
from peft import PromptTuningConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, XGLMConfig, XGLMForCausalLM

size = {"num_layers": 1, "attention_heads": 2, "d_model": 32, "ffn_dim": 64, "vocab_size": 64}
asked = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
get_peft_model(GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=64)), asked)
print("GPT-2: made without a word on heads")
try:
    get_peft_model(XGLMForCausalLM(XGLMConfig(**size)), PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))
    said = None
except ValueError as error:
    said = str(error)
print("XGLM:", said)
shapes = []
for heads in (1, 1000):
    config = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM", num_attention_heads=heads)
    model = get_peft_model(XGLMForCausalLM(XGLMConfig(**size)), config)
    shapes.append([tuple(p.shape) for p in model.parameters() if p.requires_grad])
print("XGLM, num_attention_heads 1 and 1000:", shapes)
assert said is not None and "num_attention_heads" in said and shapes[0] == shapes[1] == [(3, 32)], "this has changed"
PY
