"""Hidden states, prompts and FLOPs of every architecture against transformers', PEFT's and torch's own."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, METHODS, make_architecture
from peft import PrefixTuningConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, AutoModelForCausalLM, BloomConfig, BloomPreTrainedModel, PreTrainedModel
from transformers.models.bloom.modeling_bloom import build_alibi_tensor as bloom_alibi
from transformers.models.falcon.modeling_falcon import build_alibi_tensor as falcon_alibi

from xlprompt.models import (
    Backbone,
    HeadSettings,
    ModelError,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
)
from xlprompt.models.backbone import backbone as backbone_module
from xlprompt.models.backbone import own_attention
from xlprompt.models.backbone.probes import probe_shape
from xlprompt.models.backbone.prompt_tensors import PromptTensors
from xlprompt.models.backbone.text_tree import TextTree
from xlprompt.models.pretrained.examination import examine_config

TOLERANCE = 1e-5
SLOTS = 5
ALIBI = {"BLOOM": bloom_alibi, "Falcon, ALiBi": falcon_alibi}
OWN_ATTENTION = ("XGLM", "BLOOM", "Falcon, multi-query", "Falcon, ALiBi", "GPT-Neo", "GPT-J", "CodeGen")


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @functools.cache
    def make(name: str) -> Path:
        return make_architecture(name, tmp_path_factory.mktemp("architecture"))

    return make


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(name: str, folder_of: Callable[[str], Path]) -> Path:
    return folder_of(name)


@pytest.fixture
def ids() -> Tensor:
    """Longer than any window here."""
    return torch.randint(4, 99, (3, 20), generator=torch.Generator().manual_seed(1))


def loaded(folder: Path, **options: Any) -> Backbone:
    return load_backbone(str(folder), **{"dtype": "float32", **options}).eval()


@functools.cache
def once_loaded(folder: Path) -> Backbone:
    """For tests that change nothing of it."""
    return loaded(folder)


def reference(name: str, folder: Path, kind: Any = AutoModel) -> PreTrainedModel:
    attention = ARCHITECTURES[name].reference
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


def random_prompt(of: Backbone, *, scale: float = 1.0) -> Tensor:
    shape = (of.num_layers, 2, of.num_kv_heads, SLOTS, of.head_dim)
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(2))


def by_peft(name: str, folder: Path, prompt: Tensor, ids: Tensor) -> Tensor:
    """Hidden states of PEFT's prefix tuning with `prompt` laid into its own parameter."""
    model = reference(name, folder, AutoModelForCausalLM)
    if name == "Falcon, new architecture":  # which caches a key and a value for each head
        prompt = prompt.repeat_interleave(model.config.num_attention_heads // prompt.shape[2], dim=2)
    layers, _, kv_heads, length, head_dim = prompt.shape
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=length,
        num_layers=layers,
        num_attention_heads=kv_heads,
        token_dim=kv_heads * head_dim,
        num_transformer_submodules=1,
    )
    states: list[Tensor] = []
    base = getattr(model.base_model, "decoder", model.base_model)  # OPT's head calls that one
    base.register_forward_hook(lambda *_: states.append(_[2].last_hidden_state))
    wrapped = get_peft_model(model, config).eval()
    weight = wrapped.prompt_encoder.default.embedding.weight
    weight.data = prompt.permute(3, 0, 1, 2, 4).reshape(length, -1).contiguous()
    wrapped(input_ids=ids, attention_mask=torch.ones_like(ids))
    return states[-1]


@torch.no_grad()
def test_without_a_prompt_the_hidden_states_are_transformers(name: str, folder: Path, ids: Tensor) -> None:
    ours, theirs = once_loaded(folder)(ids), reference(name, folder)(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_what_stands_behind_a_token_changes_nothing_for_it(folder: Path, ids: Tensor) -> None:
    ours = once_loaded(folder)
    prompt = PromptTensors(layers=random_prompt(ours), position_offset=SLOTS)
    other = torch.cat((ids[:, :-1], ids[:, -1:] + 1), dim=1)
    padded = torch.cat((ids, torch.zeros_like(ids)), dim=1)
    for each in (None, prompt):
        states = ours(ids, each)
        torch.testing.assert_close(ours(other, each)[:, :-1], states[:, :-1], atol=0, rtol=0)
        torch.testing.assert_close(ours(padded, each)[:, :20], states, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_a_prompt_in_the_layers_equals_pefts_where_nothing_slides(
    name: str, folder: Path, ids: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = once_loaded(folder)
    prompt = random_prompt(ours)
    # PEFT lets a window slide over the slots, ours always sees them: 3 tokens and 5 slots fit in one of 8.
    slides = {"sliding_window", "window_size"} & ARCHITECTURES[name].values.keys()
    text = ids[:, :3] if slides and name != "StarCoder 2" else ids
    tensors = PromptTensors(layers=prompt, position_offset=SLOTS)
    found, expected = ours(text, tensors), by_peft(name, folder, prompt, text)
    if name in ALIBI:  # the one difference is the bias of the slots
        assert (found - expected).abs().max() > 0.01
        monkeypatch.setattr(own_attention, "prompted_attention", counting_slots(ALIBI[name]))
        found = ours(text, tensors)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def counting_slots(build: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, None]]:
    """Attention that takes ALiBi off a prompt's slots as if they were text in front, as PEFT does."""

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, **options: Any
    ) -> tuple[Tensor, None]:
        slots = options["layer_prompts"][module.layer_idx]
        of_rows = slots[:, None].expand(2, len(key), -1, -1, -1)
        key, value = torch.cat((of_rows[0], key), dim=2), torch.cat((of_rows[1], value), dim=2)
        heads, keys = key.shape[1:3]
        bias = build(torch.ones(1, keys, dtype=torch.long), heads, torch.float32)  # [head, 1, key]
        if build is falcon_alibi:
            bias = bias * scaling
        unseen = torch.ones(keys, keys).triu(1).bool()[-query.shape[2] :]
        scores = query @ key.transpose(2, 3) * scaling + bias
        weights = scores.masked_fill(unseen, float("-inf")).softmax(-1)
        return (weights @ value).transpose(1, 2), None

    return attend


@torch.no_grad()
def test_alibi_fades_no_prompt_with_the_distance(folder_of: Callable[[str], Path]) -> None:
    """A text that repeats one token, with slots of great weight: each position sees as much of them."""
    ours = once_loaded(folder_of("BLOOM"))
    prompt = random_prompt(ours)
    seen: list[Tensor] = []

    def record(module: Any, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, None]:
        zeros, ones = torch.zeros_like(value), torch.ones_like(options["layer_prompts"][0][1])
        marked = {0: torch.stack((options["layer_prompts"][0][0], ones))}
        options = {**options, "layer_prompts": marked}
        share = attend(module, query, key, zeros, **options)[0]  # [batch, time, head, head dim]
        seen.append(share[0, :, :, 0])
        return attend(module, query, key, value, **options)

    attend = own_attention.prompted_attention
    module, inner = ours.decoder_layers[0].self_attention, torch.randn(1, 1, 32).expand(1, 90, 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_attention, "prompted_attention", record)
        module(inner, torch.zeros_like(inner), attention_mask={"layer_prompts": {0: prompt[0]}})
    steep = seen[0][:, 0]  # the head with the steepest slope
    assert steep[89] > 0.9 * steep[20] > 0.01


@pytest.mark.parametrize("scheme", ["layers", "hidden"])
@pytest.mark.parametrize("architecture", [*OWN_ATTENTION, "GPT-2"])
def test_gradients_with_checkpointing_equal_those_without(
    architecture: str, scheme: str, ids: Tensor, folder_of: Callable[[str], Path]
) -> None:
    gradients = []
    for checkpointing in (False, True):
        ours = loaded(folder_of(architecture), gradient_checkpointing=checkpointing).train()
        ours.freeze()
        value = random_prompt(ours) if scheme == "layers" else torch.randn(2, SLOTS, 32).sin()
        if scheme == "hidden":
            value = torch.linspace(-1, 1, 2 * SLOTS * 32).view(2, SLOTS, 32)
        value.requires_grad_()
        ours(ids, PromptTensors(**{scheme: value}, position_offset=SLOTS)).square().mean().backward()
        gradients.append(value.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("architecture", OWN_ATTENTION)
def test_in_half_precision_we_are_no_farther_off_than_transformers(
    architecture: str, ids: Tensor, folder_of: Callable[[str], Path]
) -> None:
    folder = folder_of(architecture)
    exact = once_loaded(folder)(ids)
    ours = loaded(folder, dtype="bfloat16")(ids).float()
    attention = ARCHITECTURES[architecture].reference
    theirs = AutoModel.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation=attention).eval()
    error = (theirs(ids).last_hidden_state.float() - exact).square().mean().sqrt()
    assert (ours - exact).square().mean().sqrt() < 1.3 * error


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["BLOOM", "Falcon, ALiBi", "Falcon, new architecture", "GPT-Neo"])
def test_written_out_attention_and_sdpa_agree_about_a_prompt(
    architecture: str, ids: Tensor, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, states = once_loaded(folder_of(architecture)), []
    for largest in (10**6, 0):
        monkeypatch.setattr("xlprompt.models.backbone.attention.WRITTEN_OUT_MAX_KEYS", largest)
        states.append(ours(ids, PromptTensors(layers=random_prompt(ours))))
    torch.testing.assert_close(*states, atol=TOLERANCE, rtol=0)


def tree_and_texts(ids: Tensor) -> tuple[Tensor, TextTree, list[Tensor], list[tuple[int, list[int]]]]:
    """Two rows, of four texts and of one; each text alone; and its row and the columns that it is at."""
    beginning, rest = ids[0, :10], ids[1:]  # longer than any window here
    endings = [rest[0, :6], rest[1, :9], rest[1, :0], rest[0, 9:13]]
    texts = [torch.cat((beginning, each)) for each in endings] + [rest[0]]
    row = torch.cat((beginning, *endings))
    packed = torch.zeros(2, len(row), dtype=torch.long)
    positions, branches = torch.zeros_like(packed), torch.full_like(packed, -1)
    packed[0], packed[1, :20] = row, rest[0]
    positions[0] = torch.cat((torch.arange(10), *(10 + torch.arange(len(each)) for each in endings)))
    branches[0] = torch.cat((torch.zeros(10), *(torch.full((len(e),), 1 + n) for n, e in enumerate(endings))))
    positions[1, :20], branches[1, :20] = torch.arange(20), 0
    places, column = [], 10
    for each in endings:
        places.append((0, [*range(10), *range(column, column + len(each))]))
        column += len(each)
    return packed, TextTree(positions, branches), texts, [*places, (1, list(range(20)))]


def prompts_of(of: Backbone) -> dict[str, PromptTensors]:
    """One of each scheme that the backbone has, with the text moved and not."""
    layers, slots = random_prompt(of), torch.linspace(-1, 1, SLOTS * of.hidden_size).view(SLOTS, -1)
    found = {
        "none": PromptTensors(),
        "layers": PromptTensors(layers=layers, position_offset=SLOTS),
        "both": PromptTensors(layers=layers, input=slots, position_offset=2 * SLOTS),
        "input, not moved": PromptTensors(input=slots),
        "last layer": PromptTensors(layers=layers[1:], prompted=(1,)),
    }
    if of.layer_width == of.hidden_size:
        found["hidden"] = PromptTensors(hidden=torch.stack((slots, -slots)), position_offset=SLOTS)
    return found


@torch.no_grad()
@pytest.mark.parametrize("written_out", [10**6, 0])
def test_texts_in_one_row_have_the_states_that_each_has_alone(
    folder: Path, ids: Tensor, written_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xlprompt.models.backbone.attention.WRITTEN_OUT_MAX_KEYS", written_out)
    ours = once_loaded(folder)
    assert ours.reads_trees
    packed, tree, texts, places = tree_and_texts(ids)
    for scheme, prompt in prompts_of(ours).items():
        states = ours(packed, prompt, tree=tree)
        for text, (row, columns) in zip(texts, places, strict=True):
            alone = ours(text[None], prompt)[0]
            torch.testing.assert_close(states[row, columns], alone, atol=2e-5, rtol=1e-5, msg=scheme)


@pytest.mark.parametrize(
    ("name", "checkpointing"),
    [*((name, False) for name in ARCHITECTURES), *((name, True) for name in (*OWN_ATTENTION, "Gemma 3"))],
)
def test_gradients_of_texts_in_one_row_are_those_of_each_alone(
    name: str, ids: Tensor, folder_of: Callable[[str], Path], checkpointing: bool
) -> None:
    ours = loaded(folder_of(name), gradient_checkpointing=checkpointing).train()
    packed, tree, texts, places = tree_and_texts(ids)
    layers = random_prompt(ours).requires_grad_()
    prompt = PromptTensors(layers=layers, position_offset=SLOTS)
    trained = [layers, *ours.parameters()]
    states = ours(packed, prompt, tree=tree)
    found = sum((states[row, columns[-1]].sin().sum() for row, columns in places), torch.zeros(()))
    alone = sum((ours(text[None], prompt)[0, -1].sin().sum() for text in texts), torch.zeros(()))
    for one, other in zip(
        torch.autograd.grad(found, trained, allow_unused=True),
        torch.autograd.grad(alone, trained, allow_unused=True),
        strict=True,
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, atol=1e-4 * max(1.0, float(other.abs().max())), rtol=1e-4)


def test_a_decoder_that_counts_positions_itself_reads_each_text_in_its_own_row(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModel.from_pretrained(folder_of("GPT-2"))
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda position_ids, **options: forward(**options))
    assert not Backbone(model, name="counts itself", fingerprint="").reads_trees


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "prompt both") for name in ARCHITECTURES),
        *((name, method) for name in ("GPT-2", "OPT, narrow embedding") for method in ("finetune", "lora")),
    ],
)
def test_the_flops_and_parameters_counted_without_weights_are_those_of_a_step(
    folder: Path, method: str
) -> None:
    settings = METHODS[method]
    model = build_task_model(
        loaded(folder),
        load_tokenizer(str(folder)),
        num_labels=3,
        method=settings,
        head=HeadSettings(),
        seed=0,
    )
    assert parameter_budget(str(folder), num_labels=3, method=settings) == model.budget()
    assert model.budget().total_params == sum(one.numel() for one in once_loaded(folder).parameters())
    rows, length = 2, 11
    where = torch.arange(rows)
    with FlopCounterMode(display=False) as counter:
        logits = model(torch.ones(rows, length, dtype=torch.long), where, where + 2)
        forward = counter.get_total_flops()
        functional.cross_entropy(logits, where).backward()
    head = 2 * rows * 3 * model.backbone.hidden_size
    assert forward - head == model.flops.forward([length] * rows)
    assert counter.get_total_flops() - 3 * head == model.flops.step([length] * rows)


def test_a_decoder_that_never_calls_our_attention_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BLOOM's own code takes the name of any registered function, and then attends without a causal mask."""
    monkeypatch.setattr(backbone_module, "take_over", lambda _: False)
    monkeypatch.setattr(BloomPreTrainedModel, "_supports_attention_backend", True)
    config = BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=64)
    with pytest.raises(ModelError, match=r"attention of 0 of its 2 layers only.*Take another decoder"):
        examine_config(config, name="bloom")


def test_a_decoder_that_calls_it_in_some_layers_only_is_refused(folder_of: Callable[[str], Path]) -> None:
    ours = loaded(folder_of("BLOOM"))
    ours.decoder_layers[1].self_attention.forward = lambda hidden, residual, **_: (hidden + residual, None)
    with pytest.raises(ModelError, match=r"attention of 1 of its 2 layers only"):
        probe_shape(ours)
