#!/usr/bin/env bash
# transformers 5.23.0 (gguf 0.19.0): a SmolLM tokenizer read from a GGUF file does not cut numbers into digits.
#
# Expected: the tokenizer of a GGUF file cuts text as the model's own does. SmolLM's and SmolLM2's cut off each digit
# before bytes are merged; the file says so by the name of its pre-tokenizer, "smollm".
# What happens: transformers reads tokens and merges and passes the pre-tokenizer's name over. The pre-tokenizer that
# comes out cuts by GPT-2's pattern alone, so digits stay together and merge where the vocabulary has a token of two.
# Whom it hurts: who takes SmolLM2 from a GGUF file, as its packages for local use hold it: numbers, and spaces before
# them, become other tokens than those that it was trained on. Nothing is said.
#
# Seen:
#   the file's pre-tokenizer: smollm
#   what was made of it: ByteLevel
#   "cat  24" is cut into: cat, Ġ, Ġ24 (SmolLM's rule: cat, ĠĠ, 2, 4)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 gguf==0.19.0 numpy
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from gguf import GGUFWriter
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoTokenizer

merges = [("c", "a"), ("ca", "t"), ("Ġ", "Ġ"), ("2", "4"), ("Ġ", "24")]
tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
tokens += ["".join(pair) for pair in merges]
writer = GGUFWriter("tiny.gguf", "llama")
writer.add_block_count(1)
writer.add_context_length(64)
writer.add_embedding_length(32)
writer.add_feed_forward_length(32)
writer.add_head_count(2)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_vocab_size(len(tokens))
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
writer.add_token_list(tokens)
writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
writer.add_token_merges([" ".join(pair) for pair in merges])
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_tensor("token_embd.weight", np.zeros((len(tokens), 32), np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

tokenizer = AutoTokenizer.from_pretrained(".", gguf_file="tiny.gguf")
made = tokenizer.backend_tokenizer.pre_tokenizer
found = tokenizer.tokenize("cat  24")
tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
right = tokenizer.tokenize("cat  24")
print("the file's pre-tokenizer: smollm")
print(f"what was made of it: {type(made).__name__}")
print(f'"cat  24" is cut into: {", ".join(found)} (SmolLM\'s rule: {", ".join(right)})')
assert "24" in "".join(found[-1:]), "no longer so: digits are cut"
assert right[-2:] == ["2", "4"]
PYTHON
