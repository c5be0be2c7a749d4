"""Prompt schemes, their initialisation and what they cost."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from xlprompt.models import (
    HeadOnly,
    HeadSettings,
    ModelError,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
)

SCHEMES = ["layers", "input", "both", "hidden"]
FOLDERS = ["tiny_xglm", "tiny_gemma", "tiny_llama"]


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def task_model(folder: Path, *, seed: int = 0, **settings: object) -> TaskModel:
    backbone = load_backbone(str(folder), dtype="float32")
    tokenizer = load_tokenizer(str(folder))
    prompt = PromptSettings(**{"length": 4, **settings})
    return build_task_model(
        backbone, tokenizer, num_labels=3, method=prompt or HeadOnly(), head=HeadSettings(), seed=seed
    )


def readout(model: TaskModel, ids: Tensor) -> Tensor:
    rows = torch.arange(len(ids))
    return model(ids, rows, torch.full_like(rows, ids.shape[1] - 1))


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(4, 100, (2, 12), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_only_prompt_and_head_train(folder: Path, ids: Tensor, scheme: str) -> None:
    model = task_model(folder, scheme=scheme)
    readout(model, ids).square().sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == set(model.trainable_state())
    for name in trained:
        gradient = model.get_parameter(name).grad
        assert gradient.dtype == torch.float32
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_slot_of_every_layer_gets_a_gradient(folder: Path, ids: Tensor, scheme: str) -> None:
    model = task_model(folder, scheme=scheme)
    rows = torch.arange(len(ids))
    # Read at the first token: its sliding window still holds slots that run as tokens.
    model(ids, rows, torch.zeros_like(rows)).square().sum().backward()
    for parameter in model.prompt_parameters():
        assert (parameter.grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_parameter_counts_follow_the_formulas(folder: Path, scheme: str) -> None:
    model = task_model(folder, scheme=scheme)
    of = model.backbone
    layers = 4 * 2 * of.num_layers * of.num_kv_heads * of.head_dim
    inputs = 4 * of.hidden_size
    expected = {"layers": layers, "input": inputs, "both": layers + inputs, "hidden": of.num_layers * inputs}
    budget = model.budget()
    assert budget.prompt_params == expected[scheme]
    assert budget.head_params == 3 * (of.hidden_size + 1)
    assert budget.total_params == sum(parameter.numel() for parameter in of.parameters())
    assert budget.trainable_params == budget.prompt_params + budget.head_params


@pytest.mark.parametrize("scheme", ["layers", "input", "hidden"])
def test_text_initialisation_acts_as_the_text_itself(folder: Path, ids: Tensor, scheme: str) -> None:
    model = task_model(folder, scheme=scheme, init="text", text="A woman reads a book.", length=6)
    tokenizer = load_tokenizer(str(folder))
    text = [
        *tokenizer("").input_ids,
        *tokenizer("A woman reads a book.", add_special_tokens=False).input_ids,
    ][:6]
    assert len(text) == 6
    with torch.no_grad():
        prompted = model.backbone(ids, model.prompts(torch.float32))
        running = torch.cat((torch.tensor([text, text]), ids), dim=1)
        whole = model.backbone(running)[:, 6:]
    if folder.name.startswith(
        "gemma"
    ):  # behind 8 tokens the text itself leaves the sliding window; a prompt never does
        prompted, whole = prompted[:, :2], whole[:, :2]
    torch.testing.assert_close(prompted, whole, atol=1e-5, rtol=0)


def test_a_short_text_is_repeated_to_the_prompts_length(tiny_xglm: Path) -> None:
    model = task_model(tiny_xglm, scheme="input", init="text", text="book", length=12)
    rows = model.prompts.input
    assert rows.shape == (12, 32)
    pieces = len(load_tokenizer(str(tiny_xglm))("book", add_special_tokens=False).input_ids)
    torch.testing.assert_close(rows[1], rows[1 + pieces])


def test_the_same_seed_gives_the_same_start_and_another_seed_another(tiny_xglm: Path) -> None:
    first, again, other = (task_model(tiny_xglm, seed=seed).trainable_state() for seed in (1, 1, 2))
    for name in first:
        assert torch.equal(first[name], again[name])
    assert not torch.equal(first["prompts.layers"], other["prompts.layers"])


def test_state_goes_out_and_in_unchanged(tiny_xglm: Path, ids: Tensor) -> None:
    source, target = task_model(tiny_xglm, seed=1), task_model(tiny_xglm, seed=2)
    target.load_trainable_state(source.trainable_state())
    with torch.no_grad():
        assert torch.equal(readout(source, ids), readout(target, ids))


def test_a_state_of_another_shape_is_refused(tiny_xglm: Path) -> None:
    state = task_model(tiny_xglm, length=5).trainable_state()
    with pytest.raises(ValueError, match="does not fit"):
        task_model(tiny_xglm, length=4).load_trainable_state(state)


def test_a_prompt_in_bfloat16_trains_in_float32(tiny_xglm: Path, ids: Tensor) -> None:
    backbone = load_backbone(str(tiny_xglm))
    tokenizer = load_tokenizer(str(tiny_xglm))
    model = build_task_model(
        backbone, tokenizer, num_labels=3, method=PromptSettings(length=4), head=HeadSettings(), seed=0
    )
    assert backbone.dtype == torch.bfloat16
    logits = readout(model, ids)
    logits.sum().backward()
    assert logits.dtype == model.prompts.layers.dtype == model.prompts.layers.grad.dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [{"length": 0}, {"scheme": "everywhere"}, {"std": 0}, {"lenght": 4}, {"init": "text", "text": ""}],
)
def test_settings_refuse_what_makes_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PromptSettings(**settings)


def test_naming_every_layer_is_the_same_as_all_of_them(folder: Path, ids: Tensor) -> None:
    whole = task_model(folder)
    number = whole.backbone.num_layers
    for layers in (number, [*range(1, number + 1)]):
        named = task_model(folder, layers=layers)
        with torch.no_grad():
            assert torch.equal(readout(named, ids), readout(whole, ids))


@pytest.mark.parametrize(("layers", "chosen"), [(1, (2,)), ([1], (0,)), (2, (1, 2)), ([1, 3], (0, 2))])
def test_only_the_chosen_layers_are_counted_and_get_a_prompt(
    tiny_xglm: Path, ids: Tensor, layers: int | list[int], chosen: tuple[int, ...]
) -> None:
    model = task_model(tiny_xglm, layers=layers)
    of = model.backbone
    assert of.num_layers == 3
    assert model.budget().prompt_params == 4 * 2 * len(chosen) * of.num_kv_heads * of.head_dim
    budget = parameter_budget(str(tiny_xglm), num_labels=3, method=model.method, head=HeadSettings())
    assert budget == replace(model.budget(), model=budget.model)
    assert set(model.prompts(torch.float32).by_layer()) == set(chosen)
    readout(model, ids).square().sum().backward()
    assert (model.prompts.layers.grad.abs().sum(-1) > 0).all()


def test_a_layer_without_a_prompt_sees_the_text_alone(folder: Path, ids: Tensor) -> None:
    """The prompt stands in the last layer, so what enters that layer is what plain text gives."""
    model = task_model(folder, layers=1, shift_positions=False)
    entries: list[Tensor] = []
    model.backbone.decoder_layers[-1].register_forward_pre_hook(
        lambda _, arguments: entries.append(arguments[0])
    )
    with torch.no_grad():
        prompted = model.backbone(ids, model.prompts(torch.float32))
        plain = model.backbone(ids)
    assert torch.equal(*entries)
    assert not torch.allclose(prompted, plain)


def test_text_initialisation_starts_a_layer_as_it_starts_among_all(tiny_xglm: Path) -> None:
    whole = task_model(tiny_xglm, init="text").prompts.layers
    last = task_model(tiny_xglm, init="text", layers=1).prompts.layers
    assert torch.equal(last, whole[-1:])


def test_prompts_in_some_layers_and_at_the_input_work_together(tiny_xglm: Path, ids: Tensor) -> None:
    model = task_model(tiny_xglm, scheme="both", layers=[1], init="text")
    readout(model, ids).sum().backward()
    assert model.prompts.layers.shape[0] == 1
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.prompt_parameters())


@pytest.mark.parametrize("layers", [4, [1, 4]])
def test_layers_that_the_backbone_does_not_have_are_an_error(tiny_xglm: Path, layers: object) -> None:
    with pytest.raises(ModelError, match=r"has 3 layers, and prompt.layers asks for"):
        task_model(tiny_xglm, layers=layers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "hidden", "layers": 1}, "cannot be chosen with the scheme hidden"),
        ({"scheme": "input", "layers": [1]}, "cannot be chosen with the scheme input"),
        ({"layers": [2, 1]}, "lowest first"),
        ({"layers": [1, 1]}, "once each"),
        ({"layers": []}, "at least 1"),
        ({"layers": 0}, "greater than or equal to 1"),
    ],
)
def test_layers_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PromptSettings(**settings)


def test_a_state_of_some_layers_goes_out_and_in_and_fits_no_other_number(
    tiny_xglm: Path, ids: Tensor
) -> None:
    source, target = (task_model(tiny_xglm, layers=[1, 3], seed=seed) for seed in (1, 2))
    target.load_trainable_state(source.trainable_state())
    with torch.no_grad():
        assert torch.equal(readout(source, ids), readout(target, ids))
    with pytest.raises(ValueError, match="does not fit"):
        task_model(tiny_xglm).load_trainable_state(source.trainable_state())


def test_settings_stored_before_layers_could_be_chosen_mean_all_of_them(tiny_xglm: Path) -> None:
    stored = PromptSettings().model_dump()
    del stored["layers"]
    assert PromptSettings.model_validate(stored) == PromptSettings()
    state = task_model(tiny_xglm).trainable_state()  # named and shaped as in their checkpoints
    of = task_model(tiny_xglm).backbone
    assert state["prompts.layers"].shape == (of.num_layers, 2, of.num_kv_heads, 4, of.head_dim)
