"""Model FLOPs against arithmetic by hand, and against what torch counts in real passes."""

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from xlprompt.models import (
    AdapterSettings,
    BitfitSettings,
    FinetuneSettings,
    HeadSettings,
    Ia3Settings,
    LoraSettings,
    PromptSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
)
from xlprompt.models.accounting.flops import ComputeShape, compute_shape, forward_flops, step_flops
from xlprompt.models.pretrained.examination import examine

XGLM = ComputeShape(
    matmul_params=24 * (4 * 1024**2 + 2 * 1024 * 4096),  # four projections and the feed-forward's two
    num_layers=24,
    num_heads=16,
    num_kv_heads=16,
    head_dim=64,
    hidden_size=1024,
    biased_norms=True,
)


def test_the_shape_of_the_smallest_xglm_is_read_without_weights_and_leaves_the_embedding_out():
    assert compute_shape(examine("xglm-564M").model) == XGLM
    assert XGLM.matmul_params == 301_989_888


def test_a_grouped_models_shape_has_its_own_number_of_key_value_heads():
    shape = compute_shape(examine("gemma-3-270m").model)
    assert (shape.num_heads, shape.num_kv_heads, shape.head_dim) == (4, 1, 256)
    attention = 640 * 4 * 256 + 2 * 640 * 256 + 4 * 256 * 640
    assert shape.matmul_params == 18 * (attention + 3 * 640 * 2048) == 100_270_080


def test_a_forward_pass_takes_two_flops_a_parameter_and_token_and_the_products_of_attention():
    assert forward_flops(XGLM, [10]) == 2 * 301_989_888 * 10 + 24 * 4 * 10 * 10 * 1024
    prompted = forward_flops(XGLM, [10], PromptSettings(length=15))
    assert prompted == 2 * 301_989_888 * 10 + 24 * 4 * 10 * 25 * 1024


def test_rows_add_up_so_that_padding_is_no_work():
    assert forward_flops(XGLM, [10, 7]) == forward_flops(XGLM, [10]) + forward_flops(XGLM, [7])
    assert forward_flops(XGLM, []) == 0


def test_slots_that_run_as_tokens_count_as_tokens():
    for scheme in ("input", "hidden"):
        prompt = PromptSettings(scheme=scheme, length=15)
        assert forward_flops(XGLM, [10], prompt) == forward_flops(XGLM, [25])
    both = forward_flops(XGLM, [10], PromptSettings(scheme="both", length=15))
    assert both == forward_flops(XGLM, [25], PromptSettings(length=15))


def test_fine_tuning_takes_three_forward_passes_and_a_prompt_about_two():
    forward = forward_flops(XGLM, [40])
    assert step_flops(XGLM, [40], method="finetune") == 3 * forward
    prompt = PromptSettings(length=16)
    step = step_flops(XGLM, [40], method="prompt", prompt=prompt)
    # Two of each product but the first layer's projections (1 % of the sum), and three of attention (1 %).
    assert step / forward_flops(XGLM, [40], prompt) == pytest.approx(2, rel=0.01)


CASES = {
    "finetune": {"finetune": FinetuneSettings()},
    "head": {},
    **{
        scheme: {"prompt": PromptSettings(scheme=scheme, length=4)}
        for scheme in ("layers", "input", "both", "hidden")
    },
    "last layer": {"prompt": PromptSettings(layers=1, length=4)},
    "first layer": {"prompt": PromptSettings(layers=[1], length=4)},
    "lora": {"adaptation": LoraSettings(rank=2)},
    "lora on all": {"adaptation": LoraSettings(rank=2, targets="all")},
    "ia3": {"adaptation": Ia3Settings()},
    "adapter": {"adaptation": AdapterSettings(width=3)},
    "bitfit": {"adaptation": BitfitSettings(add=True)},
}


@pytest.mark.parametrize("family", ["tiny_xglm", "tiny_gemma", "tiny_llama"])
@pytest.mark.parametrize("case", CASES)
def test_torch_counts_the_same_in_a_real_step(family, case, request):
    """Exactly, once the head's products are taken off, which the count leaves out on purpose."""
    folder = str(request.getfixturevalue(family))
    options = {"prompt": None, "adaptation": None, **CASES[case]}
    model = build_task_model(
        load_backbone(folder), load_tokenizer(folder), num_labels=3, head=HeadSettings(), seed=0, **options
    )
    rows, length = 2, 11  # equal lengths: a padded row would be computed, and is not counted
    shape = compute_shape(model.backbone.model, options["adaptation"])
    assert shape == compute_shape(examine(folder).model, options["adaptation"])
    where = torch.arange(rows)
    with FlopCounterMode(display=False) as counter:
        logits = model(torch.ones(rows, length, dtype=torch.long), where, where + 2)
        forward = counter.get_total_flops()
        functional.cross_entropy(logits, where).backward()
    head = 2 * rows * 3 * model.backbone.hidden_size
    backward = 1 if case == "head" else 2  # its states have no gradient where nothing else trains
    assert forward - head == forward_flops(shape, [length] * rows, options["prompt"])
    expected = step_flops(
        shape,
        [length] * rows,
        method=model.method,
        prompt=options["prompt"],
        adaptation=options["adaptation"],
    )
    assert counter.get_total_flops() - (1 + backward) * head == expected
