"""What is written for PEFT computes the same there, and what PEFT has trained computes the same here."""

import copy
from pathlib import Path

import pytest
import torch
from architectures import make_architecture
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
)
from peft_models import trained_by_peft
from tiny import make_llama, make_qwen
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from xlprompt.models import (
    AdapterSettings,
    FinetuneSettings,
    HeadOnly,
    HeadSettings,
    Ia3Settings,
    LoraSettings,
    Method,
    ModelError,
    PromptSettings,
    TaskModel,
    build_task_model,
    load_backbone,
    load_config,
    load_tokenizer,
)
from xlprompt.models.peft_folders.applied import (
    load_by_peft,
    plain_base,
    probe_rows,
    require_equal,
    states_here,
    states_of_peft,
    text_in_sight,
)
from xlprompt.models.peft_folders.reading import read_peft_folder
from xlprompt.models.peft_folders.taken_over import TakenOver, take_over
from xlprompt.models.peft_folders.written import peft_parts, write_peft_files

TOLERANCE = 1e-6
EXPORTED: dict[str, Method] = {
    "prefix tuning": PromptSettings(length=4, std=0.5),
    "prompt tuning": PromptSettings(length=4, scheme="input", std=0.5),
    "lora": LoraSettings(rank=3, alpha=5),
    "lora everywhere": LoraSettings(rank=3, targets="all"),
    "ia3": Ia3Settings(),
    "ia3 in attention": Ia3Settings(feed_forward=False),
}
TRAINED = {
    "prefix tuning": PrefixTuningConfig(num_virtual_tokens=3),
    "prefix tuning by a projection": PrefixTuningConfig(
        num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=7
    ),
    "prompt tuning": PromptTuningConfig(num_virtual_tokens=3),
    "p-tuning": PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=7),
    "lora": LoraConfig(r=3, target_modules=["q_proj", "v_proj"]),
    "lora with ranks of its own": LoraConfig(
        r=4, lora_alpha=3, target_modules=["q_proj", "k_proj"], rank_pattern={"k_proj": 2}, use_rslora=True
    ),
    "lora in one layer": LoraConfig(
        r=2,
        target_modules=["q_proj"],
        layers_to_transform=[1],
        alpha_pattern={"layers.1.self_attn.q_proj": 7},
    ),
    "lora on all": LoraConfig(r=2, target_modules="all-linear"),
    "ia3": IA3Config(target_modules=["k_proj", "v_proj"], feedforward_modules=[]),
}


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen(tmp_path_factory.mktemp("models") / "qwen")


@pytest.fixture(scope="session")
def plain_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("models") / "llama", scaled=False)


@pytest.fixture(params=["tiny_xglm", "tiny_gemma", "plain_llama", "tiny_qwen"])
def base(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def task_model(base: Path | str, method: Method) -> TaskModel:
    """In float32, changed by its method as if it had been trained."""
    model = build_task_model(
        load_backbone(str(base), dtype="float32"),
        load_tokenizer(str(base)),
        num_labels=3,
        method=method,
        head=HeadSettings(),
        seed=0,
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.adapter_parameters():
            parameter += torch.randn(parameter.shape, generator=generator) * 0.05
    return model


def exported(base: Path | str, method: Method, folder: Path) -> tuple[TaskModel, Path]:
    model = task_model(base, method)
    write_peft_files(folder, peft_parts(method, model.trainable_state(), base=str(base)))
    return model, folder


def in_sight(model: TaskModel) -> int | None:
    method = model.method
    is_prefix = isinstance(method, PromptSettings) and method.scheme == "layers"
    return text_in_sight(model.backbone, method.shift) if is_prefix else None


def logits_of(model: TaskModel, states: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([model.head(each)[0] for each in states])


def assert_peft_computes_the_same(
    base: Path | str, method: Method, folder: Path, *, tolerance: float = TOLERANCE
) -> None:
    model, folder = exported(base, method, folder)
    rows = probe_rows(
        load_tokenizer(str(base)), vocabulary=model.backbone.vocab_size, longest=in_sight(model)
    )
    theirs = states_of_peft(load_by_peft(plain_base(str(base)), folder), rows)
    ours = states_here(model.backbone, model.prompts, rows)
    expected = logits_of(model, theirs)
    torch.testing.assert_close(logits_of(model, ours), expected, atol=tolerance, rtol=tolerance)
    plain = states_of_peft(plain_base(str(base)), rows)
    assert (logits_of(model, plain) - expected).abs().max() > 1e-3  # it has an effect to be equal in


@pytest.mark.parametrize("name", ["prefix tuning", "prompt tuning", "lora", "ia3"])
def test_an_exported_folder_computes_the_same_in_peft(base: Path, name: str, tmp_path: Path) -> None:
    assert_peft_computes_the_same(base, EXPORTED[name], tmp_path)


@pytest.mark.parametrize("name", ["lora everywhere", "ia3 in attention"])
def test_so_does_one_with_other_settings(tiny_qwen: Path, name: str, tmp_path: Path) -> None:
    assert_peft_computes_the_same(tiny_qwen, EXPORTED[name], tmp_path)


@pytest.mark.parametrize("name", ["prefix tuning", "lora"])
def test_so_does_one_of_the_bundled_model(name: str, tmp_path: Path) -> None:
    assert_peft_computes_the_same("xglm-nano", EXPORTED[name], tmp_path)


@pytest.mark.parametrize("name", EXPORTED)
def test_what_was_exported_comes_back_bit_for_bit(tiny_llama: Path, name: str, tmp_path: Path) -> None:
    model, folder = exported(tiny_llama, EXPORTED[name], tmp_path)
    assert_comes_back(model, tiny_llama, folder)


def assert_comes_back(model: TaskModel, base: Path, folder: Path) -> None:
    back = take_over(read_peft_folder(folder), plain_base(str(base)), model.backbone.shape)
    state = {key: value for key, value in model.trainable_state().items() if not key.startswith("head.")}
    assert back.state.keys() == state.keys()
    assert all(torch.equal(back.state[key], state[key]) for key in state)
    if not isinstance(model.method, PromptSettings):  # whose start PEFT does not keep
        assert back.method == model.method


@pytest.mark.parametrize("name", ["lora", "ia3"])
@pytest.mark.parametrize("family", ["GPT-2", "GPT-NeoX", "Phi 3"])
def test_other_projections_leave_and_come_back_too(family: str, name: str, tmp_path: Path) -> None:
    """Matrices that make queries, keys and values at once, GPT-2's transposed ones, and two of one name."""
    base, folder = make_architecture(family, tmp_path / "base"), tmp_path / "adapter"
    assert_peft_computes_the_same(base, EXPORTED[name], folder, tolerance=1e-5)  # enlarged weights
    assert_comes_back(task_model(base, EXPORTED[name]), base, folder)


def test_a_prefix_that_peft_cannot_run_is_refused(tmp_path: Path) -> None:
    base = make_architecture("Falcon, new architecture", tmp_path / "base")
    _, folder = exported(base, EXPORTED["prefix tuning"], tmp_path / "adapter")
    with pytest.raises(ModelError, match="PEFT's own model of this adapter cannot run"):
        states_of_peft(load_by_peft(plain_base(str(base)), folder), [torch.tensor([[5, 6, 7]])])


def taken_over(base: Path, folder: Path) -> tuple[TakenOver, TaskModel]:
    """A task model of ours with an adapter of PEFT's, and a head that starts anew."""
    backbone = load_backbone(str(base), dtype="float32")
    over = take_over(read_peft_folder(folder), plain_base(str(base)), backbone.shape)
    model = task_model(base, over.method)
    head = {key: value for key, value in model.trainable_state().items() if key.startswith("head.")}
    model.load_trainable_state({**over.state, **head})
    return over, model


@pytest.mark.parametrize("name", ["prefix tuning", "prompt tuning", "lora", "ia3"])
def test_what_peft_has_trained_computes_the_same_here(base: Path, name: str, tmp_path: Path) -> None:
    assert_ours_computes_the_same(base, name, tmp_path)


@pytest.mark.parametrize("name", TRAINED)
def test_so_does_what_it_has_trained_by_other_settings(tiny_qwen: Path, name: str, tmp_path: Path) -> None:
    assert_ours_computes_the_same(tiny_qwen, name, tmp_path)


def assert_ours_computes_the_same(base: Path, name: str, tmp_path: Path) -> None:
    config = copy.deepcopy(TRAINED[name])  # PEFT writes into it
    config.task_type = "CAUSAL_LM"
    if load_config(str(base)).model_type == "xglm" and config.is_prompt_learning:
        config.num_attention_heads = 4  # PEFT doesn't find it
    theirs, folder = trained_by_peft(AutoModelForCausalLM, base, config, tmp_path / "adapter")
    _, model = taken_over(base, folder)
    rows = probe_rows(
        load_tokenizer(str(base)), vocabulary=model.backbone.vocab_size, longest=in_sight(model)
    )
    ours = states_here(model.backbone, model.prompts, rows)
    with torch.no_grad():
        expected = [
            theirs(
                input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
            ).hidden_states[-1]
            for ids in rows
        ]
    expected = [states[:, -ids.shape[1] :] for states, ids in zip(expected, rows, strict=True)]
    # Where a scale is no alpha / rank it is multiplied into a matrix, which rounds once more.
    tolerance = 5e-6 if "ranks of its own" in name else TOLERANCE
    torch.testing.assert_close(
        logits_of(model, ours), logits_of(model, expected), atol=tolerance, rtol=tolerance
    )


def test_text_beyond_what_a_sliding_window_shows_of_a_prefix_differs(
    tiny_gemma: Path, tmp_path: Path
) -> None:
    model, folder = exported(tiny_gemma, EXPORTED["prefix tuning"], tmp_path)
    ids = torch.arange(5, 12)[None]
    theirs = states_of_peft(load_by_peft(plain_base(str(tiny_gemma)), folder), [ids])[0]
    ours = states_here(model.backbone, model.prompts, [ids])[0]
    differs = (ours - theirs).abs().amax(-1)[0] > 1e-5
    assert text_in_sight(model.backbone, 4) == 4
    assert differs.tolist() == [False] * 4 + [True] * 3
    with pytest.raises(ModelError, match="other hidden states"):
        require_equal([ours], [theirs], "export")


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (PromptSettings(scheme="both"), "scheme 'both'"),
        (PromptSettings(scheme="hidden"), "scheme 'hidden'"),
        (PromptSettings(layers=2), "in some layers"),
        (PromptSettings(shift_positions=False), "no positions"),
        (AdapterSettings(), "method 'adapter'"),
        (FinetuneSettings(), "a model folder"),
        (HeadOnly(), "no adapter"),
    ],
)
def test_what_peft_cannot_hold_is_refused_with_the_reason(method: Method, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        peft_parts(method, {}, base="somewhere")


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (AutoModelForSequenceClassification, LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS")),
        (AutoModelForSequenceClassification, PrefixTuningConfig(num_virtual_tokens=3, task_type="SEQ_CLS")),
        (AutoModelForTokenClassification, LoraConfig(r=2, target_modules=["q_proj"], task_type="TOKEN_CLS")),
    ],
)
def test_a_classifier_that_was_trained_along_is_read_with_the_adapter(
    tiny_qwen: Path, kind: type, config: PeftConfig, tmp_path: Path
) -> None:
    theirs, folder = trained_by_peft(kind, tiny_qwen, config, tmp_path / "adapter", num_labels=3)
    found = read_peft_folder(folder)
    score = dict(theirs.get_base_model().score.modules_to_save["default"].named_parameters())
    assert found.head.keys() == score.keys()
    assert all(torch.equal(found.head[name], score[name]) for name in score)


def test_weights_of_the_base_in_an_adapter_are_refused(tiny_qwen: Path, tmp_path: Path) -> None:
    config = LoraConfig(
        r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens"], task_type="FEATURE_EXTRACTION"
    )
    _, folder = trained_by_peft(AutoModel, tiny_qwen, config, tmp_path / "adapter")
    with pytest.raises(ModelError, match="embed_tokens.weight.*merge_and_unload"):
        read_peft_folder(folder)


def test_starts_that_change_the_base_are_refused(tiny_qwen: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa", task_type="CAUSAL_LM")
    _, folder = trained_by_peft(AutoModelForCausalLM, tiny_qwen, config, tmp_path / "adapter")
    with pytest.raises(ModelError, match="init_lora_weights 'pissa'"):
        read_peft_folder(folder)


def test_an_adapter_of_another_base_is_refused(tiny_qwen: Path, tiny_gemma: Path, tmp_path: Path) -> None:
    config = PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    _, folder = trained_by_peft(AutoModelForCausalLM, tiny_qwen, config, tmp_path / "adapter")
    shape = load_backbone(str(tiny_gemma), dtype="float32").shape
    with pytest.raises(ModelError, match="Name the base that it was trained on"):
        take_over(read_peft_folder(folder), plain_base(str(tiny_gemma)), shape)


def test_an_adapter_with_settings_that_mean_more_than_its_names_is_refused(
    tiny_qwen: Path, tmp_path: Path
) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM")
    _, folder = trained_by_peft(AutoModelForCausalLM, tiny_qwen, config, tmp_path / "adapter")
    with pytest.raises(ModelError, match="lora_magnitude_vector"):
        read_peft_folder(folder)


def test_pickled_weights_are_never_read(tiny_qwen: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted, _ = trained_by_peft(AutoModelForCausalLM, tiny_qwen, config, tmp_path / "adapter")
    adapted.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(ModelError, match="pickled"):
        read_peft_folder(tmp_path / "pickled")
