"""Model FLOPs against the arithmetic that they follow from, and against what torch counts in real passes."""

import copy
import time

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

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
# Forward pass and training step over rows of 11 and 300 tokens by arithmetic: 2 FLOPs a matrix parameter and
# token, 4 x tokens x keys x heads x head dim a layer for attention, twice that backward where there is a
# gradient (Kaplan et al. 2020, arXiv 2001.08361, table 1; Chowdhery et al. 2022, PaLM, arXiv 2204.02311, B).
BY_ARITHMETIC = {
    "xglm-564M": {
        "finetune": (196_696_965_120, 590_090_895_360),
        "head": (196_696_965_120, 196_696_965_120),
        "layers": (197_155_553_280, 401_478_184_960),
        "input": (215_777_771_520, 441_376_210_944),
        "both": (216_280_596_480, 442_884_685_824),
        "hidden": (215_777_771_520, 441_376_210_944),
        "lora": (197_186_125_824, 401_569_265_664),
        "ia3": (196_696_965_120, 400_111_974_400),
        "adapter": (197_186_125_824, 395_145_633_792),
        "bitfit": (196_696_965_120, 402_253_185_024),
    },
    "gemma-3-270m": {
        "finetune": (69_012_430_848, 207_037_292_544),
        "head": (69_012_430_848, 69_012_430_848),
        "layers": (69_356_371_968, 144_895_553_536),
        "input": (75_749_695_488, 158_864_891_904),
        "both": (76_126_814_208, 159_996_248_064),
        "hidden": (75_749_695_488, 158_864_891_904),
        "lora": (69_241_724_928, 144_554_797_056),
        "ia3": (69_012_430_848, 143_873_284_096),
        "adapter": (69_241_724_928, 141_147_656_192),
        "bitfit": (69_012_430_848, 144_057_851_904),
    },
}


def flops_of(model, method):
    return weightless_task_model(model, num_labels=3, method=method).flops


@pytest.mark.parametrize("model", BY_ARITHMETIC)
@pytest.mark.parametrize("name", METHODS)
def test_the_count_is_that_of_the_arithmetic(model, name):
    flops = flops_of(model, METHODS[name])
    assert (flops.forward([11, 300]), flops.step([11, 300])) == BY_ARITHMETIC[model][name]


def test_a_forward_pass_takes_two_flops_a_parameter_and_token_and_the_products_of_attention():
    matrices = 24 * (4 * 1024**2 + 2 * 1024 * 4096)  # four projections and the feed-forward's two
    assert flops_of("xglm-564M", HeadOnly()).forward([10]) == 2 * matrices * 10 + 24 * 4 * 10 * 10 * 1024
    prompted = flops_of("xglm-564M", PromptSettings(length=15)).forward([10])
    assert prompted == 2 * matrices * 10 + 24 * 4 * 10 * 25 * 1024


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
    finetune = flops_of("xglm-564M", FinetuneSettings())
    assert finetune.step([40]) == 3 * finetune.forward([40])
    frozen = flops_of("xglm-564M", FinetuneSettings(train_embeddings=False))
    assert frozen == finetune  # the norms above a frozen embedding train
    prompt = flops_of("xglm-564M", PromptSettings(length=16))
    # Two of each product but the first layer's projections (1 % of the sum), and three of attention (1 %).
    assert prompt.step([40]) / prompt.forward([40]) == pytest.approx(2, rel=0.01)


def test_a_small_models_flops_are_counted_in_no_time():
    model = weightless_task_model("xglm-nano", num_labels=3, method=PromptSettings())
    started = time.process_time()
    first = model.flops
    assert time.process_time() - started < 1  # 0.15 s
    assert model.flops is first


CASES = {
    **METHODS,
    "last layer": PromptSettings(layers=1, length=4),
    "first layer": PromptSettings(layers=[1], length=4),
    "lora on all": LoraSettings(rank=2, targets="all"),
}


def built(folder, method, **options):
    backbone, tokenizer = load_backbone(str(folder), **options), load_tokenizer(str(folder))
    return build_task_model(backbone, tokenizer, num_labels=3, method=method, head=HeadSettings(), seed=0)


@pytest.mark.parametrize("family", ["tiny_xglm", "tiny_gemma", "tiny_llama"])
@pytest.mark.parametrize("case", CASES)
def test_torch_counts_the_same_in_a_real_step(family, case, request):
    """Exactly, once the head's products are taken off, which the count leaves out on purpose."""
    folder, method = request.getfixturevalue(family), CASES[case]
    model = built(folder, method)
    rows, length = 2, 11  # equal lengths: a padded row would be computed, and is not counted
    assert model.flops == flops_of(str(folder), method)
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
    assert model.flops == flops_of(str(tiny_xglm), METHODS[name])  # what is computed twice is needed once
    assert all(torch.equal(before[path], tensor) for path, tensor in model.state_dict().items())
    assert all(one.grad is None and one.device.type == "cpu" for one in model.parameters())
    assert all(module.training for module in model.modules())


def test_a_model_that_looks_at_the_values_it_computes_is_counted_with_its_weights(tiny_llama):
    model, plain = built(tiny_llama, PromptSettings(length=4)), built(tiny_llama, PromptSettings(length=4))
    model.backbone.model.register_forward_pre_hook(
        lambda _, __, given: int(given["position_ids"].max()) and None, with_kwargs=True
    )
    assert model.flops == plain.flops
