#!/usr/bin/env bash
# torch 2.13.0, transformers 5.23.0: functional_call leaves the tensors that it was given in a module that is
# registered under two names.
#
# Expected: functional_call(model, parameters, inputs) is a call with other parameters; the model is as before.
# Happens: where a submodule has two names (a wrapper that keeps `model` and, for short, `model.layers`), the given
#   tensors stay in it, which are no nn.Parameters: the model computes other logits from then on, with no error. A
#   parameter that two modules share, as an embedding and its tied head do, is put back.
# Seen (CPU):
#   tied embedding and head: logits as before True
#   layers under a second name: logits as before False, a weight is a Tensor now
#   the same with tie_weights=False: logits as before True
# Hurts: meta-learning, per-example gradients, and counts of FLOPs on decoders that somebody wrapped.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import torch
from torch import nn
from torch.func import functional_call
from transformers import LlamaConfig, LlamaForCausalLM


class Wrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.layers = model, model.model.layers

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model(ids).logits


def llama(*, tied: bool) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).eval()


def call_with_zeros(module: nn.Module, **options: bool) -> bool:
    """Whether the module computes after it what it did before."""
    ids = torch.arange(5)[None]
    before = module(ids)
    zeros = {name: torch.zeros_like(value) for name, value in module.named_parameters()}
    functional_call(module, zeros, (ids,), **options)
    after = module(ids)
    return torch.equal(getattr(before, "logits", before), getattr(after, "logits", after))


tied = call_with_zeros(llama(tied=True))
print("tied embedding and head: logits as before", tied)
wrapper = Wrapper(llama(tied=False))
same = call_with_zeros(wrapper)
kind = type(wrapper.layers[0].self_attn.q_proj.weight).__name__
print(f"layers under a second name: logits as before {same}, a weight is a {kind} now")
untied = call_with_zeros(Wrapper(llama(tied=False)), tie_weights=False)
print("the same with tie_weights=False: logits as before", untied)
assert (tied, same, kind, untied) == (True, False, "Tensor", True), "this has changed"
PY
