"""Model FLOPs against the arithmetic that they follow from, and against what torch counts in real passes."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import MixtralConfig

from xlprompt.models import (
    AdapterSettings,
    BitfitSettings,
    FinetuneSettings,
    HeadOnly,
    HeadSettings,
    Ia3Settings,
    LoraSettings,
    PromptSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
)
from xlprompt.models.pretrained.known import KNOWN_MODELS, canonical_name
from xlprompt.models.task_model import weightless_task_model

METHODS = {
    "finetune": FinetuneSettings(),
    "head": HeadOnly(),
    **{scheme: PromptSettings(scheme=scheme) for scheme in ("layers", "input", "both", "hidden")},
    "lora": LoraSettings(),
    "ia3": Ia3Settings(),
    "adapter": AdapterSettings(),
    "bitfit": BitfitSettings(add=True),
}
# Forward pass and training step of two layers over rows of 11 and 300 tokens, by arithmetic: 2 FLOPs a matrix
# parameter and token, 4 x tokens x keys x heads x head dim a layer for attention, twice that backward where
# there is a gradient (Kaplan et al. 2020, arXiv 2001.08361, table 1; PaLM, arXiv 2204.02311, appendix B).
BY_ARITHMETIC = {
    "xglm-564M": {
        "finetune": (16_391_413_760, 49_174_241_280),
        "head": (16_391_413_760, 16_391_413_760),
        "layers": (16_429_629_440, 31_484_981_248),
        "input": (17_981_480_960, 36_781_350_912),
        "both": (18_023_383_040, 36_907_057_152),
        "hidden": (17_981_480_960, 36_781_350_912),
        "lora": (16_432_177_152, 31_491_987_456),
        "ia3": (16_391_413_760, 31_379_888_128),
        "adapter": (16_432_177_152, 25_068_355_584),
        "bitfit": (16_391_413_760, 33_521_098_752),
    },
    "gemma-3-270m": {
        "finetune": (7_668_047_872, 23_004_143_616),
        "head": (7_668_047_872, 7_668_047_872),
        "layers": (7_706_263_552, 15_383_441_408),
        "input": (8_416_632_832, 17_651_654_656),
        "both": (8_458_534_912, 17_777_360_896),
        "hidden": (8_416_632_832, 17_651_654_656),
        "lora": (7_693_524_992, 15_348_410_368),
        "ia3": (7_668_047_872, 15_278_348_288),
        "adapter": (7_693_524_992, 11_941_269_504),
        "bitfit": (7_668_047_872, 15_462_916_096),
    },
}
WHOLE = {"xglm-564M": (197_155_553_280, 401_478_184_960), "gemma-3-270m": (69_356_371_968, 144_895_553_536)}


def flops_of(model, method):
    """Of rows that are read at every token, of which the whole last layer is computed."""
    return weightless_task_model(model, num_labels=3, method=method).dense_flops


def test_the_last_layer_of_a_row_that_is_read_once_counts_keys_and_values_and_one_token():
    model = weightless_task_model("xglm-564M", num_labels=3, method=PromptSettings(length=15))
    length, width = 40, 1024
    spared = (2 * width**2 + 2 * width * 4096) * 2 + 4 * (length + 15) * width  # of each token but one
    saved = (length - 1) * spared
    assert model.dense_flops.forward([length]) - model.flops.forward([length]) == saved


@pytest.mark.parametrize("model", BY_ARITHMETIC)
def test_the_count_of_every_method_is_that_of_the_arithmetic(model, tmp_path):
    config = KNOWN_MODELS[canonical_name(model)]()
    config.num_hidden_layers = 2
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:2]
    config.save_pretrained(tmp_path)
    counts = {name: flops_of(str(tmp_path), method) for name, method in METHODS.items()}
    found = {name: (flops.forward([11, 300]), flops.step([11, 300])) for name, flops in counts.items()}
    assert found == BY_ARITHMETIC[model]


@pytest.mark.parametrize("model", WHOLE)
def test_the_count_of_a_whole_model_with_a_prompt_is_that_of_the_arithmetic(model):
    flops = flops_of(model, PromptSettings())
    assert (flops.forward([11, 300]), flops.step([11, 300])) == WHOLE[model]


def test_a_forward_pass_takes_two_flops_a_parameter_and_token_and_the_products_of_attention():
    matrices = 24 * (4 * 1024**2 + 2 * 1024 * 4096)  # four projections and the feed-forward's two
    assert flops_of("xglm-564M", HeadOnly()).forward([10]) == 2 * matrices * 10 + 24 * 4 * 10 * 10 * 1024
    prompted = flops_of("xglm-564M", PromptSettings(length=15)).forward([10])
    assert prompted == 2 * matrices * 10 + 24 * 4 * 10 * 25 * 1024


def test_of_a_mixture_the_experts_count_that_work_on_a_token(tmp_path):
    width, inner, experts, working = 64, 32, 8, 2
    MixtralConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        num_local_experts=experts,
        num_experts_per_tok=working,
    ).save_pretrained(tmp_path)
    matrices = 2 * (4 * width**2 + experts * width + working * 3 * width * inner)
    forward = 2 * matrices * 10 + 2 * 4 * 10 * 10 * width
    assert flops_of(str(tmp_path), HeadOnly()).forward([10]) == forward
    assert flops_of(str(tmp_path), FinetuneSettings()).step([10]) == 3 * forward


def test_rows_add_up_so_that_padding_is_no_work():
    flops = flops_of("xglm-nano", HeadOnly()).forward
    assert flops([10, 7]) == flops([10]) + flops([7])
    assert flops(np.array([10, 7], dtype=np.int32)) == flops([10, 7])
    assert flops([]) == flops([0]) == 0


def test_slots_that_run_as_tokens_count_as_tokens():
    plain = flops_of("xglm-nano", HeadOnly()).forward
    for scheme in ("input", "hidden"):
        assert flops_of("xglm-nano", PromptSettings(scheme=scheme, length=15)).forward([10]) == plain([25])
    both, layers = (
        flops_of("xglm-nano", PromptSettings(scheme=scheme, length=15)) for scheme in ("both", "layers")
    )
    assert both.forward([10]) == layers.forward([25])


def test_fine_tuning_takes_three_forward_passes_and_a_prompt_about_two():
    finetune = flops_of("xglm-nano", FinetuneSettings())
    assert finetune.step([40]) == 3 * finetune.forward([40])
    frozen = flops_of("xglm-nano", FinetuneSettings(train_embeddings=False))
    assert frozen == finetune  # the norms above a frozen embedding train
    prompt = flops_of("xglm-564M", PromptSettings(length=16))
    # Two of each product but the first layer's projections (1 % of the sum), and three of attention (1 %).
    assert prompt.step([40]) / prompt.forward([40]) == pytest.approx(2, rel=0.01)


def test_a_models_flops_are_counted_once():
    model = weightless_task_model("xglm-nano", num_labels=3, method=PromptSettings())
    assert model.flops is model.flops


CASES = {
    **METHODS,
    "last layer": PromptSettings(layers=1, length=4),
    "first layer": PromptSettings(layers=[1], length=4),
    "lora on all": LoraSettings(rank=2, targets="all"),
}


def built(folder, method, **options):
    backbone, tokenizer = load_backbone(str(folder), **options), load_tokenizer(str(folder))
    return build_task_model(backbone, tokenizer, num_labels=3, method=method, head=HeadSettings(), seed=0)


@pytest.mark.parametrize("case", CASES)
def test_a_model_without_weights_counts_as_the_real_one(case, tiny_gemma):
    assert built(tiny_gemma, CASES[case]).dense_flops == flops_of(str(tiny_gemma), CASES[case])


@pytest.mark.parametrize("family", ["tiny_xglm", "tiny_gemma", "tiny_llama"])
@pytest.mark.parametrize("case", CASES)
def test_torch_counts_the_same_in_a_real_step(family, case, request):
    """Exactly, once the head's products are taken off, which the count leaves out on purpose."""
    folder, method = request.getfixturevalue(family), CASES[case]
    model = built(folder, method)
    rows, length = 2, 11  # equal lengths: a padded row would be computed, and is not counted
    where = torch.arange(rows)
    with FlopCounterMode(display=False) as counter:
        logits = model(torch.ones(rows, length, dtype=torch.long), where, where + 2)
        forward = counter.get_total_flops()
        functional.cross_entropy(logits, where).backward()
    head = 2 * rows * 3 * model.backbone.hidden_size
    backward = 1 if case == "head" else 2  # its states have no gradient where nothing else trains
    assert forward - head == model.flops.forward([length] * rows)
    assert counter.get_total_flops() - (1 + backward) * head == model.flops.step([length] * rows)


@pytest.mark.parametrize("name", ["finetune", "layers", "lora"])
def test_counting_leaves_weights_gradients_and_modes_as_they_are(name, tiny_xglm):
    model = built(tiny_xglm, METHODS[name], gradient_checkpointing=True, dropout="pretrained").train()
    before = copy.deepcopy(model.state_dict())
    assert model.dense_flops == flops_of(
        str(tiny_xglm), METHODS[name]
    )  # what is computed twice is needed once
    assert all(torch.equal(before[path], tensor) for path, tensor in model.state_dict().items())
    assert all(one.grad is None and one.device.type == "cpu" for one in model.parameters())
    assert all(module.training for module in model.modules())


def test_a_model_that_looks_at_the_values_it_computes_is_counted_with_its_weights(tiny_llama):
    model, plain = built(tiny_llama, PromptSettings(length=4)), built(tiny_llama, PromptSettings(length=4))
    model.backbone.model.register_forward_pre_hook(
        lambda _, __, given: int(given["position_ids"].max()) and None, with_kwargs=True
    )
    assert model.flops == plain.flops
