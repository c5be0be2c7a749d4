"""Gemma's fused norm is transformers' norm."""

import pytest
import torch
from transformers import Gemma3TextConfig, Gemma3TextModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm

from xlprompt.models.backbone.norms import FusedGemmaNorm, fuse_norms, rms_norm


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_fused_norm_and_its_gradients_equal_those_of_transformers(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = Gemma3RMSNorm(64).to(dtype)
    torch.nn.init.normal_(module.weight)
    states = torch.randn(3, 5, 64, dtype=dtype, requires_grad=True)
    upstream = torch.randn(3, 5, 64, dtype=dtype)
    results = []
    for output in (module(states), rms_norm(states, module.weight, module.eps)):
        gradients = torch.autograd.grad(output, (states, module.weight), upstream)
        results.append((output, *gradients))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_gemma_model_gets_fused_norms_with_the_weights_it_has() -> None:
    config = Gemma3TextConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    model = Gemma3TextModel(config)
    before, names = {name: tensor.clone() for name, tensor in model.state_dict().items()}, set()
    fuse_norms(model)
    for name, module in model.named_modules():
        if isinstance(module, Gemma3RMSNorm):
            assert isinstance(module, FusedGemmaNorm), name
            names.add(name.rpartition(".")[2])
    assert {"input_layernorm", "q_norm", "k_norm", "norm"} <= names
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
