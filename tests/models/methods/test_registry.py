"""LoRA, (IA)3, adapters and BitFit: against PEFT's own models, and what each of them may change."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel

from xlprompt.models import (
    METHODS,
    TRAINED_METHODS,
    AdapterSettings,
    BitfitSettings,
    FinetuneSettings,
    HeadOnly,
    HeadSettings,
    Ia3Settings,
    LoraSettings,
    Method,
    ModelError,
    PromptSettings,
    TaskModel,
    ZeroShotSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
)
from xlprompt.models.methods.projections import attention_inputs, is_inserted, leads_back

FAMILIES = ("tiny_xglm", "tiny_gemma", "tiny_llama")
ADAPTATIONS: dict[str, Method] = {
    "lora": LoraSettings(rank=3),
    "lora on all": LoraSettings(rank=3, targets="all"),
    "ia3": Ia3Settings(),
    "ia3 in attention": Ia3Settings(feed_forward=False),
    "adapter": AdapterSettings(width=5),
    "bitfit": BitfitSettings(add=True),
}
EVERY_METHOD: dict[str, Method] = {
    "prompt": PromptSettings(length=4),
    "finetune": FinetuneSettings(),
    "head": HeadOnly(),
    **ADAPTATIONS,
}
ROWS, COLUMNS = torch.tensor([0, 0, 1]), torch.tensor([2, 10, 4])


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def build(folder: Path, name: str, *, dtype: str = "float32", seed: int = 0, **options: bool) -> TaskModel:
    return build_task_model(
        load_backbone(str(folder), dtype=dtype, **options),
        load_tokenizer(str(folder)),
        num_labels=3,
        method=EVERY_METHOD[name],
        head=HeadSettings(),
        seed=seed,
    )


def ids(length: int = 11) -> Tensor:
    return torch.randint(4, 100, (2, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def moved_from_the_start(model: TaskModel) -> TaskModel:
    """The model after weights were changed as training might change them."""
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.add_(noise.to(parameter.dtype))
    return model


PEFT = {
    "lora": lambda back: LoraConfig(r=3, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    "ia3": lambda back: IA3Config(target_modules=["k_proj", "v_proj", back], feedforward_modules=[back]),
}


@pytest.mark.parametrize("moved", [False, True], ids=["at the start", "after training"])
@pytest.mark.parametrize("name", PEFT)
def test_logits_and_gradients_equal_pefts_given_the_same_weights(
    folder: Path, name: str, moved: bool
) -> None:
    ours = build(folder, name).train()
    if moved:
        moved_from_the_start(ours)
    base = AutoModel.from_pretrained(folder, dtype=torch.float32)
    for module in base.modules():
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    theirs = get_peft_model(base, PEFT[name](leads_back(base))).eval()
    own = dict(ours.named_parameters())
    trained = {path: parameter for path, parameter in theirs.named_parameters() if is_inserted(path)}
    assert len(trained) == len(ours.adapter_parameters()) > 0
    with torch.no_grad():
        for path, parameter in trained.items():
            parameter.copy_(own[path.replace("base_model.model.", "backbone.model.")])

    hidden = theirs(input_ids=ids(), attention_mask=torch.ones_like(ids())).last_hidden_state
    expected = ours.head(hidden[ROWS, COLUMNS])
    logits = ours(ids(), ROWS, COLUMNS)
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-4)
    functional.cross_entropy(expected, ROWS).backward()
    ours.zero_grad()
    functional.cross_entropy(logits, ROWS).backward()
    for path, parameter in trained.items():
        found = own[path.replace("base_model.model.", "backbone.model.")].grad
        torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_the_budget_from_a_configuration_is_that_of_the_built_model(folder: Path, name: str) -> None:
    model = build(folder, name, dtype="bfloat16")
    assert parameter_budget(str(folder), num_labels=3, method=EVERY_METHOD[name]) == model.budget()
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == model.budget().trainable_params
    assert model.method.name == name.partition(" ")[0]


def test_every_method_is_among_those_tested() -> None:
    assert {name.partition(" ")[0] for name in EVERY_METHOD} == set(TRAINED_METHODS)
    assert set(METHODS) - set(TRAINED_METHODS) == {"zeroshot"}


def test_a_method_that_trains_nothing_has_no_parameters_and_no_head(folder: Path) -> None:
    budget = parameter_budget(str(folder), num_labels=3, method=ZeroShotSettings())
    assert (budget.trainable_params, budget.head_params, budget.trainable_percent) == (0, 0, 0.0)


def test_the_defaults_train_about_as_much_as_the_papers_prompt() -> None:
    def params(method: Method) -> tuple[int, int]:
        budget = parameter_budget("xglm-564M", num_labels=3, method=method)
        return budget.trainable_params - budget.head_params, budget.total_params

    prompt, total = params(PromptSettings(length=15))
    # rank 8 beside queries and values; width 16; 1,024 + 1,024 + 4,096 scales a layer; 11 x 1,024 biases a
    # layer and the last norm's
    assert params(LoraSettings()) == (24 * 2 * 8 * 2048, total)
    assert params(AdapterSettings()) == (24 * (2 * 16 * 1024 + 16 + 1024), total)
    assert params(Ia3Settings()) == (24 * 6 * 1024, total)
    assert params(BitfitSettings()) == (24 * 11 * 1024 + 1024, total)
    assert params(HeadOnly()) == (0, total)
    assert params(LoraSettings())[0] == pytest.approx(prompt, rel=0.1)
    assert params(AdapterSettings())[0] == pytest.approx(prompt, rel=0.11)


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_changes_before_the_first_step(folder: Path, name: str, dtype: str) -> None:
    adapted, bare = (build(folder, which, dtype=dtype).eval() for which in (name, "head"))
    with torch.no_grad():
        # Bit for bit, but for XGLM's frozen projections, which are one product in the bare model.
        expected = bare(ids(), ROWS, COLUMNS)
        tolerance = 1e-5 if dtype == "float32" else 0.05
        torch.testing.assert_close(adapted(ids(), ROWS, COLUMNS), expected, atol=tolerance, rtol=0)
        moved_from_the_start(adapted)
        assert (adapted(ids(), ROWS, COLUMNS) - expected).abs().max() > 0.05


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_gradients_arrive_at_what_trains_and_nowhere_else(folder: Path, name: str) -> None:
    model = moved_from_the_start(build(folder, name, dtype="bfloat16")).train()
    functional.cross_entropy(model(ids(), ROWS, COLUMNS), ROWS).backward()
    for path, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, path
    light = {"prompt", "head"} | {each for each in ADAPTATIONS if each != "bitfit"}
    if name in light:
        assert model.backbone_parameters() == []
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_gradient_checkpointing_changes_no_gradient(folder: Path, name: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = moved_from_the_start(build(folder, name, gradient_checkpointing=checkpointing)).train()
        functional.cross_entropy(model(ids(), ROWS, COLUMNS), ROWS).backward()
        gradients.append({path: p.grad for path, p in model.named_parameters() if p.requires_grad})
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_the_same_seed_starts_the_same_and_another_one_elsewhere(tiny_gemma: Path, name: str) -> None:
    first = build(tiny_gemma, name).trainable_state()
    torch.manual_seed(7)  # nothing is drawn from torch's own generator
    before = torch.random.get_rng_state()
    again = build(tiny_gemma, name).trainable_state()
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.keys() == again.keys()
    assert all(torch.equal(first[path], again[path]) for path in first)
    other = build(tiny_gemma, name, seed=1).trainable_state()
    assert not torch.equal(first["head.weight"], other["head.weight"])
    drawn = [path for path in first if "lora_A" in path or path.endswith("down_weight")]
    assert bool(drawn) == (name.startswith("lora") or name == "adapter")
    assert not any(torch.equal(first[path], other[path]) for path in drawn)


def test_without_a_prompt_every_method_starts_with_the_same_head(tiny_xglm: Path) -> None:
    heads = [build(tiny_xglm, name).head.weight for name in EVERY_METHOD if name != "prompt"]
    assert all(torch.equal(heads[0], head) for head in heads)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_what_was_trained_can_be_put_into_a_fresh_model(tiny_xglm: Path, name: str) -> None:
    trained = moved_from_the_start(build(tiny_xglm, name)).eval()
    fresh = build(tiny_xglm, name, seed=5).eval()
    fresh.load_trainable_state(trained.trainable_state())
    with torch.no_grad():
        assert torch.equal(trained(ids(), ROWS, COLUMNS), fresh(ids(), ROWS, COLUMNS))


def test_scales_and_prompts_are_not_decayed_and_lora_matrices_are(tiny_xglm: Path) -> None:
    shapes = {
        name: [tuple(one.shape) for one in build(tiny_xglm, name).undecayed_parameters()]
        for name in EVERY_METHOD
    }
    assert shapes["ia3"] == 3 * [(32, 1), (32, 1), (1, 64)]
    assert shapes["prompt"] == [(3, 2, 4, 4, 8)]
    assert not any(found for name, found in shapes.items() if not name.startswith(("ia3", "prompt")))


def test_lora_drops_what_its_update_reads_while_training_only(tiny_xglm: Path) -> None:
    model = build_task_model(
        load_backbone(str(tiny_xglm), dtype="float32"),
        load_tokenizer(str(tiny_xglm)),
        num_labels=3,
        method=LoraSettings(dropout=0.5),
        head=HeadSettings(),
        seed=0,
    )
    moved_from_the_start(model)
    with torch.no_grad():
        twice = [model.train()(ids(), ROWS, COLUMNS) for _ in range(2)]
        assert not torch.equal(*twice)
        twice = [model.eval()(ids(), ROWS, COLUMNS) for _ in range(2)]
        assert torch.equal(*twice)


def test_bitfit_trains_the_biases_of_norms_too_and_no_weight(tiny_xglm: Path) -> None:
    model = build(tiny_xglm, "bitfit")
    trained = {path for path, parameter in model.named_parameters() if parameter.requires_grad}
    layer = "backbone.model.layers.0."
    own = {path.removeprefix(layer) for path in trained if path.startswith(layer)}
    attention = {f"self_attn.{name}_proj.bias" for name in ("q", "k", "v", "out")}
    norms = {"self_attn_layer_norm.bias", "final_layer_norm.bias"}
    assert own == attention | norms | {"fc1.bias", "fc2.bias"}
    assert trained - {path for path in trained if path.startswith("backbone.model.layers.")} == {
        "backbone.model.layer_norm.bias",
        "head.weight",
        "head.bias",
    }


def test_bitfit_on_a_backbone_without_biases_says_what_to_do(tiny_gemma: Path) -> None:
    message = "has no bias terms for BitFit to train. Set bitfit.add to true"
    with pytest.raises(ModelError, match=message):
        parameter_budget(str(tiny_gemma), num_labels=3, method=BitfitSettings())
    with pytest.raises(ModelError, match=message):
        build_task_model(
            load_backbone(str(tiny_gemma)),
            load_tokenizer(str(tiny_gemma)),
            num_labels=3,
            method=BitfitSettings(),
            head=HeadSettings(),
            seed=0,
        )


def test_a_backbone_without_the_layers_that_a_method_needs_is_refused() -> None:
    model = nn.ModuleDict({"mixer": nn.Linear(4, 12)})
    with pytest.raises(ModelError, match="no linear layers called q_proj, v_proj"):
        attention_inputs(model, ("q_proj", "v_proj"))
    with pytest.raises(ModelError, match="no linear layer called down_proj, fc2"):
        leads_back(model)


def test_peft_is_imported_by_nothing_but_lora_and_ia3() -> None:
    program = (
        "import sys, xlprompt.models as m\n"
        "m.parameter_budget('xglm-564M', num_labels=3, method=m.AdapterSettings())\n"
        "assert 'peft' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
