"""DeepSpeed's engine in one process: every stage against plain torch, and its state."""

import json

import pytest
import torch
from small import small_model, small_steps

from xlprompt.evaluation.processes import Processes
from xlprompt.models import FinetuneSettings
from xlprompt.training.fitting.choose_engine import choose_engine, open_engine
from xlprompt.training.fitting.deepspeed_config import EngineError, is_offloaded, read_deepspeed_config
from xlprompt.training.recipes.recipe import OptimizerSettings

pytest.importorskip("deepspeed", reason="full fine-tuning's engine is not installed")

CPU = torch.device("cpu")
SETTINGS = OptimizerSettings(learning_rate=1e-3, head_learning_rate=5e-3)
STAGES = ["zero0", "zero1", "zero2", "zero3", "zero2-offload", "zero3-offload"]


def choice(name, experiments):
    if name == "torch":
        return choose_engine("finetune", "torch")
    return choose_engine("finetune", deepspeed_config=experiments / f"{name}.json")


@pytest.fixture(scope="module")
def experiments(request):
    return request.config.rootpath / "experiments" / "deepspeed"


def train(engine, steps):
    figures = [engine.step(step, 1.0) for step in steps]
    return [loss.item() for loss, _ in figures], [norm.item() for _, norm in figures]


def run(name, folder, experiments, *, dtype, state=None, steps=None, finetune=None, seed=0):
    model = small_model(folder, dtype=dtype, finetune=finetune or FinetuneSettings(), seed=seed)
    with open_engine(choice(name, experiments), model, SETTINGS, CPU, Processes()) as engine:
        if state is not None:
            engine.load_state(state)
        losses, norms = train(engine, steps or small_steps(12))
        weights = engine.weights()
        engine.load_weights(weights)
        assert all(torch.equal(value, engine.weights()[key]) for key, value in weights.items())
        return losses, norms, engine.state(), weights


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_trains_as_plain_torch_does(name, tiny_xglm, experiments):
    losses, norms, state, weights = run(name, tiny_xglm, experiments, dtype="float32")
    expected = run("torch", tiny_xglm, experiments, dtype="float32")
    # Sums in another order, in float32, over twelve steps.
    torch.testing.assert_close(losses, expected[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(norms, expected[1], rtol=1e-3, atol=0)
    assert state.keys() == expected[2].keys()
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert {value.item() for key, value in state.items() if key.startswith("step.")} == {12}
    assert weights.keys() == expected[3].keys()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_goes_on_bit_for_bit_from_its_state(name, tiny_gemma, experiments):
    steps = small_steps(8)
    frozen = FinetuneSettings(train_embeddings=False)
    whole = run(name, tiny_gemma, experiments, dtype="bfloat16", steps=steps, finetune=frozen)
    *_, state, _ = run(name, tiny_gemma, experiments, dtype="bfloat16", steps=steps[:3], finetune=frozen)
    rest = run(
        name, tiny_gemma, experiments, dtype="bfloat16", state=state, steps=steps[3:], finetune=frozen, seed=7
    )
    assert rest[0] == whole[0][3:]
    for key, value in whole[2].items():
        assert torch.equal(value, rest[2][key]), key
    for key, value in whole[3].items():
        assert torch.equal(value, rest[3][key]), key


def test_another_engine_goes_on_from_the_state_of_one(tiny_xglm, experiments):
    steps = small_steps(8)
    expected = run("torch", tiny_xglm, experiments, dtype="float32", steps=steps)
    state = None
    for name, part in (("zero3", steps[:3]), ("torch", steps[3:5]), ("zero1", steps[5:])):
        losses, _, state, _ = run(name, tiny_xglm, experiments, dtype="float32", state=state, steps=part)
    torch.testing.assert_close(losses, expected[0][5:], rtol=1e-4, atol=0)


def test_a_state_of_another_model_is_refused(tiny_xglm, tiny_gemma, experiments):
    *_, state, _ = run("zero2", tiny_xglm, experiments, dtype="float32", steps=small_steps(1))
    with pytest.raises(ValueError, match="of another model: it differs in"):
        run("zero2", tiny_gemma, experiments, dtype="float32", state=state)


def test_a_gradient_that_is_not_finite_is_told(tiny_xglm, experiments):
    model = small_model(tiny_xglm)
    with open_engine(choice("zero2", experiments), model, SETTINGS, CPU, Processes()) as engine:
        with torch.no_grad():
            model.backbone.decoder_layers[0].fc1.weight.fill_(float("nan"))
        loss, norm = engine.step(small_steps(1)[0], 1.0)
    assert not torch.isfinite(loss)
    assert not torch.isfinite(norm)


def test_prompts_are_trained_by_torch_and_full_fine_tuning_by_deepspeed():
    assert choose_engine("prompt").params() == {"engine": "torch"}
    assert choose_engine("finetune").params() == {"engine": "deepspeed", "engine.zero_stage": 1}
    assert str(choose_engine("finetune", "torch")) == "torch"
    with pytest.raises(EngineError, match="for full fine-tuning, and this recipe's method is 'prompt'"):
        choose_engine("prompt", "deepspeed")
    with pytest.raises(EngineError, match="there is no engine 'horovod'"):
        choose_engine("finetune", "horovod")


def test_a_file_for_deepspeed_with_the_engine_torch_is_refused(tmp_path):
    with pytest.raises(EngineError, match="reads no DeepSpeed file"):
        choose_engine("finetune", "torch", tmp_path / "zero1.json")


def test_every_file_of_the_experiments_is_read(experiments):
    files = list(experiments.glob("*.json"))
    assert {file.stem for file in files} == set(STAGES)
    for file in files:
        assert str(read_deepspeed_config(file)["zero_optimization"]["stage"]) == file.stem[4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file; experiments/deepspeed has one for each stage"),
        ("{", "cannot be read as JSON"),
        ("[]", "expected a JSON object, found list"),
        ('{"bf16": {"enabled": true}}', r"bf16: is decided by the recipe \(precision\)"),
        ('{"optimizer": {"type": "Adam"}}', "optimizer: is decided by the recipe"),
        ('{"gradient_accumulation_steps": 4}', "gradient_accumulation_steps: is decided by the recipe"),
        ('{"zero_optimization": {"stage": 4}}', "expected 0, 1, 2 or 3"),
        ('{"zero_optimization": {"stage": "two"}}', "expected 0, 1, 2 or 3"),
        ('{"zero_optimization": 2}', "expected 0, 1, 2 or 3"),
        (
            '{"zero_optimization": {"offload_optimizer": {"device": "cpu"}}}',
            "offload_optimizer: needs a stage of at least 1, and there it is 0",
        ),
        (
            '{"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}',
            "offload_param: needs a stage of at least 3, and there it is 2",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_name(tmp_path, content, message):
    file = tmp_path / "deepspeed.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(EngineError, match=rf"(?s)deepspeed\.json: .*{message}"):
        read_deepspeed_config(file)


def test_what_is_offloaded_to_no_device_is_not_offloaded(tmp_path):
    file = tmp_path / "deepspeed.json"
    stage = {"stage": 1, "offload_optimizer": {"device": "none"}}
    file.write_text(json.dumps({"zero_optimization": stage}))
    assert not is_offloaded(read_deepspeed_config(file), "offload_optimizer")
    stage["offload_optimizer"] = {"device": "cpu"}
    assert is_offloaded({"zero_optimization": stage}, "offload_optimizer")


def test_what_deepspeed_itself_refuses_is_told(tiny_xglm, tmp_path):
    file = tmp_path / "deepspeed.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 2, "allgather_bucket_size": "many"}}))
    with (
        pytest.raises(EngineError, match="(?s)DeepSpeed refuses this configuration: .*allgather_bucket_size"),
        open_engine(
            choose_engine("finetune", deepspeed_config=file),
            small_model(tiny_xglm),
            SETTINGS,
            CPU,
            Processes(),
        ),
    ):
        raise AssertionError("not refused")


@pytest.mark.parametrize("name", ["zero1", "zero3"])
def test_recomputed_activations_change_nothing(name, tiny_gemma, experiments):
    figures = []
    for recompute in (False, True):
        model = small_model(tiny_gemma, dtype="float32").train()
        if recompute:
            model.backbone.enable_gradient_checkpointing()
        with open_engine(choice(name, experiments), model, SETTINGS, CPU, Processes()) as engine:
            figures.append(train(engine, small_steps(4)))
    torch.testing.assert_close(figures[0], figures[1], rtol=1e-4, atol=1e-6)
