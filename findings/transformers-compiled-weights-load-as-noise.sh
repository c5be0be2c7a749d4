#!/usr/bin/env bash
# transformers 5.23.0, safetensors 0.8.0: weights saved from a compiled or wrapped model load as random numbers.
#
# Expected: from_pretrained either strips the prefix that torch.compile (`_orig_mod.`) and DistributedDataParallel
#   (`module.`) put before every name, as accelerate and Lightning do, or refuses a file of which no name fits.
# Happens: it returns a model of fresh random weights. The only sign is a table in the log (LOAD REPORT), which models
#   whose unneeded head was left out print as well; with logging.set_verbosity_error() there is none. Two loads differ.
#   The prefix `model.` of a model with a head is stripped, so that not every prefix does this.
# Seen (torch 2.13.0, CPU):
#   _orig_mod.: weights as saved False, two loads equal False
#   module.: weights as saved False, two loads equal False
#   model.: weights as saved True, two loads equal True
# Hurts: whoever saves `compiled.state_dict()` beside a config.json and then tunes or scores the folder: training a
#   prompt on noise ends without an error. xlprompt refuses such a folder (xlprompt.models, loading).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 safetensors==0.8.0
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModel, LlamaConfig

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
)
AutoModel.from_config(config).save_pretrained("model")
file = "model/model.safetensors"
saved = load_file(file)
wanted = saved["embed_tokens.weight"]
seen = {}
for prefix in ("_orig_mod.", "module.", "model."):
    save_file({prefix + name: tensor for name, tensor in saved.items()}, file, {"format": "pt"})
    one, two = (AutoModel.from_pretrained("model").embed_tokens.weight for _ in range(2))
    seen[prefix] = torch.equal(one, wanted), torch.equal(one, two)
    print(f"{prefix}: weights as saved {seen[prefix][0]}, two loads equal {seen[prefix][1]}")
assert seen == {"_orig_mod.": (False, False), "module.": (False, False), "model.": (True, True)}, "this has changed"
PY
